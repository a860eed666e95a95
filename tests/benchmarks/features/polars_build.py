"""Our own feature build, step by step; each step is measured in its own process."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from data import schemas
from data.config import settings
from data.config.settings import MONTH_DAYS, Settings
from data.ingest import table_loader
from features.activity import load
from features.activity.daily_tables import Activity
from features.panel import account_aggregates, builder, monthly, user_activity
from tests.benchmarks.features import log_generator
from training.pipeline import training_run

AS_OFS = 24
_COLUMNS = schemas.EventSchema.column_names()


def load_bench_settings(folder: Path, state: str = "state") -> Settings:
    """Load the settings of a log, with a state folder of the given name next to it."""
    return settings.load_settings(folder / "expansion.toml").model_copy(update={"state": state})


def list_log_files(folder: Path) -> list[Path]:
    """Return the monthly files of a log."""
    return sorted((folder / "events").glob("*.parquet"))


def load_inputs(folder: Path) -> tuple[Settings, table_loader.Tables]:
    """Load the settings and the validated small tables for the other implementations."""
    config = load_bench_settings(folder)
    return config, table_loader.load_tables(config, log_generator.NOW)


def list_as_ofs(last: datetime) -> list[datetime]:
    """Return the as-ofs of a full build: a month apart, back from the last."""
    return [last - timedelta(days=MONTH_DAYS * back) for back in range(AS_OFS)]


def measure_seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """Run the work; return its result and its seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def measure_scan(folder: Path) -> dict[str, Any]:
    """Decode all needed columns file by file with two methods; the faster one is the reference."""
    files = list_log_files(folder)
    _, hashed = measure_seconds(lambda: [_scan_and_hash(file) for file in files])
    _, read = measure_seconds(
        lambda: [pl.read_parquet(file, columns=_COLUMNS).height for file in files]
    )
    seconds_by_method = {"read into memory": read, "streamed and hashed": hashed}
    fastest = min(seconds_by_method, key=lambda name: seconds_by_method[name])
    return {
        "seconds": seconds_by_method[fastest],
        "method": fastest,
        "seconds_by_method": seconds_by_method,
    }


def _read_log(
    folder: Path,
) -> tuple[Settings, table_loader.Tables, Activity, datetime, float]:
    config = load_bench_settings(folder)
    (tables, log), seconds = measure_seconds(lambda: load.load_data(config, now=log_generator.NOW))
    last = training_run.resolve_as_of(config, log, now=log_generator.NOW)
    return config, tables, log, last, seconds


def measure_full_build(folder: Path) -> dict[str, Any]:
    """Read the log with an empty cache and build every as-of."""
    config, tables, log, last, activity_seconds = _read_log(folder)
    panel, panel_seconds = measure_seconds(
        lambda: builder.build_panel(log, tables, list_as_ofs(last), config)
    )
    return {
        "seconds": activity_seconds + panel_seconds,
        "activity_seconds": activity_seconds,
        "panel_seconds": panel_seconds,
        "events": log.events,
        "rebuilt": log.rebuilt,
        "snapshots": panel.snapshots.height,
        "features": len(panel.snapshots.columns) - 2,
        "output_bytes": panel.snapshots.estimated_size(),
        "daily_rows": count_daily_rows(log),
        "log_bytes": _sum_file_sizes(folder / "events"),
        "cache_bytes": _sum_file_sizes(config.state_folder / "activity"),
    }


def measure_weekly_run(folder: Path) -> dict[str, Any]:
    """Measure the weekly run: new log files only, and one as-of."""
    config, tables, log, last, activity_seconds = _read_log(folder)
    panel, panel_seconds = measure_seconds(lambda: builder.build_panel(log, tables, [last], config))
    # Measured again on its own, for its share of the panel.
    depth_months = len(user_activity.DETAIL_MONTHS)
    months = account_aggregates.LOOKBACK_MONTHS + config.seats.window_days // MONTH_DAYS
    _, fold_seconds = measure_seconds(
        lambda: monthly.aggregate_monthly(log, last, months=months, detail_months=depth_months)
    )
    return {
        "seconds": activity_seconds + panel_seconds,
        "activity_seconds": activity_seconds,
        "panel_seconds": panel_seconds,
        "fold_seconds": fold_seconds,
        "rebuilt": log.rebuilt,
        "snapshots": panel.snapshots.height,
    }


def measure_late_file(folder: Path) -> dict[str, Any]:
    """Measure reading the log after one of its files was delivered again."""
    (_, log), seconds = measure_seconds(
        lambda: load.load_data(load_bench_settings(folder), now=log_generator.NOW)
    )
    return {"seconds": seconds, "rebuilt": log.rebuilt}


def count_daily_rows(log: Activity) -> dict[str, int]:
    """Count the rows of each daily table."""
    tables = {name: value for name, value in vars(log).items() if isinstance(value, pl.LazyFrame)}
    return {name: table.select(pl.len()).collect().item() for name, table in tables.items()}


def _scan_and_hash(file: Path) -> None:
    """Hash every text and take the maximum of every number, so that everything is decoded."""
    scanned = pl.scan_parquet(file)
    texts = [name for name, kind in scanned.collect_schema().items() if kind == pl.String]
    aggregates = [pl.col(n).hash().sum() if n in texts else pl.col(n).max() for n in _COLUMNS]
    scanned.select(aggregates).collect(engine="streaming")


def _sum_file_sizes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))
