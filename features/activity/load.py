"""Load the tables named in the settings, and build the daily activity of their log."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from data import schemas
from data.config.settings import Settings
from data.ingest import table_loader
from features.activity import daily_tables
from features.activity.daily_tables import Activity

__all__ = ["build_activity", "load_data"]

ProgressCallback = Callable[[str, int, int], None]


def load_data(
    settings: Settings,
    *,
    now: datetime,
    rebuild: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[table_loader.Tables, Activity]:
    """Load the configured tables and build the daily activity of the log, or reuse the cache.

    Raises ``ExpansionError`` if a table cannot be read, or has too many invalid rows.
    """
    tables = table_loader.load_tables(settings, now)
    return tables, build_activity(settings, tables, rebuild=rebuild, progress=progress)


def build_activity(
    settings: Settings,
    tables: table_loader.Tables,
    *,
    rebuild: bool = False,
    progress: ProgressCallback | None = None,
) -> Activity:
    """Build the daily activity of a log, or reuse the cache in the state folder.

    The tables may be in-memory frames. Progress is the stage, the completed steps and the total.

    Raises ``ExpansionError`` if the log cannot be read, or has too many invalid rows.
    """
    activity = daily_tables.build_activity(
        tables.events,
        folder=settings.state_folder / "activity",
        roles=settings.roles,
        seats=settings.seats,
        known_at_reliable_from=settings.tables.known_at_reliable_from,
        accounts=tables.accounts.rows,
        engine=settings.engine,
        rebuild=rebuild,
        progress=None if progress is None else partial(progress, "log"),
    )
    schemas.enforce_quarantine_limit(
        "events", activity.events, activity.quarantine, settings.tables.max_quarantine_share
    )
    return activity
