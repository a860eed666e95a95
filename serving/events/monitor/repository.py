"""Persistence of threshold states, alerts and the offset, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from serving.events.monitor.threshold import AlertTransition, ThresholdState
from serving.store import as_utc
from serving.store.event_schema import (
    ALERTS,
    CONSUMER_OFFSETS,
    QUARANTINE,
    SEVERITIES,
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
    """Last counted event and day, and counts since the start."""

    position: int
    day: date
    counts: Mapping[str, int]


@dataclass(frozen=True)
class AlertEvent:
    """An alert transition with the utilization at that moment."""

    account_id: str
    limit: str
    transition: AlertTransition
    at: datetime
    used: float
    limit_value: float
    used_90d_ago: float | None

    def to_row(self) -> dict[str, Any]:
        """Return the row of the alerts table for a new alert."""
        severity = SEVERITIES[self.transition.severity]
        return {
            "account_id": self.account_id,
            "limit": self.limit,
            "number": self.transition.number,
            "severity": severity,
            "opened_at": self.at,
            "severity_at": self.at,
            "used": self.used,
            "limit_value": self.limit_value,
            "used_90d_ago": self.used_90d_ago,
        }


def load_offset(connection: sa.Connection) -> ConsumerOffset | None:
    """Return the consumer offset, or None before the first run."""
    row = connection.execute(
        sa.select(CONSUMER_OFFSETS).where(CONSUMER_OFFSETS.c.name == CONSUMER_NAME)
    ).one_or_none()
    return None if row is None else ConsumerOffset(row.position, row.day, row.counts)


def save_offset(connection: sa.Connection, offset: ConsumerOffset, now: datetime) -> None:
    """Save the consumer offset and the heartbeat."""
    row = {
        "name": CONSUMER_NAME,
        "position": offset.position,
        "day": offset.day,
        "heartbeat_at": now,
        "counts": dict(offset.counts),
    }
    upsert(connection, CONSUMER_OFFSETS, [row])


def load_states(connection: sa.Connection) -> dict[Key, ThresholdState]:
    """Return the threshold states by account and limit."""
    rows = connection.execute(sa.select(THRESHOLD_STATES))
    return {(row.account_id, row.limit): ThresholdState.from_dict(row.state) for row in rows}


def save_states(connection: sa.Connection, states: Mapping[Key, ThresholdState]) -> None:
    """Save threshold states; delete the rows of empty states."""
    rows = [
        {"account_id": account, "limit": limit, "state": state.to_dict()}
        for (account, limit), state in states.items()
        if state != ThresholdState()
    ]
    upsert(connection, THRESHOLD_STATES, rows)
    for (account, limit), state in states.items():
        if state == ThresholdState():
            condition = (THRESHOLD_STATES.c.account_id == account) & (
                THRESHOLD_STATES.c.limit == limit
            )
            connection.execute(sa.delete(THRESHOLD_STATES).where(condition))


def save_alerts(
    connection: sa.Connection, events: Iterable[AlertEvent], *, warm_up: bool = False
) -> None:
    """Save alert transitions; with ``warm_up``, mark new alerts as already sent."""
    for event in events:
        row, transition = event.to_row(), event.transition
        if warm_up:
            message = "above the threshold before monitoring started"
            row |= {
                "committed_severity": row["severity"],
                "posted_severity": row["severity"],
                "message": message,
            }
        if transition.kind == "opened":
            connection.execute(sa.insert(ALERTS).values(row))
            continue
        if transition.kind == "escalated":
            columns = (
                "severity",
                "severity_at",
                "used",
                "limit_value",
                "used_90d_ago",
                "committed_severity",
                "posted_severity",
            )
            values = {name: row[name] for name in columns if name in row}
        else:
            values = {"closed_at": event.at, "close_reason": transition.close_reason}
        condition = _match_alert(event.account_id, event.limit, transition.number)
        connection.execute(sa.update(ALERTS).where(condition).values(values))


def load_alerts_to_rescore(connection: sa.Connection, *, max_rows: int) -> list[dict[str, Any]]:
    """Return open alerts whose severity is not committed to the CRM yet, oldest first."""
    not_committed = ALERTS.c.committed_severity.is_(None) | (
        ALERTS.c.committed_severity != ALERTS.c.severity
    )
    query = sa.select(ALERTS).where(ALERTS.c.closed_at.is_(None), not_committed)
    return _fetch_rows(
        connection, query.order_by(ALERTS.c.severity_at, ALERTS.c.account_id).limit(max_rows)
    )


def load_alerts_to_post(
    connection: sa.Connection, *, since: datetime, max_rows: int
) -> list[dict[str, Any]]:
    """Return open alerts since ``since`` that are committed and not posted at their severity."""
    not_posted = ALERTS.c.posted_severity.is_(None) | (
        ALERTS.c.posted_severity != ALERTS.c.severity
    )
    query = sa.select(ALERTS).where(
        ALERTS.c.closed_at.is_(None),
        ALERTS.c.committed_severity == ALERTS.c.severity,
        ALERTS.c.severity_at >= since,
        not_posted,
    )
    return _fetch_rows(
        connection, query.order_by(ALERTS.c.severity_at, ALERTS.c.account_id).limit(max_rows)
    )


def purge_events(connection: sa.Connection, before: datetime, position: int) -> None:
    """Delete counted webhook events and quarantined messages received before a time."""
    is_expired = (WEBHOOK_EVENTS.c.received_at < before) & (WEBHOOK_EVENTS.c.id <= position)
    connection.execute(sa.delete(WEBHOOK_EVENTS).where(is_expired))
    connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.received_at < before))


def _match_alert(account_id: str, limit: str, number: int) -> sa.ColumnElement[bool]:
    table = ALERTS.c
    return (table.account_id == account_id) & (table.limit == limit) & (table.number == number)


def _fetch_rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [_with_time_zone(dict(row)) for row in connection.execute(query).mappings()]


def _with_time_zone(row: dict[str, Any]) -> dict[str, Any]:
    """Set UTC on times; SQLite returns them without a zone."""
    return {
        name: as_utc(value) if isinstance(value, datetime) else value for name, value in row.items()
    }
