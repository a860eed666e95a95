"""Benchmark of the feature build against a bare scan, DuckDB and pandas.

Writes docs/measured/feature-speed.md.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.benchmarks import bench_script
from tests.benchmarks.features import speed_page

_MODULE = "tests.benchmarks.features.bench_features"
_FULL_EVENTS, _SMALL_EVENTS = 100_000_000, 2_000_000
_READ_BYTES = 1 << 24
StepResults = dict[str, dict[str, Any]]


def main() -> None:
    """Parse the command line; in a child process, run one step."""
    arguments = _parse_arguments()
    if arguments.step:
        import data  # noqa: F401, PLC0415 - as every command does, before Polars

        # isort: split
        from tests.benchmarks.features import speed_steps  # noqa: PLC0415 - heavy, and only for children

        bench_script.print_result(
            speed_steps.run_step(arguments.step, arguments.folder, arguments.events)
        )
        return
    events = int(_SMALL_EVENTS if arguments.small else arguments.events)
    started = time.monotonic()
    measurements = measure(arguments.folder, events)
    page = speed_page.render_page(measurements, events)
    bench_script.write_page("feature-speed.md", page, arguments, arguments.folder)
    bench_script.log_line(f"{time.monotonic() - started:,.0f} s in all")


def _parse_arguments() -> argparse.Namespace:
    parser = bench_script.create_parser(__doc__, ROOT / "data/local/bench")
    parser.add_argument("--events", type=lambda text: int(float(text)), default=_FULL_EVENTS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(folder: Path, events: int) -> dict[str, StepResults]:
    """Generate missing logs, with ``events`` or a tenth of it, and take all measurements.

    Returns log (``hard``, ``tenth`` or ``simulated``) → step → its result.
    """
    hard, tenth = _generate_log(folder, "hard", events), _generate_log(folder, "hard", events // 10)
    simulated = _generate_log(folder, "simulated", events)
    return {
        "tenth": _measure_steps(tenth, events // 10, ("whole", "pandas")),
        "hard": _measure_steps(hard, events, ("profile",))
        | _measure_steps(hard, events, ("scan", "whole", "duckdb"))
        | _measure_after_change(hard, events, "add a week", "weekly")
        | _measure_after_change(hard, events, "deliver a month again", "late"),
        "simulated": _measure_steps(simulated, events, ("scan", "whole", "duckdb")),
    }


def _generate_log(folder: Path, kind: str, events: int) -> Path:
    log = folder / f"{kind}-{events}"
    _run_step(f"generate the {kind} log", log, events)
    return log


def _measure_steps(log: Path, events: int, names: tuple[str, ...]) -> StepResults:
    _run_step("prepare", log, events)
    _warm_page_cache(log)
    return {name: _run_step(name, log, events) for name in names}


def _measure_after_change(log: Path, events: int, change: str, name: str) -> StepResults:
    """Measure a step after the log was changed, with the cache of the unchanged log."""
    try:
        _run_step(change, log, events)
        _warm_page_cache(log)
        return {name: _run_step(name, log, events)}
    finally:
        _run_step("restore", log, events)


def _run_step(name: str, log: Path, events: int) -> dict[str, Any]:
    started = time.monotonic()
    result = bench_script.run_step(_MODULE, name, "--folder", log, "--events", events)
    seconds = result.get("seconds", time.monotonic() - started)
    peak = f", {result['peak_bytes'] / 1e9:.2f} GB" if "peak_bytes" in result else ""
    bench_script.log_line(f"{log.name:24} {name:28} {seconds:8.1f} s{peak}")
    return result


def _warm_page_cache(log: Path) -> None:
    """Read the files once, so that no step pays for disk reads."""
    for file in sorted((log / "events").glob("*.parquet")):
        with file.open("rb") as stream:
            while stream.read(_READ_BYTES):
                pass


if __name__ == "__main__":
    main()
