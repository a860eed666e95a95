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
    "update_alert",
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
        transition = event.transition
        key = {
            "account_id": event.account_id,
            "limit": event.limit,
            "number": transition.number,
        }
        if transition.kind == "closed":
            update_alert(connection, key, closed_at=event.at, close_reason=transition.close_reason)
            continue
        severity = SEVERITIES[transition.severity]
        values = {
            "severity": severity,
            "severity_at": event.at,
            "used": event.used,
            "limit_value": event.limit_value,
            "used_90d_ago": event.used_90d_ago,
        }
        if warm_up:
            values |= {
                "committed_severity": severity,
                "posted_severity": severity,
                "message": "above the threshold before monitoring started",
            }
        if transition.kind == "opened":
            connection.execute(sa.insert(ALERTS).values(**key, **values, opened_at=event.at))
        else:
            update_alert(connection, key, **values)


def update_alert(connection: sa.Connection, alert: Mapping[str, Any], **values: Any) -> None:  # noqa: ANN401 - of any column
    """Update an alert, identified by its account, limit and number."""
    condition = sa.and_(*(column == alert[column.name] for column in ALERTS.primary_key))
    connection.execute(sa.update(ALERTS).where(condition).values(values))


def load_alerts_to_rescore(connection: sa.Connection, *, max_rows: int) -> list[dict[str, Any]]:
    """Return open alerts whose severity is not committed to the CRM yet, oldest first."""
    is_due = ALERTS.c.committed_severity.is_distinct_from(ALERTS.c.severity)
    return _load_open_alerts(connection, is_due, max_rows)


def load_alerts_to_post(
    connection: sa.Connection, *, since: datetime, max_rows: int
) -> list[dict[str, Any]]:
    """Return open alerts since ``since`` that are committed and not posted at their severity."""
    is_due = sa.and_(
        ALERTS.c.committed_severity == ALERTS.c.severity,
        ALERTS.c.posted_severity.is_distinct_from(ALERTS.c.severity),
        ALERTS.c.severity_at >= since,
    )
    return _load_open_alerts(connection, is_due, max_rows)


def purge_events(connection: sa.Connection, before: datetime, position: int) -> None:
    """Delete counted webhook events and quarantined messages received before a time."""
    is_expired = (WEBHOOK_EVENTS.c.received_at < before) & (WEBHOOK_EVENTS.c.id <= position)
    connection.execute(sa.delete(WEBHOOK_EVENTS).where(is_expired))
    connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.received_at < before))


def _load_open_alerts(
    connection: sa.Connection, is_due: sa.ColumnElement[bool], max_rows: int
) -> list[dict[str, Any]]:
    """Return open alerts with times in UTC; SQLite returns them without a zone."""
    query = (
        sa.select(ALERTS)
        .where(ALERTS.c.closed_at.is_(None), is_due)
        .order_by(ALERTS.c.severity_at, ALERTS.c.account_id)
        .limit(max_rows)
    )
    return [
        {
            name: as_utc(value) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in connection.execute(query).mappings()
    ]
