"""Status of event processing: sources, consumer lag, rejected messages and open alerts.

The status is read from the database only, since the consumer is another process. When idle, the
consumer writes a heartbeat every minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from data.config.settings import WebhooksConfig
from serving.events.monitor.repository import CONSUMER_NAME
from serving.store import as_utc, read_transaction
from serving.store.event_schema import (
    ALERTS,
    CONSUMER_OFFSETS,
    QUARANTINE,
    SEVERITIES,
    WEBHOOK_EVENTS,
)
from serving.web.templating import format_moment

__all__ = ["MAX_WAITING", "EventStatus", "list_event_problems", "load_event_status"]

MAX_WAITING: Final = 100_000  # waiting events are counted up to this number
_MAX_REASONS: Final = 12
_MAX_DELAY: Final = timedelta(minutes=2)  # events and alerts may wait this long
_MAX_SILENCE: Final = timedelta(minutes=5)  # startup loads tables and log first


@dataclass(frozen=True)
class EventStatus:
    """Status of event processing; times are UTC, problems one sentence each.

    ``sources`` are the routes whose secret is set. ``written_at`` is the time of the consumer's
    last heartbeat. ``counted`` are events since the start, ``unknown`` those of unknown accounts.
    ``waiting`` events are not counted yet, up to :data:`MAX_WAITING` + 1; the first arrived at
    ``waiting_since``. ``rejections`` are of the messages still in quarantine, most frequent first:
    ``source``, ``reason``, ``messages`` and the time of the ``last``. ``open_alerts`` maps the
    severity, highest first, to a number.
    """

    sources: Sequence[str]
    written_at: datetime | None
    counted: int
    unknown: int
    waiting: int
    waiting_since: datetime | None
    rejections: Sequence[sa.Row[Any]]
    open_alerts: Mapping[str, int]
    problems: Sequence[str]

    @property
    def has_activity(self) -> bool:
        """True if a source is set up, or events were received before."""
        return bool(self.sources or self.written_at or self.waiting or self.rejections)


def load_event_status(engine: sa.Engine, webhooks: WebhooksConfig, now: datetime) -> EventStatus:
    """Load the status of event processing at a moment, UTC."""
    sources = [f"/webhooks/{name}" for name in webhooks.secrets]
    with read_transaction(engine) as connection:
        offset = connection.execute(
            sa.select(CONSUMER_OFFSETS).where(CONSUMER_OFFSETS.c.name == CONSUMER_NAME)
        ).one_or_none()
        uncounted = WEBHOOK_EVENTS.c.id > (offset.position if offset else 0)
        waiting_rows = sa.select(WEBHOOK_EVENTS.c.id).where(uncounted).limit(MAX_WAITING + 1)
        count = sa.select(sa.func.count()).select_from(waiting_rows.subquery())
        waiting = connection.scalar(count) or 0
        arrivals = sa.select(WEBHOOK_EVENTS.c.received_at).where(uncounted)
        first = connection.scalar(arrivals.order_by(WEBHOOK_EVENTS.c.id).limit(1))
        rejections = connection.execute(_build_rejection_query()).all()
        alert_rows = {row.severity: row for row in connection.execute(_build_open_alert_query(now))}
    written = as_utc(offset.heartbeat_at) if offset else None
    since = as_utc(first) if first else None
    not_committed = sum(row.overdue for row in alert_rows.values())
    counts = offset.counts if offset else {}
    severities = [severity for severity in reversed(SEVERITIES) if severity in alert_rows]
    return EventStatus(
        sources=sources,
        written_at=written,
        counted=counts.get("events", 0),
        unknown=counts.get("unknown_account", 0),
        waiting=waiting,
        waiting_since=since,
        rejections=rejections,
        open_alerts={severity: alert_rows[severity].alerts for severity in severities},
        problems=[*list_event_problems(written, since, not_committed, now)] if sources else [],
    )


def _build_rejection_query() -> sa.Select[Any]:
    count = sa.func.count().label("messages")
    return (
        sa.select(
            QUARANTINE.c.source,
            QUARANTINE.c.reason,
            count,
            sa.func.max(QUARANTINE.c.received_at).label("last"),
        )
        .group_by(QUARANTINE.c.source, QUARANTINE.c.reason)
        .order_by(count.desc(), QUARANTINE.c.source, QUARANTINE.c.reason)
        .limit(_MAX_REASONS)
    )


def _build_open_alert_query(now: datetime) -> sa.Select[Any]:
    """Count open alerts by severity, and those that are overdue for the CRM."""
    table = ALERTS.c
    not_committed = table.committed_severity.is_(None) | (
        table.committed_severity != table.severity
    )
    late = not_committed & (table.severity_at < now - _MAX_DELAY)
    return (
        sa.select(
            table.severity,
            sa.func.count().label("alerts"),
            sa.func.count(sa.case((late, 1))).label("overdue"),
        )
        .where(table.closed_at.is_(None))
        .group_by(table.severity)
    )


def list_event_problems(
    written: datetime | None, since: datetime | None, not_committed: int, now: datetime
) -> Iterator[str]:
    """Yield the problems of event processing, one sentence each."""
    if written is None:
        yield "No heartbeat from the event consumer yet. If this persists, check the server log."
    elif now - written > _MAX_SILENCE:
        yield (
            f"No heartbeat from the event consumer since {format_moment(written)}; one is expected"
            " every minute. Check the server log."
        )
    if since is not None and now - since > _MAX_DELAY:
        yield f"Events have been waiting since {format_moment(since)}."
    if not_committed:
        subject = "alert was" if not_committed == 1 else "alerts were"
        yield f"{not_committed:,} {subject} raised and not sent to the CRM."
