"""Benchmark of model quality on a real log and on companies with known truth; writes a page.

Every step runs in its own process. Panels are built once and stored, and so is each section's
result: one section can be measured again, and the page shows the others with their dates.
"""

import argparse
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.benchmarks import bench_script
from tests.benchmarks.model import bench_plan, quality_page
from tests.benchmarks.model.bench_plan import OPENSTACK, BenchPlan

_MODULE = "tests.benchmarks.model.bench_model"
_PROCESSES = 2
_SEEDS = 20
Section = Callable[["BenchRun"], dict[str, Any]]


class BenchRun:
    """Run steps in a folder; validate each company once."""

    def __init__(self, arguments: argparse.Namespace, plan: BenchPlan) -> None:
        self.folder, self.smoke, self.plan = arguments.folder, arguments.small, plan
        self._reuse_walks = arguments.reuse_walks
        self._built_panels: dict[str, dict[str, Any]] = {}
        self._results: dict[tuple[str, str], dict[str, Any]] = {}

    def run_step(self, name: str, *arguments: object) -> dict[str, Any]:
        """Run one step in its own process."""
        started = time.monotonic()
        texts = [str(word) for word in arguments]
        options = ["--folder", self.folder, *(["--small"] if self.smoke else [])]
        result = bench_script.run_step(_MODULE, name, *texts, *options)
        seconds = time.monotonic() - started
        bench_script.log_line(f"{name:18} {' '.join(texts)[:48]:48} {seconds:7.0f} s")
        return result

    def run_steps(
        self, name: str, argument_lists: Iterable[tuple[object, ...]]
    ) -> list[dict[str, Any]]:
        """Run one step for several companies, as many at once as the benchmark allows."""
        with ThreadPoolExecutor(_PROCESSES) as pool:
            return list(pool.map(lambda words: self.run_step(name, *words), argument_lists))

    def run_step_once(self, name: str, company: str) -> dict[str, Any]:
        """Run a step of a company unless another section has run it."""
        if (name, company) not in self._results:
            self._results[name, company] = self.run_step(name, company)
        return self._results[name, company]

    def build_panels(self, *names: str, weeks: tuple[int, ...]) -> list[dict[str, Any]]:
        """Build missing panels: as of the end, and weeks before it."""
        missing = [name for name in names if name not in self._built_panels]
        built = self.run_steps("panels", [(name, *weeks) for name in missing])
        self._built_panels |= dict(zip(missing, built, strict=True))
        return [self._built_panels[name] for name in names]

    def walk_companies(self, *names: str, explained: bool = False) -> dict[str, Any]:
        """Build the companies' panels and run walk-forward validation where still missing."""
        built = self.build_panels(*names, weeks=(0, 1) if explained else (0,))
        missing = [name for name in names if not self._has_walked(name, explained=explained)]
        flags = ("explained",) if explained else ()
        with ThreadPoolExecutor(_PROCESSES) as pool:
            list(pool.map(lambda name: self._walk_company(name, *flags), missing))
        return built[0]

    def _walk_company(self, name: str, *more: str) -> None:
        """Validate a company and record it at once, so that a stopped benchmark can be resumed."""
        self.run_step("walk", name, *more)
        self._stamp_file(name).write_text(str(_utc_now()), encoding="utf-8")

    def _has_walked(self, name: str, *, explained: bool) -> bool:
        stamp = self._stamp_file(name)
        whole = not explained or (stamp.parent / "explanations.parquet").exists()
        return whole and stamp.exists() and (self._reuse_walks or stamp.read_text() >= _STARTED)

    def _stamp_file(self, name: str) -> Path:
        return Path(self.folder / "walks" / name / "finished")


def main() -> None:
    """Parse the command line; in a child process, run one step."""
    arguments = _parse_arguments()
    if arguments.step:
        import data  # noqa: F401, PLC0415 - as every command does, before Polars

        # isort: split
        from tests.benchmarks.model import model_steps  # noqa: PLC0415 - heavy, and only for children

        bench_script.print_result(
            model_steps.run_step(*arguments.step, folder=arguments.folder, smoke=arguments.small)
        )
        return
    if arguments.small and arguments.folder == _FOLDER:
        arguments.folder = _FOLDER.with_name("bench-model-small")
    bench = BenchRun(arguments, bench_plan.build_plan(small=arguments.small, seeds=arguments.seeds))
    if arguments.rebuild:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    started = time.monotonic()
    for name in arguments.only or SECTIONS:
        bench_script.measure_section(
            bench.folder / f"result/{name}.json",
            partial(SECTIONS[name], bench),
            **bench.run_step("code"),
        )
    sections = bench_script.load_sections(bench.folder / "result", list(SECTIONS))
    page = quality_page.render_page(sections)
    bench_script.write_page("quality.md", page, arguments, bench.folder)
    bench_script.log_line(f"{time.monotonic() - started:,.0f} s in all")


def _measure_openstack(bench: BenchRun) -> dict[str, Any]:
    panels = bench.walk_companies(OPENSTACK, explained=True)
    return {"provenance": panels, **bench.run_step("metrics", OPENSTACK)}


def _measure_simulated(bench: BenchRun) -> dict[str, Any]:
    name = bench.plan.simulated
    panels = bench.walk_companies(name, explained=True)
    metrics = bench.run_step("metrics", name)
    references = {
        "oracle_labels": bench.run_step("oracle labels", name),
        "oracle_features": bench.run_step("oracle features", name),
        **bench.run_step("oracle probability", name),
    }
    return {"provenance": panels, "name": name, "evaluation": metrics, **references}


def _measure_small_companies(bench: BenchRun) -> dict[str, Any]:
    results = {}
    for names in bench.plan.small:
        bench.walk_companies(*names)
        results[names[0].split("-")[1]] = bench.run_step("served", *names)
    return results


def _run_on_both(bench: BenchRun, step: str) -> dict[str, Any]:
    """Run one step for the large simulated company and for the real log."""
    names = {"simulated": bench.plan.simulated, "openstack": OPENSTACK}
    for name in names.values():
        bench.walk_companies(name, explained=True)
    return {where: bench.run_step_once(step, name) for where, name in names.items()}


def _measure_dates(bench: BenchRun) -> dict[str, Any]:
    results = {"dates": _run_on_both(bench, "dates"), "stability": _run_on_both(bench, "stability")}
    return results | {"true": bench.run_step("oracle dates", bench.plan.simulated)}


def _measure_drivers(bench: BenchRun) -> dict[str, Any]:
    bench.walk_companies(bench.plan.simulated, explained=True)
    return bench.run_step("drivers", bench.plan.simulated)


def _measure_explanations(bench: BenchRun) -> dict[str, Any]:
    return {
        "additivity": _run_on_both(bench, "additivity"),
        "stability": _run_on_both(bench, "stability"),
    }


def _measure_permuted_labels(bench: BenchRun) -> dict[str, Any]:
    bench.build_panels(OPENSTACK, weeks=(0, 1))
    numbers = range(1, bench.plan.permutations + 1)
    return {"each": bench.run_steps("permuted", [(OPENSTACK, number) for number in numbers])}


def _measure_fit_speed(bench: BenchRun) -> dict[str, Any]:
    """Measure fits one at a time, so that nothing of ours competes with the timed step."""
    sizes = bench.plan.rows
    return {
        "model": {rows: bench.run_step("our fit", rows) for rows in sizes},
        "lightgbm": {sizes[-1]: bench.run_step("LightGBM's train", sizes[-1])},
    }


SECTIONS: dict[str, Section] = {
    "openstack": _measure_openstack,
    "simulated": _measure_simulated,
    "dates": _measure_dates,
    "drivers": _measure_drivers,
    "explanations": _measure_explanations,
    "speed": _measure_fit_speed,
    "small": _measure_small_companies,
    "permuted": _measure_permuted_labels,
}


def _parse_arguments() -> argparse.Namespace:
    parser = bench_script.create_parser(__doc__, _FOLDER)
    parser.add_argument("--only", type=_parse_sections, help=f"of {','.join(SECTIONS)}")
    seeds_help = "small companies per size; or of 200, 500 and 2,000 accounts"
    parser.add_argument("--seeds", type=int, nargs="+", default=[_SEEDS], help=seeds_help)
    parser.add_argument("--rebuild", action="store_true", help="build the panels again")
    parser.add_argument(
        "--reuse-walks", action="store_true", help="evaluate the walks of the last run"
    )
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def _parse_sections(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(sorted(unknown))}")
    return names


def _utc_now() -> datetime:
    return datetime.now(UTC)


_FOLDER = ROOT / "data/local/bench-model"
_STARTED = str(_utc_now())

if __name__ == "__main__":
    main()
