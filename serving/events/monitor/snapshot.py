"""In-memory snapshot for the event consumer: tables, log, model and usage counters at an offset.

The snapshot is reloaded periodically, since contracts change and the log grows. The counters of a
new snapshot equal the old ones, except where the log corrects them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from data.config.settings import Settings
from data.errors import SettingsError
from data.ingest.table_loader import Tables
from features import online, subscription_timeline
from features.activity import load
from features.activity.daily_tables import Activity
from features.panel import user_activity
from features.panel.builder import ReferencePopulation
from serving import store
from serving.events.ingest import reader
from serving.events.ingest.reader import StoredEvent, WorkspaceMap
from serving.events.monitor.counters import SubscriptionIndex, UsageCounters
from serving.store import queries
from training import registry
from training.registry import RegisteredModel

__all__ = ["MonitorSnapshot", "load_snapshot"]


@dataclass(frozen=True, eq=False)
class MonitorSnapshot:
    """Everything that a utilization reading and a rescoring need.

    Tables and log are as the weekly job reads them. ``reference_population`` holds the values of
    other accounts that features compare with, as of the active list. ``logged_mask`` marks, by row
    id, the stored events that the log also contains. ``counters`` change with
    :meth:`apply_events` and :meth:`advance_day`. ``log_known_until`` is the last day on which the
    log recorded anything.
    """

    tables: Tables
    log: Activity
    reference_population: ReferencePopulation
    model: RegisteredModel | None
    subscriptions: SubscriptionIndex
    workspaces: WorkspaceMap
    logged_mask: NDArray[np.bool_]
    counters: UsageCounters
    log_known_until: date

    def __repr__(self) -> str:
        return f"MonitorSnapshot({self.tables!r}, {self.counters!r})"

    def advance_day(self, day: date) -> None:
        """Count the log rows that became known on a day; it must follow the last counted day."""
        if day <= self.log_known_until:
            self.counters.load_log(self.log, day, after=day - timedelta(days=1))

    def apply_events(self, events: Iterable[StoredEvent]) -> tuple[set[str], int]:
        """Count stored events.

        Return the accounts whose counters may have changed, and the number of events of unknown
        accounts.
        """
        changed: set[str] = set()
        unknown = 0
        for stored_event in events:
            account = self.workspaces.find_account(stored_event.workspace)
            if account is None:
                unknown += 1
            elif not reader.is_logged(stored_event, self.logged_mask) and self.counters.apply_event(
                account, stored_event
            ):
                changed.add(account)
        return changed, unknown


def load_snapshot(
    engine: sa.Engine, settings: Settings, *, now: datetime, position: int, day: date
) -> MonitorSnapshot:
    """Load tables, log and model; count events up to a row id, and the log up to a day."""
    tables, log = load.load_data(settings, now=now)
    last_list = queries.load_latest_as_of(engine) or day
    users = user_activity.prepare_users(
        tables.users.rows,
        tables.accounts.rows,
        settings.tables.time_invariant_attributes,
        settings.tables.known_at_reliable_from,
    )
    counters = UsageCounters(settings, user_activity.free_seat_users(users)["user_id"], day)
    counters.load_log(log, day)
    with store.read_transaction(engine) as connection:
        logged_mask = reader.flag_logged_events(connection, tables.events)
    loaded = MonitorSnapshot(
        tables=tables,
        log=log,
        reference_population=online.build_reference_population(
            log, tables, datetime.combine(last_list, time(), UTC), settings
        ),
        model=registry.load_for_scoring(settings),
        subscriptions=SubscriptionIndex(
            subscription_timeline.build_timeline(
                tables.subscriptions.rows,
                plans=settings.outcome.plans,
                reliable_from=settings.tables.known_at_reliable_from,
            )
        ),
        workspaces=WorkspaceMap(
            _read_workspace_file(settings), frozenset(tables.accounts.rows["account_id"])
        ),
        logged_mask=logged_mask,
        counters=counters,
        log_known_until=_find_last_known_day(log) or day,
    )
    with store.read_transaction(engine) as connection:
        loaded.apply_events(reader.read_events(connection, after=0, up_to=position))
    return loaded


def _find_last_known_day(log: Activity) -> date | None:
    last = log.volume.select(pl.col("known_day").max()).collect(engine="streaming")
    last_day: date | None = last.item()
    return last_day


def _read_workspace_file(settings: Settings) -> dict[str, str]:
    """Read the mapping of workspaces to accounts, if one is configured."""
    if settings.webhooks.workspaces is None:
        return {}
    file = settings.base / settings.webhooks.workspaces
    try:
        mapping = pl.read_csv(file, infer_schema=False)
        return dict(mapping.select("workspace_id", "account_id").drop_nulls().iter_rows())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SettingsError(
            f"webhooks.workspaces: {file} cannot be read as CSV with workspace_id and account_id"
            f" ({type(error).__name__}); correct the file."
        ) from error
