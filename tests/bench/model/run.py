"""Measure what the model is worth, on a real log, on companies whose truth is known; write a page.

Every step runs in a process of its own. Panels are made once and kept; what a section found is kept
too, so that one section can be measured again and the page still tells the others, each with its
date.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import page
import plan
from plan import OPENSTACK, Plan

ROOT = Path(__file__).resolve().parents[3]
_AT_ONCE = 2
_SEEDS = 20
Section = Callable[["Bench"], dict[str, Any]]


class Bench:
    """Runs steps in a folder; walks each company once."""

    def __init__(self, told: argparse.Namespace, measured: Plan) -> None:
        self.folder, self.smoke, self.plan = told.folder, told.small, measured
        self._kept_walks = told.kept_walks
        self._panels: dict[str, dict[str, Any]] = {}
        self._found: dict[tuple[str, str], dict[str, Any]] = {}

    def step(self, name: str, *told: object) -> dict[str, Any]:
        """Run one step in a process of its own."""
        started = time.monotonic()
        words = [str(word) for word in told]
        command = [sys.executable, __file__, "--folder", self.folder, "--step", name, *words]
        if self.smoke:
            command.insert(2, "--small")
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        _say(f"{name:18} {' '.join(words)[:48]:48} {time.monotonic() - started:7.0f} s")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def steps(self, name: str, told: Iterable[tuple[object, ...]]) -> list[dict[str, Any]]:
        """Run one step for several companies, as many at once as the bench may."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda words: self.step(name, *words), told))

    def once(self, name: str, company: str) -> dict[str, Any]:
        """Run a step of a company unless it was run before: two sections may tell of it."""
        if (name, company) not in self._found:
            self._found[name, company] = self.step(name, company)
        return self._found[name, company]

    def panels(self, *names: str, weeks: tuple[int, ...]) -> list[dict[str, Any]]:
        """Make the panels that are not there: as of the end, and weeks before it."""
        missing = [name for name in names if name not in self._panels]
        made = self.steps("panels", [(name, *weeks) for name in missing])
        self._panels |= dict(zip(missing, made, strict=True))
        return [self._panels[name] for name in names]

    def walk(self, *names: str, explained: bool = False) -> dict[str, Any]:
        """Make the companies' panels and walk forward, where that is not yet done."""
        made = self.panels(*names, weeks=(0, 1) if explained else (0,))
        missing = [name for name in names if not self._walked(name, explained=explained)]
        more = ("explained",) if explained else ()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: self._walk(name, *more), missing))
        return made[0]

    def _walk(self, name: str, *more: str) -> None:
        """Walk, and note it at once: a bench of hours may be stopped and gone on with."""
        self.step("walk", name, *more)
        self._stamp(name).write_text(str(_now()), encoding="utf-8")

    def _walked(self, name: str, *, explained: bool) -> bool:
        stamp = self._stamp(name)
        whole = not explained or (stamp.parent / "explanations.parquet").exists()
        return whole and stamp.exists() and (self._kept_walks or stamp.read_text() >= _STARTED)

    def _stamp(self, name: str) -> Path:
        return Path(self.folder / "walks" / name / "walked")


def main() -> None:
    """Read the command line; as a child, run one step."""
    told = _arguments()
    if told.step:
        import data  # noqa: F401, PLC0415 - as every command does, before Polars

        # isort: split
        import steps  # noqa: PLC0415 - heavy, and only for children

        steps.main(told.step[0], told.step[1:], told.folder, smoke=told.small)
        return
    if told.small and told.folder == _FOLDER:
        told.folder = _FOLDER.with_name("bench-model-small")
    bench = Bench(told, plan.of(small=told.small, seeds=told.seeds))
    if told.rebuild:
        shutil.rmtree(told.folder, ignore_errors=True)
    started = time.monotonic()
    for name in told.only or SECTIONS:
        _measure(bench, name)
    _write(bench, told)
    _say(f"{time.monotonic() - started:,.0f} s in all")


def _measure(bench: Bench, name: str) -> None:
    """Measure a section and keep what it found."""
    started = time.monotonic()
    found = SECTIONS[name](bench)
    kept = {"found": found, "at": str(_now()), "seconds": time.monotonic() - started}
    file = bench.folder / "found" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept | _state(bench)), encoding="utf-8")


def _state(bench: Bench) -> dict[str, Any]:
    """Which code this was: the commit, and whether anything was changed since."""
    told = ["git", "-C", str(ROOT)]
    ask = partial(subprocess.run, stdout=subprocess.PIPE, check=False, text=True)
    commit = ask([*told, "rev-parse", "--short", "HEAD"]).stdout.strip()
    floors = ["data", "features", "training"]
    changed = bool(ask([*told, "status", "--porcelain", "--", *floors, ":!*.md"]).stdout.strip())
    return {"commit": commit, "changed": changed, **bench.step("code")}


def _write(bench: Bench, told: argparse.Namespace) -> None:
    kept = {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name in SECTIONS
        if (file := bench.folder / "found" / f"{name}.json").exists()
    }
    # A smoke run must not replace figures that mean something.
    where = told.page or (
        bench.folder / "QUALITY.md" if told.small else ROOT / "docs/measured/quality.md"
    )
    where.write_text(page.markdown(kept), encoding="utf-8")
    _say(f"the page is {where}")


def _openstack(bench: Bench) -> dict[str, Any]:
    made = bench.walk(OPENSTACK, explained=True)
    return {"made": made, **bench.step("figures", OPENSTACK)}


def _simulated(bench: Bench) -> dict[str, Any]:
    name = bench.plan.simulated
    made = bench.walk(name, explained=True)
    told = bench.step("figures", name)
    beside = {
        "told": bench.step("told truth", name),
        "shown": bench.step("shown state", name),
        **bench.step("true probability", name),
    }
    return {"made": made, "name": name, "walk": told, **beside}


def _small(bench: Bench) -> dict[str, Any]:
    found = {}
    for names in bench.plan.small:
        bench.walk(*names)
        found[names[0].split("-")[1]] = bench.step("served", *names)
    return found


def _both(bench: Bench, step: str) -> dict[str, Any]:
    """One step for the large simulated company and for the real log."""
    names = {"simulated": bench.plan.simulated, "openstack": OPENSTACK}
    for name in names.values():
        bench.walk(name, explained=True)
    return {where: bench.once(step, name) for where, name in names.items()}


def _dates(bench: Bench) -> dict[str, Any]:
    found = {"dates": _both(bench, "dates"), "stability": _both(bench, "stability")}
    return found | {"true": bench.step("true dates", bench.plan.simulated)}


def _drivers(bench: Bench) -> dict[str, Any]:
    bench.walk(bench.plan.simulated, explained=True)
    return bench.step("drivers", bench.plan.simulated)


def _explanations(bench: Bench) -> dict[str, Any]:
    return {"sums": _both(bench, "sums"), "stability": _both(bench, "stability")}


def _shuffled(bench: Bench) -> dict[str, Any]:
    bench.panels(OPENSTACK, weeks=(0, 1))
    numbers = range(1, bench.plan.shuffles + 1)
    return {"each": bench.steps("shuffled", [(OPENSTACK, number) for number in numbers])}


def _speed(bench: Bench) -> dict[str, Any]:
    """One step at a time: nothing of ours may run beside what is timed."""
    sizes = bench.plan.rows
    return {
        "ours": {rows: bench.step("our fit", rows) for rows in sizes},
        "theirs": {sizes[-1]: bench.step("LightGBM's train", sizes[-1])},
    }


SECTIONS: dict[str, Section] = {
    "openstack": _openstack,
    "simulated": _simulated,
    "dates": _dates,
    "drivers": _drivers,
    "explanations": _explanations,
    "speed": _speed,
    "small": _small,
    "shuffled": _shuffled,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=_sections, help=f"of {','.join(SECTIONS)}")
    told = "small companies per size; or of 200, 500 and 2,000 accounts"
    parser.add_argument("--seeds", type=int, nargs="+", default=[_SEEDS], help=told)
    parser.add_argument("--small", action="store_true", help="does it run?")
    parser.add_argument("--rebuild", action="store_true", help="make the panels again")
    parser.add_argument("--kept-walks", action="store_true", help="judge the last run's walks")
    parser.add_argument("--folder", type=Path, default=_FOLDER)
    parser.add_argument("--page", type=Path, help="where to write; else docs/measured/quality.md")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(sorted(unknown))}")
    return names


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


_FOLDER = ROOT / "data/local/bench-model"
_STARTED = str(_now())

if __name__ == "__main__":
    main()
