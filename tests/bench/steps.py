"""The steps that are run in a process of their own, by name."""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb_peer
import generator
import ours
import pandas_peer
import profiling


def duckdb(folder: Path) -> dict[str, Any]:
    """The whole build in DuckDB."""
    config, tables, spill = ours.configured(folder), ours.small_tables(folder), folder / "spill"
    con = duckdb_peer.connect(spill)
    _, activity_seconds = ours.timed(
        lambda: duckdb_peer.activity(con, ours.log_files(folder), tables, config)
    )
    as_ofs = ours.as_ofs_before(duckdb_peer.last_as_of(con))
    rows, panel_seconds = ours.timed(
        lambda: sum(frame.height for frame in duckdb_peer.measures(con, as_ofs, config))
    )
    daily_rows = duckdb_peer.rows(con)
    con.close()
    shutil.rmtree(spill, ignore_errors=True)
    return {
        "seconds": activity_seconds + panel_seconds,
        "activity_seconds": activity_seconds,
        "panel_seconds": panel_seconds,
        "rows": rows,
        "daily_rows": daily_rows,
    }


def pandas(folder: Path) -> dict[str, Any]:
    """A part of the measures in pandas."""
    config, tables = ours.configured(folder), ours.small_tables(folder)
    as_ofs = ours.as_ofs_before(generator.last_as_of())
    frames, seconds = ours.timed(
        lambda: list(pandas_peer.measures(ours.log_files(folder), tables, as_ofs, config))
    )
    return {
        "seconds": seconds,
        "rows": sum(map(len, frames)),
        "measures": frames[0].shape[1],
        "left_out": pandas_peer.LEFT_OUT,
    }


def run(step: str, folder: Path, events: int) -> dict[str, Any]:
    """Run one step, and say what it found, and what processor and memory it needed.

    Parameters
    ----------
    step : str
        A name of ``_MADE`` or ``_MEASURED``.
    folder : pathlib.Path
        Of the log.
    events : int
        How large the log is.
    """
    if step in _MADE:
        _MADE[step](folder, events)
        return {}
    started = time.process_time()
    found = _MEASURED[step](folder)
    # Linux tells kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return found | {
        "cpu_seconds": time.process_time() - started,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }


def main(step: str, folder: Path, events: int) -> None:
    """Run one step and print what it found as one line of JSON."""
    sys.stdout.write(json.dumps(run(step, folder, events)) + "\n")


def _report(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"  {done} of {total}\r")


def _prepare(folder: Path, _events: int) -> None:
    """Leave nothing of earlier runs: no cache, and only the log's own files."""
    generator.restore(folder)
    shutil.rmtree(ours.configured(folder).state_folder, ignore_errors=True)


_MADE: dict[str, Callable[[Path, int], None]] = {
    "generate the hard log": lambda folder, events: generator.hard(folder, events, _report),
    "generate the simulated log": lambda folder, events: generator.simulated(
        folder, events, _report
    ),
    "prepare": _prepare,
    "add a week": generator.next_week,
    "deliver a month again": lambda folder, _: generator.redeliver(folder),
    "restore": lambda folder, _: generator.restore(folder),
}
_MEASURED: dict[str, Callable[[Path], dict[str, Any]]] = {
    "scan": ours.scan,
    "whole": ours.whole,
    "weekly": ours.weekly,
    "late": ours.late,
    "duckdb": duckdb,
    "pandas": pandas,
    "profile": profiling.profile,
}
