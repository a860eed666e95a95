"""Measure what the features cost, beside a bare scan, DuckDB and pandas; write docs/measured/feature-speed.md.

Every step runs in a process of its own, so that the peak of its memory is its own. This process
stays small, because on Linux a child starts with the peak of its parent.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import page

ROOT = Path(__file__).resolve().parents[2]
_WHOLE, _SMALL = 100_000_000, 2_000_000
_READ_BYTES = 1 << 24
Figures = dict[str, dict[str, Any]]


def main() -> None:
    """Read the command line; as a child, run one step."""
    told = _arguments()
    if told.step:
        import data  # noqa: F401, PLC0415 - as every command does, before Polars

        # isort: split
        import steps  # noqa: PLC0415 - heavy, and only for children

        steps.main(told.step, told.folder, told.events)
        return
    events = int(_SMALL if told.small else told.events)
    started = time.monotonic()
    if told.profile:
        profile(told.folder, events)
        return
    figures = measure(told.folder, events)
    # A smoke run must not replace figures that mean something.
    where = told.page or (
        told.folder / "SPEED.md" if told.small else ROOT / "docs/measured/feature-speed.md"
    )
    where.write_text(page.markdown(figures, events), encoding="utf-8")
    _say(f"{time.monotonic() - started:,.0f} s in all; the page is {where}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=lambda text: int(float(text)), default=_WHOLE)
    parser.add_argument("--small", action="store_true", help=f"{_SMALL:,} events: does it run?")
    parser.add_argument("--folder", type=Path, default=ROOT / "data/local/bench")
    parser.add_argument(
        "--page", type=Path, help="where to write; else docs/measured/feature-speed.md"
    )
    parser.add_argument("--profile", action="store_true", help="tell where the build's time goes")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(folder: Path, events: int) -> dict[str, Figures]:
    """Make the logs that are not there, and take every figure.

    Parameters
    ----------
    folder : pathlib.Path
        Where logs and caches are kept.
    events : int
        Of the large logs; a tenth of it in the small one.

    Returns
    -------
    dict of str to dict
        Log (``hard``, ``tenth`` or ``simulated``) → step → what it found.
    """
    hard, tenth = _log(folder, "hard", events), _log(folder, "hard", events // 10)
    simulated = _log(folder, "simulated", events)
    return {
        "tenth": _figures(tenth, events // 10, ("whole", "pandas")),
        "hard": _figures(hard, events, ("profile",))
        | _figures(hard, events, ("scan", "whole", "duckdb"))
        | _changed(hard, events, "add a week", "weekly")
        | _changed(hard, events, "deliver a month again", "late"),
        "simulated": _figures(simulated, events, ("scan", "whole", "duckdb")),
    }


def profile(folder: Path, events: int) -> None:
    """Print where the time of a whole build of the hard log goes."""
    log = _log(folder, "hard", events)
    _step("prepare", log, events)
    _warm(log)
    _step("profile", log, events)


def _log(folder: Path, kind: str, events: int) -> Path:
    log = folder / f"{kind}-{events}"
    _step(f"generate the {kind} log", log, events)
    return log


def _figures(log: Path, events: int, names: tuple[str, ...]) -> Figures:
    _step("prepare", log, events)
    _warm(log)
    return {name: _step(name, log, events) for name in names}


def _changed(log: Path, events: int, change: str, name: str) -> Figures:
    """Take a figure after the log was changed; the cache holds it as it was before."""
    try:
        _step(change, log, events)
        _warm(log)
        return {name: _step(name, log, events)}
    finally:
        _step("restore", log, events)


def _step(name: str, log: Path, events: int) -> dict[str, Any]:
    started = time.monotonic()
    command = [sys.executable, __file__, "--step", name, "--folder", log, "--events", str(events)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    took = found.get("seconds", time.monotonic() - started)
    peak = f", {found['peak_bytes'] / 1e9:.2f} GB" if "peak_bytes" in found else ""
    _say(f"{log.name:24} {name:28} {took:8.1f} s{peak}")
    return found


def _warm(log: Path) -> None:
    """Read the files once, so that no step pays for the disk."""
    for file in sorted((log / "events").glob("*.parquet")):
        with file.open("rb") as opened:
            while opened.read(_READ_BYTES):
                pass


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
