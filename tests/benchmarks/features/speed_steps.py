"""Steps of the feature benchmark that run in their own process, by name."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import bench_script
from tests.benchmarks.features import (
    duckdb_build,
    log_generator,
    pandas_build,
    polars_build,
    profiling,
)


def measure_duckdb(folder: Path) -> dict[str, Any]:
    """Measure the full build in DuckDB."""
    config, tables = polars_build.load_inputs(folder)
    spill = folder / "spill"
    con = duckdb_build.open_database(spill)
    _, activity_seconds = polars_build.measure_seconds(
        lambda: duckdb_build.build_activity(
            con, polars_build.list_log_files(folder), tables, config
        )
    )
    as_ofs = polars_build.list_as_ofs(duckdb_build.resolve_last_as_of(con))
    rows, panel_seconds = polars_build.measure_seconds(
        lambda: sum(frame.height for frame in duckdb_build.aggregate_as_ofs(con, as_ofs, config))
    )
    daily_rows = duckdb_build.count_daily_rows(con)
    con.close()
    shutil.rmtree(spill, ignore_errors=True)
    return {
        "seconds": activity_seconds + panel_seconds,
        "activity_seconds": activity_seconds,
        "panel_seconds": panel_seconds,
        "rows": rows,
        "daily_rows": daily_rows,
    }


def measure_pandas(folder: Path) -> dict[str, Any]:
    """Measure a part of the aggregates in pandas."""
    config, tables = polars_build.load_inputs(folder)
    as_ofs = polars_build.list_as_ofs(log_generator.resolve_last_as_of())
    frames, seconds = polars_build.measure_seconds(
        lambda: list(
            pandas_build.aggregate_as_ofs(
                polars_build.list_log_files(folder), tables, as_ofs, config
            )
        )
    )
    return {
        "seconds": seconds,
        "rows": sum(map(len, frames)),
        "measures": frames[0].shape[1],
        "left_out": pandas_build.LEFT_OUT,
    }


def run_step(step: str, folder: Path, events: int) -> dict[str, Any]:
    """Run one step on a log of some events; return its result with CPU seconds and peak memory."""
    if step in _PREPARATION_STEPS:
        _PREPARATION_STEPS[step](folder, events)
        return {}
    started = time.process_time()
    result = _MEASURED_STEPS[step](folder)
    return result | {
        "cpu_seconds": time.process_time() - started,
        "peak_bytes": bench_script.peak_memory_bytes(),
    }


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"  {done} of {total}\r")


def _remove_caches(folder: Path, _events: int) -> None:
    """Remove traces of earlier runs: the cache and all files that were added to the log."""
    log_generator.restore_files(folder)
    shutil.rmtree(polars_build.load_bench_settings(folder).state_folder, ignore_errors=True)


_PREPARATION_STEPS: dict[str, Callable[[Path, int], None]] = {
    "generate the hard log": lambda folder, events: log_generator.write_incompressible_log(
        folder, events, _show_progress
    ),
    "generate the simulated log": lambda folder, events: log_generator.write_simulated_log(
        folder, events, _show_progress
    ),
    "prepare": _remove_caches,
    "add a week": log_generator.add_week,
    "deliver a month again": lambda folder, _: log_generator.redeliver_month(folder),
    "restore": lambda folder, _: log_generator.restore_files(folder),
}
_MEASURED_STEPS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "scan": polars_build.measure_scan,
    "whole": polars_build.measure_full_build,
    "weekly": polars_build.measure_weekly_run,
    "late": polars_build.measure_late_file,
    "duckdb": measure_duckdb,
    "pandas": measure_pandas,
    "profile": profiling.profile_build,
}
