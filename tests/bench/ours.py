"""Our own build, step by step: each function here is measured in a process of its own."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import generator
import polars as pl

from data import schemas
from data.config import settings
from data.config.settings import MONTH_DAYS, Settings
from data.ingest import table_loader
from features.activity.daily_tables import Activity
from features.panel import account_aggregates, builder, monthly, user_activity
from training.pipeline import training_run

AS_OFS = 24
_COLUMNS = schemas.EventSchema.column_names()


def configured(folder: Path, state: str = "state") -> Settings:
    """The settings of a log, with a state folder of the given name beside it."""
    return settings.load_settings(folder / "expansion.toml").model_copy(update={"state": state})


def log_files(folder: Path) -> list[Path]:
    """The monthly files of a log."""
    return sorted((folder / "events").glob("*.parquet"))


def small_tables(folder: Path) -> table_loader.Tables:
    """The tables as our own reading hands them to the peers: the small ones checked."""
    return table_loader.load_tables(configured(folder), generator.NOW)


def as_ofs_before(last: datetime) -> list[datetime]:
    """The as-ofs of a whole build: a month apart, back from the last."""
    return [last - timedelta(days=MONTH_DAYS * back) for back in range(AS_OFS)]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work gives, and its seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def scan(folder: Path) -> dict[str, Any]:
    """Decode all columns we need, file by file, in two ways; the cheaper one is the yardstick."""
    files = log_files(folder)
    _, hashed = timed(lambda: [_hashed(file) for file in files])
    _, read = timed(lambda: [pl.read_parquet(file, columns=_COLUMNS).height for file in files])
    ways = {"read into memory": read, "streamed and hashed": hashed}
    way = min(ways, key=lambda name: ways[name])
    return {"seconds": ways[way], "way": way, "ways": ways}


def whole(folder: Path) -> dict[str, Any]:
    """Read the log with an empty cache, and build every as-of."""
    config = configured(folder)
    (tables, log), activity_seconds = timed(
        lambda: training_run.load_data(config, now=generator.NOW)
    )
    last = training_run.resolve_as_of(config, log, now=generator.NOW)
    built, panel_seconds = timed(
        lambda: builder.build_panel(log, tables, as_ofs_before(last), config)
    )
    return {
        "seconds": activity_seconds + panel_seconds,
        "activity_seconds": activity_seconds,
        "panel_seconds": panel_seconds,
        "events": log.events,
        "rebuilt": log.rebuilt,
        "snapshots": built.snapshots.height,
        "features": len(built.snapshots.columns) - 2,
        "output_bytes": built.snapshots.estimated_size(),
        "daily_rows": daily_rows(log),
        "log_bytes": _bytes(folder / "events"),
        "cache_bytes": _bytes(config.state_folder / "activity"),
    }


def weekly(folder: Path) -> dict[str, Any]:
    """The weekly run: whatever is new in the log, and one as-of."""
    config = configured(folder)
    (tables, log), activity_seconds = timed(
        lambda: training_run.load_data(config, now=generator.NOW)
    )
    last = training_run.resolve_as_of(config, log, now=generator.NOW)
    built, panel_seconds = timed(lambda: builder.build_panel(log, tables, [last], config))
    # Once more, to tell how much of the panel it was.
    depth_months = len(user_activity.DETAIL_MONTHS)
    months = account_aggregates.LOOKBACK_MONTHS + config.seats.window_days // MONTH_DAYS
    _, fold_seconds = timed(
        lambda: monthly.aggregate_monthly(log, last, months=months, detail_months=depth_months)
    )
    return {
        "seconds": activity_seconds + panel_seconds,
        "activity_seconds": activity_seconds,
        "panel_seconds": panel_seconds,
        "fold_seconds": fold_seconds,
        "rebuilt": log.rebuilt,
        "snapshots": built.snapshots.height,
    }


def late(folder: Path) -> dict[str, Any]:
    """Read the log again after one of its files was delivered again."""
    (_, log), seconds = timed(lambda: training_run.load_data(configured(folder), now=generator.NOW))
    return {"seconds": seconds, "rebuilt": log.rebuilt}


def daily_rows(log: Activity) -> dict[str, int]:
    """Rows of each daily table."""
    tables = {name: value for name, value in vars(log).items() if isinstance(value, pl.LazyFrame)}
    return {name: table.select(pl.len()).collect().item() for name, table in tables.items()}


def _hashed(file: Path) -> None:
    """Every text by its hash, every number by its largest: nothing is left undecoded."""
    scanned = pl.scan_parquet(file)
    texts = [name for name, kind in scanned.collect_schema().items() if kind == pl.String]
    used = [pl.col(n).hash().sum() if n in texts else pl.col(n).max() for n in _COLUMNS]
    scanned.select(used).collect(engine="streaming")


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))
