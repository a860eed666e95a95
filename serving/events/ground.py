"""What the events stand on: tables, log, model, and what was counted up to a position.

All of it is read anew from time to time, since contracts change and the log grows; the counts of a
new ground are those of the old one, less what the log corrects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from data.errors import SettingsError
from data.settings import Settings
from data.sources import Tables
from features import moment, persons
from features.activity import Activity
from features.panel import Around
from serving import state
from serving.events import arrivals
from serving.events.arrivals import Arrival, Workspaces
from serving.events.contracts import Contracts
from serving.events.counts import Counts, Event
from serving.state import lists
from training import pipeline, registry
from training.registry import Registered

__all__ = ["Ground", "laid"]


@dataclass(frozen=True, eq=False)
class Ground:
    """Everything a reading and a rescoring are made from.

    Attributes
    ----------
    tables, log
        As the weekly job reads them.
    beside : features.panel.Around
        What features ask of other accounts, as of the list in force.
    model : training.registry.Registered or None
        What scores.
    contracts : serving.events.contracts.Contracts
        The terms.
    workspaces : serving.events.arrivals.Workspaces
        Whose an event is.
    covered : numpy.ndarray of bool
        By number, the arrivals that the log holds, too.
    counts : serving.events.counts.Counts
        Moved on by :meth:`take` and :meth:`pass_to`.
    log_known_until : datetime.date
        The last day on which the log came to know anything.
    """

    tables: Tables
    log: Activity
    beside: Around
    model: Registered | None
    contracts: Contracts
    workspaces: Workspaces
    covered: NDArray[np.bool_]
    counts: Counts
    log_known_until: date

    def __repr__(self) -> str:
        return f"Ground({self.tables!r}, {self.counts!r})"

    def pass_to(self, day: date) -> None:
        """Count what the log came to know on a day, which follows the last one counted."""
        if day <= self.log_known_until:
            self.counts.load(self.log, day, after=day - timedelta(days=1))

    def take(self, arrived: Iterable[Arrival]) -> tuple[set[str], int]:
        """Count arrivals.

        Returns
        -------
        set of str
            The accounts whose figures may have changed.
        int
            How many arrivals are of no account that we know.
        """
        dirty: set[str] = set()
        unknown = 0
        for each in arrived:
            account = self.workspaces.account(each.workspace)
            if account is None:
                unknown += 1
            elif not (each.id < len(self.covered) and self.covered[each.id]):
                event = Event(account, each.user_id, each.event, each.quantity, each.happened_at)
                if self.counts.take(event):
                    dirty.add(account)
        return dirty, unknown


def laid(
    engine: sa.Engine, settings: Settings, *, now: datetime, position: int, day: date
) -> Ground:
    """Read tables, log and model, and count up to a position and a day.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database.
    settings : data.settings.Settings
        All of them.
    now : datetime.datetime
        The clock, UTC.
    position : int
        Number of the last arrival to be counted.
    day : datetime.date
        What the log came to know later is not counted.
    """
    tables, log = pipeline.read(settings, now=now)
    listed = lists.newest(engine) or day
    users = persons.dated(
        tables.users.rows,
        tables.accounts.rows,
        settings.tables.stable,
        settings.tables.known_at_reliable_from,
    )
    counts = Counts(settings, persons.unpaid(users)["user_id"], day)
    counts.load(log, day)
    with state.reading(engine) as connection:
        covered = arrivals.in_log(connection, tables.events)
    ground = Ground(
        tables=tables,
        log=log,
        beside=moment.around(log, tables, datetime.combine(listed, time(), UTC), settings),
        model=registry.serving(settings),
        contracts=Contracts(
            tables.subscriptions.rows,
            plans=settings.outcome.plans,
            reliable_from=settings.tables.known_at_reliable_from,
        ),
        workspaces=arrivals.workspaces(tables.accounts.rows["account_id"], _told(settings)),
        covered=covered,
        counts=counts,
        log_known_until=_known_until(log) or day,
    )
    with state.reading(engine) as connection:
        ground.take(arrivals.read(connection, after=0, up_to=position))
    return ground


def _known_until(log: Activity) -> date | None:
    last = log.volume.select(pl.col("known_day").max()).collect(engine="streaming")
    found: date | None = last.item()
    return found


def _told(settings: Settings) -> pl.DataFrame | None:
    """The workspaces that a file tells of."""
    if settings.webhooks.workspaces is None:
        return None
    file = settings.base / settings.webhooks.workspaces
    try:
        found = pl.read_csv(file, infer_schema=False)
        return found.select("workspace_id", "account_id").drop_nulls()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SettingsError(
            f"webhooks.workspaces: {file} cannot be read as CSV with workspace_id and account_id"
            f" ({type(error).__name__}); write it so."
        ) from error
