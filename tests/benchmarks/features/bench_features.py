"""Benchmark of the feature build against a bare scan, DuckDB and pandas.

Writes docs/measured/feature-speed.md.

Every step runs in its own process, so that its peak memory is its own. This process stays small,
because on Linux a child starts with the peak of its parent.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests import ROOT
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

        speed_steps.main(arguments.step, arguments.folder, arguments.events)
        return
    events = int(_SMALL_EVENTS if arguments.small else arguments.events)
    started = time.monotonic()
    measurements = measure(arguments.folder, events)
    # A smoke run must not overwrite real measurements.
    page_file = arguments.page or (
        arguments.folder / "feature-speed.md"
        if arguments.small
        else ROOT / "docs/measured/feature-speed.md"
    )
    page_file.write_text(speed_page.render_page(measurements, events), encoding="utf-8")
    _log_line(f"{time.monotonic() - started:,.0f} s in all; the page is {page_file}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=lambda text: int(float(text)), default=_FULL_EVENTS)
    parser.add_argument(
        "--small", action="store_true", help=f"{_SMALL_EVENTS:,} events: smoke test"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "data/local/bench")
    parser.add_argument(
        "--page", type=Path, help="page to write; default docs/measured/feature-speed.md"
    )
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
    command = [sys.executable, "-m", _MODULE, "--step", name, "--folder", log]
    command += ["--events", str(events)]
    process = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(process.stdout)
    seconds = result.get("seconds", time.monotonic() - started)
    peak = f", {result['peak_bytes'] / 1e9:.2f} GB" if "peak_bytes" in result else ""
    _log_line(f"{log.name:24} {name:28} {seconds:8.1f} s{peak}")
    return result


def _warm_page_cache(log: Path) -> None:
    """Read the files once, so that no step pays for disk reads."""
    for file in sorted((log / "events").glob("*.parquet")):
        with file.open("rb") as stream:
            while stream.read(_READ_BYTES):
                pass


def _log_line(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
