"""Benchmark of the promotion gate on companies with and without a signal; writes a page.

The result of each section is stored, so that one section can be measured again and the page still
shows the others.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import data  # noqa: F401 - as every command does, before Polars

# isort: split
from data.config.settings import Settings
from tests import ROOT
from tests.benchmarks import bench_script
from tests.benchmarks.gate import gate_page, noise_companies, signal_free_data, simulated_scores

_PROCESSES = 2
_MAX_SEQUENTIAL_JOBS = 6
_SIZES = (200, 350, 600, 1_000, 2_000)
_COLUMNS = 24
# Few columns and trees keep a noise model near the base rate, where chance may lift it above.
# The defaults on all columns fall further below, so this test is harder, and cheaper.
_QUICK = {"ensemble_size": 2, "n_estimators": 60, "horizons_days": (60,)}
_CASES = {
    gate_page.POWER_CASE: simulated_scores.ScoreCase(),
    "model .80, rule .72, independent errors": simulated_scores.ScoreCase(noise_correlation=0.0),
    "model .80, rule .72, four cutoffs": simulated_scores.ScoreCase(fold_count=4),
    "model .80, rule .72, 500 accounts": simulated_scores.ScoreCase(accounts=500),
    "model .72, rule .72": simulated_scores.ScoreCase(model_auroc=0.72),
    gate_page.MARGIN_CASE: simulated_scores.ScoreCase(model_auroc=0.687),
    "model .65, rule .72": simulated_scores.ScoreCase(model_auroc=0.65),
}
Section = Callable[[argparse.Namespace], dict[str, Any]]


def _measure_null_models(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure companies whose model reads only noise."""
    rules = Settings()
    quick = rules.model_copy(update={"model": rules.model.model_copy(update=_QUICK)})
    count = 2 if arguments.small else arguments.companies
    sizes = _SIZES[:1] if arguments.small else _SIZES
    jobs = [(sizes[seed % len(sizes)], seed, quick, _COLUMNS) for seed in range(count)]
    return {"each": _run_jobs(noise_companies.evaluate_company, jobs)}


def _measure_default_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a few of them with default settings and noise in every column."""
    jobs = [(accounts, seed, Settings(), 10_000) for accounts in (200, 600) for seed in range(4)]
    return {"each": [] if arguments.small else _run_jobs(noise_companies.evaluate_company, jobs)}


def _measure_known_auroc(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure simulated models and rules of known AUROC."""
    first = next(iter(_CASES))
    counts = {
        name: arguments.histories if name == first else arguments.histories // 3 for name in _CASES
    }
    jobs = [
        (name, seed) for name in _CASES for seed in range(1 if arguments.small else counts[name])
    ]
    results = _run_jobs(
        simulated_scores.evaluate_history, [(_CASES[name], seed, Settings()) for name, seed in jobs]
    )
    return {
        name: [one for (of, _), one in zip(jobs, results, strict=True) if of == name]
        for name in _CASES
    }


def _measure_real_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure real and synthetic data without a signal, where available."""
    if arguments.small or not (ROOT.parent / "shared/data").exists():
        return {}
    decisions = {"ravenstack": signal_free_data.evaluate_ravenstack(arguments.folder)}
    for number in range(1, arguments.permutations + 1):
        decisions[f"openstack, permuted outcomes ({number})"] = (
            signal_free_data.evaluate_permuted_openstack(arguments.panels, number)
        )
    return decisions


SECTIONS: dict[str, Section] = {
    "nulls": _measure_null_models,
    "defaults": _measure_default_settings,
    "known_auroc": _measure_known_auroc,
    "real": _measure_real_data,
}


def main() -> None:
    """Measure the requested sections and write the page."""
    arguments = _parse_arguments()
    if arguments.small and arguments.folder == _FOLDER:
        arguments.folder = _FOLDER.with_name("bench-gate-small")
    for name in arguments.only or SECTIONS:
        bench_script.measure_section(
            arguments.folder / f"{name}.json", partial(SECTIONS[name], arguments)
        )
    page = gate_page.render_page(bench_script.load_sections(arguments.folder, list(SECTIONS)))
    bench_script.write_page("gate.md", page, arguments, arguments.folder)
    sys.stdout.write(page)


def _run_jobs(job: Callable[..., Any], jobs: list[tuple[Any, ...]]) -> list[Any]:
    """Run a function for each job, two at a time; a few jobs run in this process."""
    if len(jobs) <= _MAX_SEQUENTIAL_JOBS:
        return [job(*each) for each in jobs]
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        return pool.starmap(job, jobs, chunksize=1)


def _parse_arguments() -> argparse.Namespace:
    parser = bench_script.create_parser(__doc__, _FOLDER)
    parser.add_argument("--only", type=lambda text: text.split(","), help=",".join(SECTIONS))
    parser.add_argument("--companies", type=int, default=200)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--permutations", type=int, default=2)
    parser.add_argument(
        "--panels", type=Path, default=ROOT / "data/local/bench-model", help="of bench-model"
    )
    return parser.parse_args()


_FOLDER = ROOT / "data/local/bench-gate"

if __name__ == "__main__":
    main()
