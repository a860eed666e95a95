"""Watches, signals and the position in the database, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import sqlalchemy as sa

from serving.events.monitor.threshold import SEVERITIES, AlertTransition, ThresholdState
from serving.store.event_schema import (
    ALERTS,
    CONSUMER_OFFSETS,
    QUARANTINE,
    THRESHOLD_STATES,
    WEBHOOK_EVENTS,
)
from serving.store.upsert import upsert

__all__ = [
    "CONSUMER_NAME",
    "AlertEvent",
    "ConsumerOffset",
    "Key",
    "load_alerts_to_post",
    "load_alerts_to_rescore",
    "load_offset",
    "load_open_alerts",
    "load_states",
    "purge_events",
    "save_alerts",
    "save_offset",
    "save_states",
]

Key = tuple[str, str]  # account, limit
CONSUMER_NAME: Final = "events"


@dataclass(frozen=True)
class ConsumerOffset:
    """Up to which arrival was counted, on which day, and what was counted since the start."""

    position: int
    day: date
    counts: Mapping[str, int]


@dataclass(frozen=True)
class AlertEvent:
    """A change of a signal, with the figures of its moment."""

    account_id: str
    limit: str
    transition: AlertTransition
    at: datetime
    used: float
    limit_value: float
    used_90d_ago: float | None

    def to_row(self) -> dict[str, Any]:
        """A row of ``signals`` as it is opened."""
        severity = SEVERITIES[self.transition.severity]
        return {
            "account_id": self.account_id,
            "limit": self.limit,
            "number": self.transition.number,
            "level": severity,
            "opened_at": self.at,
            "level_at": self.at,
            "used": self.used,
            "of": self.limit_value,
            "before": self.used_90d_ago,
        }


def load_offset(connection: sa.Connection) -> ConsumerOffset | None:
    """How far was counted; None before the first time."""
    row = connection.execute(
        sa.select(CONSUMER_OFFSETS).where(CONSUMER_OFFSETS.c.name == CONSUMER_NAME)
    ).one_or_none()
    return None if row is None else ConsumerOffset(row.position, row.day, row.counts)


def save_offset(connection: sa.Connection, offset: ConsumerOffset, now: datetime) -> None:
    """Say how far is counted now."""
    row = {
        "name": CONSUMER_NAME,
        "position": offset.position,
        "day": offset.day,
        "beat_at": now,
        "counts": dict(offset.counts),
    }
    upsert(connection, CONSUMER_OFFSETS, [row])


def load_states(connection: sa.Connection) -> dict[Key, ThresholdState]:
    """What is remembered, by account and limit."""
    rows = connection.execute(sa.select(THRESHOLD_STATES))
    return {(row.account_id, row.limit): ThresholdState.from_dict(row.state) for row in rows}


def save_states(connection: sa.Connection, states: Mapping[Key, ThresholdState]) -> None:
    """Keep watches; one of which there is nothing to remember is forgotten."""
    rows = [
        {"account_id": account, "limit": limit, "state": watch.to_dict()}
        for (account, limit), watch in states.items()
        if watch != ThresholdState()
    ]
    upsert(connection, THRESHOLD_STATES, rows)
    for (account, limit), watch in states.items():
        if watch == ThresholdState():
            here = (THRESHOLD_STATES.c.account_id == account) & (THRESHOLD_STATES.c.limit == limit)
            connection.execute(sa.delete(THRESHOLD_STATES).where(here))


def save_alerts(
    connection: sa.Connection, events: Iterable[AlertEvent], *, warm_up: bool = False
) -> None:
    """Enter what happened to signals; quietly: as if it had been told before."""
    for each in events:
        row, transition = each.to_row(), each.transition
        if warm_up:
            message = "under pressure before events were watched"
            row |= {"told_level": row["level"], "posted_level": row["level"], "words": message}
        if transition.kind == "opened":
            connection.execute(sa.insert(ALERTS).values(row))
            continue
        if transition.kind == "escalated":
            columns = ("level", "level_at", "used", "of", "before", "told_level", "posted_level")
            values = {name: row[name] for name in columns if name in row}
        else:
            values = {"closed_at": each.at, "ending": transition.ending}
        here = _match_alert(each.account_id, each.limit, transition.number)
        connection.execute(sa.update(ALERTS).where(here).values(values))


def load_alerts_to_rescore(connection: sa.Connection, *, max_rows: int) -> list[dict[str, Any]]:
    """Open signals whose level was not put down yet, oldest first."""
    not_committed = ALERTS.c.told_level.is_(None) | (ALERTS.c.told_level != ALERTS.c.level)
    query = sa.select(ALERTS).where(ALERTS.c.closed_at.is_(None), not_committed)
    return _fetch_rows(
        connection, query.order_by(ALERTS.c.level_at, ALERTS.c.account_id).limit(max_rows)
    )


def load_alerts_to_post(
    connection: sa.Connection, *, since: datetime, max_rows: int
) -> list[dict[str, Any]]:
    """Open signals that were put down and not posted at their level, not older than that."""
    not_posted = ALERTS.c.posted_level.is_(None) | (ALERTS.c.posted_level != ALERTS.c.level)
    query = sa.select(ALERTS).where(
        ALERTS.c.closed_at.is_(None),
        ALERTS.c.told_level == ALERTS.c.level,
        ALERTS.c.level_at >= since,
        not_posted,
    )
    return _fetch_rows(
        connection, query.order_by(ALERTS.c.level_at, ALERTS.c.account_id).limit(max_rows)
    )


def load_open_alerts(connection: sa.Connection) -> dict[str, str]:
    """Account → the limit on which a signal of at least priority is open; of two the later."""
    pressing = ALERTS.c.closed_at.is_(None) & ALERTS.c.level.in_(SEVERITIES[1:])
    query = sa.select(ALERTS.c.account_id, ALERTS.c.limit).where(pressing)
    rows = connection.execute(query.order_by(ALERTS.c.level_at))
    return {row.account_id: row.limit for row in rows}


def purge_events(connection: sa.Connection, before: datetime, position: int) -> None:
    """Delete what arrived, or was refused, so long ago."""
    old = (WEBHOOK_EVENTS.c.received_at < before) & (WEBHOOK_EVENTS.c.id <= position)
    connection.execute(sa.delete(WEBHOOK_EVENTS).where(old))
    connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.received_at < before))


def _match_alert(account_id: str, limit: str, number: int) -> sa.ColumnElement[bool]:
    table = ALERTS.c
    return (table.account_id == account_id) & (table.limit == limit) & (table.number == number)


def _fetch_rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [_with_time_zone(dict(row)) for row in connection.execute(query).mappings()]


def _with_time_zone(row: dict[str, Any]) -> dict[str, Any]:
    """SQLite gives its times without their zone."""
    return {
        name: value.replace(tzinfo=UTC)
        if isinstance(value, datetime) and value.tzinfo is None
        else value
        for name, value in row.items()
    }
