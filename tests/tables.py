"""Tables made of rows, and the daily activity and the panel of their log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from data import schemas
from data.config.settings import Settings
from data.ingest.table_loader import Tables
from features import subscription_timeline
from features.activity import daily_tables
from features.activity.daily_tables import Activity
from features.panel import builder


def build_frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows under the table's schema, null where they state nothing."""
    schema = schemas.TABLES[table].create_empty().schema
    return pl.DataFrame([dict.fromkeys(schema) | dict(row) for row in rows], schema=schema)


def read_company(folder: Path) -> dict[str, Any]:
    """Return the tables of a simulated company; its log is a list of months."""
    small = {
        name: pl.read_parquet(folder / f"{name}.parquet")
        for name in ("subscriptions", "accounts", "users")
    }
    months = [pl.read_parquet(file) for file in sorted((folder / "events").glob("*.parquet"))]
    return {"events": months, **small}


def build_timeline(rows: Sequence[Mapping[str, Any]], **rules: Any) -> pl.DataFrame:
    return subscription_timeline.build_timeline(build_frame("subscriptions", rows), **rules)


def build_log(tables: Tables, folder: Path, config: Settings) -> Activity:
    return daily_tables.build_activity(
        tables.events,
        folder=folder,
        roles=config.roles,
        seats=config.seats,
        known_at_reliable_from=config.tables.known_at_reliable_from,
        accounts=tables.accounts.rows,
    )


def build_panel(
    tables: Tables, as_ofs: Sequence[datetime], config: Settings, folder: Path
) -> builder.Panel:
    return builder.build_panel(build_log(tables, folder, config), tables, as_ofs, config)
