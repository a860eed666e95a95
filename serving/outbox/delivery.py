"""From a list to the CRM: put down what should be true there, then send it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from data.errors import ExpansionError
from serving import state
from serving.crm import targets
from serving.crm.target import Denied
from serving.outbox import consequences, foreseen, levels, matches, pending, preview, sender, worked
from serving.outbox.calls import Calls, Exhausted, OutOfTime
from serving.outbox.levels import Levels
from serving.outbox.put import Put, put
from serving.outbox.sent import Sent
from serving.state.schema import DELIVERED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.settings import Settings
    from data.sources import Tables
    from serving.score import Scored

__all__ = ["Delivered", "catch_up", "deliver", "foresee", "send_some"]

_OURS: Final = ("sql", "files")  # where no human is taken by surprise
_LOOK_SECONDS: Final = 120.0  # a list is due, whether or not the CRM answers


@dataclass(frozen=True)
class Delivered:
    """What became of a list.

    Attributes
    ----------
    put : serving.outbox.put.Put
        What was written into our own database.
    target : str
        Name of the CRM.
    sent : serving.outbox.sent.Sent or None
        What was sent to it; None where nothing was: beside a newer list, or the first time.
    waiting : int
        Objects that are to be sent still.
    """

    put: Put
    target: str
    sent: Sent | None
    waiting: int

    def told(self) -> dict[str, Any]:
        """Say it in JSON values."""
        told = asdict(self.put)
        return {
            "run": told["run_id"],
            "written": {name: told[name] for name in ("listed", "unlisted", "newer")},
            "episodes": {name: told[name] for name in ("opened", "closed")},
            "crm": self.target,
            "sent": None if self.sent is None else self.sent.told(),
            "to_send": self.waiting,
        }


def catch_up(engine: sa.Engine, settings: Settings, *, name: str, now: datetime) -> str | None:
    """Ask the CRM whom humans have dealt with, so that the list about to be made knows.

    Returns
    -------
    str or None
        Why it could not be asked: the list then goes by what it told before.
    """
    if not _was_told(engine, name):
        return None
    try:
        with closing(targets.open_target(settings, name)) as target:
            deadline = time.monotonic() + _LOOK_SECONDS
            call = Calls(target.pace, deadline, time.monotonic, time.sleep)
            worked.pull(engine, target, call, now)
    except (ExpansionError, Denied, Exhausted, OutOfTime) as error:
        return f"{name} did not tell whom humans have dealt with since the last list: {error}"
    return None


def deliver(
    engine: sa.Engine,
    scored: Scored,
    tables: Tables,
    as_of: datetime,
    settings: Settings,
    *,
    name: str,
    record: Mapping[str, Any],
    now: datetime,
) -> Delivered:
    """Write a list with all that follows from it, and send it to the CRM.

    To a CRM that is not ours the first list is not sent: a human looks at it before
    (``crm.shadow``).

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    scored, tables, as_of
        The list, what it was made from, and its as-of, 00:00 UTC.
    settings : data.settings.Settings
        CRM, episodes, order of plans.
    name : str
        Which CRM.
    record : mapping
        How the list came about.
    now : datetime.datetime
        The clock, UTC.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies us; what was put down is kept then.
    """
    done = put(
        engine,
        name,
        scored,
        as_of.date(),
        levels=_levels(tables, as_of, settings),
        rules=settings.episodes,
        record=record,
        finished_at=now,
    )
    if name not in _OURS:  # where an account goes by its own id
        rows = tables.accounts.rows.select("account_id", "crm_id").drop_nulls()
        matches.keep(engine, name, dict(rows.iter_rows()))
    sent = None
    if not done.newer and not _in_shadow(engine, settings, name):
        with closing(targets.open_target(settings, name)) as target:
            sent = sender.send(
                engine,
                target,
                now=now,
                budget_seconds=60 * settings.crm.max_minutes,
                max_writes=settings.crm.max_writes,
            )
    with state.reading(engine) as connection:
        waiting = pending.count(connection, pending.Scope(name))
    return Delivered(done, name, sent, waiting)


def send_some(
    engine: sa.Engine, settings: Settings, *, name: str, objects: int, now: datetime
) -> Sent | None:
    """Send so many objects, the first by their place; None while the CRM is in shadow.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies us.
    """
    if _in_shadow(engine, settings, name):
        return None
    seconds = 60 * settings.crm.max_minutes
    with closing(targets.open_target(settings, name)) as target:
        return sender.send(engine, target, now=now, budget_seconds=seconds, max_writes=objects)


def foresee(
    engine: sa.Engine,
    scored: Scored,
    tables: Tables,
    as_of: datetime,
    settings: Settings,
    *,
    name: str,
) -> Sent | None:
    """Tell what :func:`deliver` would send: reads at the CRM, and writes nowhere.

    None beside a newer list, of which nothing would be sent.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM does not let us look.
    """
    contracts = _levels(tables, as_of, settings)
    with state.reading(engine) as connection:
        follows = consequences.of(
            connection,
            name,
            scored,
            as_of.date(),
            levels=contracts,
            rules=settings.episodes,
        )
        if not follows.in_force:
            return None
        rows = foreseen.rows(connection, name, follows.objects(), as_of.date())
    with closing(targets.open_target(settings, name)) as target:
        return preview.preview(engine, target, rows=rows)


def _levels(tables: Tables, as_of: datetime, settings: Settings) -> Mapping[str, Levels]:
    return levels.at(
        tables.subscriptions.rows,
        as_of,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )


def _in_shadow(engine: sa.Engine, settings: Settings, name: str) -> bool:
    """Whether nothing was ever sent to a CRM that humans work in."""
    return name not in _OURS and settings.crm.shadow and not _was_told(engine, name)


def _was_told(engine: sa.Engine, name: str) -> bool:
    """Whether a CRM was ever sent anything."""
    with state.reading(engine) as connection:
        were = (DELIVERED.c.target == name) & DELIVERED.c.acknowledged_at.is_not(None)
        return connection.scalar(sa.select(DELIVERED.c.key).where(were).limit(1)) is not None
