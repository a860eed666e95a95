"""Watches, signals and the position in the database, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import sqlalchemy as sa

from serving.events.tables import ARRIVALS, PROGRESS, QUARANTINE, SIGNALS, WATCHES
from serving.outbox.upsert import upsert
from serving.triggers import LEVELS, Change, Watch

__all__ = [
    "NAME",
    "Fired",
    "Key",
    "Progress",
    "advance",
    "forget",
    "open_signals",
    "progress",
    "remember",
    "tell",
    "to_post",
    "to_tell",
    "watches",
]

Key = tuple[str, str]  # account, limit
NAME: Final = "events"


@dataclass(frozen=True)
class Progress:
    """Up to which arrival was counted, on which day, and what was counted since the start."""

    position: int
    day: date
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Fired:
    """A change of a signal, with the figures of its moment."""

    account_id: str
    limit: str
    change: Change
    at: datetime
    used: float
    of: float
    before: float | None

    def row(self) -> dict[str, Any]:
        """A row of ``signals`` as it is opened."""
        level = LEVELS[self.change.level]
        return {
            "account_id": self.account_id,
            "limit": self.limit,
            "number": self.change.number,
            "level": level,
            "opened_at": self.at,
            "level_at": self.at,
            "used": self.used,
            "of": self.of,
            "before": self.before,
        }


def progress(connection: sa.Connection) -> Progress | None:
    """How far was counted; None before the first time."""
    row = connection.execute(sa.select(PROGRESS).where(PROGRESS.c.name == NAME)).one_or_none()
    return None if row is None else Progress(row.position, row.day, row.counts)


def advance(connection: sa.Connection, after: Progress, now: datetime) -> None:
    """Say how far is counted now."""
    row = {
        "name": NAME,
        "position": after.position,
        "day": after.day,
        "beat_at": now,
        "counts": dict(after.counts),
    }
    upsert(connection, PROGRESS, [row])


def watches(connection: sa.Connection) -> dict[Key, Watch]:
    """What is remembered, by account and limit."""
    rows = connection.execute(sa.select(WATCHES))
    return {(row.account_id, row.limit): Watch.of(row.state) for row in rows}


def remember(connection: sa.Connection, changed: Mapping[Key, Watch]) -> None:
    """Keep watches; one of which there is nothing to remember is forgotten."""
    kept = [
        {"account_id": account, "limit": limit, "state": watch.told()}
        for (account, limit), watch in changed.items()
        if watch != Watch()
    ]
    upsert(connection, WATCHES, kept)
    for (account, limit), watch in changed.items():
        if watch == Watch():
            here = (WATCHES.c.account_id == account) & (WATCHES.c.limit == limit)
            connection.execute(sa.delete(WATCHES).where(here))


def tell(connection: sa.Connection, fired: Iterable[Fired], *, quietly: bool = False) -> None:
    """Enter what happened to signals; quietly: as if it had been told before."""
    for each in fired:
        row, change = each.row(), each.change
        if quietly:
            was = "under pressure before events were watched"
            row |= {"told_level": row["level"], "posted_level": row["level"], "words": was}
        if change.kind == "opened":
            connection.execute(sa.insert(SIGNALS).values(row))
            continue
        if change.kind == "escalated":
            named = ("level", "level_at", "used", "of", "before", "told_level", "posted_level")
            values = {name: row[name] for name in named if name in row}
        else:
            values = {"closed_at": each.at, "ending": change.ending}
        here = _is(each.account_id, each.limit, change.number)
        connection.execute(sa.update(SIGNALS).where(here).values(values))


def to_tell(connection: sa.Connection, *, most: int) -> list[dict[str, Any]]:
    """Open signals whose level was not put down yet, oldest first."""
    untold = SIGNALS.c.told_level.is_(None) | (SIGNALS.c.told_level != SIGNALS.c.level)
    query = sa.select(SIGNALS).where(SIGNALS.c.closed_at.is_(None), untold)
    return _rows(connection, query.order_by(SIGNALS.c.level_at, SIGNALS.c.account_id).limit(most))


def to_post(connection: sa.Connection, *, since: datetime, most: int) -> list[dict[str, Any]]:
    """Open signals that were put down and not posted at their level, not older than that."""
    unposted = SIGNALS.c.posted_level.is_(None) | (SIGNALS.c.posted_level != SIGNALS.c.level)
    query = sa.select(SIGNALS).where(
        SIGNALS.c.closed_at.is_(None),
        SIGNALS.c.told_level == SIGNALS.c.level,
        SIGNALS.c.level_at >= since,
        unposted,
    )
    return _rows(connection, query.order_by(SIGNALS.c.level_at, SIGNALS.c.account_id).limit(most))


def open_signals(connection: sa.Connection) -> dict[str, str]:
    """Account → the limit on which a signal of at least priority is open; of two the later."""
    pressing = SIGNALS.c.closed_at.is_(None) & SIGNALS.c.level.in_(LEVELS[1:])
    query = sa.select(SIGNALS.c.account_id, SIGNALS.c.limit).where(pressing)
    rows = connection.execute(query.order_by(SIGNALS.c.level_at))
    return {row.account_id: row.limit for row in rows}


def forget(connection: sa.Connection, before: datetime, position: int) -> None:
    """Delete what arrived, or was refused, so long ago."""
    old = (ARRIVALS.c.received_at < before) & (ARRIVALS.c.id <= position)
    connection.execute(sa.delete(ARRIVALS).where(old))
    connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.received_at < before))


def _is(account_id: str, limit: str, number: int) -> sa.ColumnElement[bool]:
    table = SIGNALS.c
    return (table.account_id == account_id) & (table.limit == limit) & (table.number == number)


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [_dated(dict(row)) for row in connection.execute(query).mappings()]


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    """SQLite gives its times without their zone."""
    return {
        name: value.replace(tzinfo=UTC)
        if isinstance(value, datetime) and value.tzinfo is None
        else value
        for name, value in row.items()
    }
