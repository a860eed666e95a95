"""How events stand: who may send them, how far the watcher is, what was refused, what came of it.

Read from the tables alone: the watcher is another process, and what it has not written down it has
not done. At rest it writes every minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from data.config.webhooks import Webhooks
from serving.events.monitor.repository import CONSUMER_NAME
from serving.events.monitor.threshold import SEVERITIES
from serving.store.engine import read_transaction
from serving.store.event_schema import ALERTS, CONSUMER_OFFSETS, QUARANTINE, WEBHOOK_EVENTS
from serving.web.templating import as_utc, format_moment

__all__ = [
    "MAX_WAITING",
    "EventStatus",
    "RejectionCount",
    "list_event_problems",
    "load_event_status",
]

MAX_WAITING: Final = 100_000  # what waits is counted up to here
_MAX_REASONS: Final = 12
_MAX_DELAY: Final = timedelta(minutes=2)  # so long something may wait without a word
_MAX_SILENCE: Final = timedelta(minutes=5)  # it reads tables and log before it begins


@dataclass(frozen=True)
class RejectionCount:
    """Messages that were refused for one reason: of which source, how many, and the last."""

    source: str
    reason: str
    count: int
    last: datetime


@dataclass(frozen=True)
class EventStatus:
    """Where events stand.

    Attributes
    ----------
    sources : sequence of str
        Addresses that have their secret.
    written_at : datetime.datetime or None
        When the watcher last wrote, UTC; None where it never did.
    counted, unknown : int
        Events it has counted since it began; of these of accounts that nobody knows.
    waiting : int
        Events that it has not counted, up to :data:`MAX_WAITING` and one more.
    waiting_since : datetime.datetime or None
        When the first of those arrived.
    rejections : sequence of Refusal
        By source and reason, the most frequent first; of the messages that are kept.
    open_alerts : mapping of str to int
        Level, the highest first → signals under way.
    problems : sequence of str
        What is not well, a sentence each.
    """

    sources: Sequence[str]
    written_at: datetime | None
    counted: int
    unknown: int
    waiting: int
    waiting_since: datetime | None
    rejections: Sequence[RejectionCount]
    open_alerts: Mapping[str, int]
    problems: Sequence[str]

    @property
    def has_activity(self) -> bool:
        """Whether there is anything to tell: a source, or what came while there was one."""
        return bool(self.sources or self.written_at or self.waiting or self.rejections)


def load_event_status(engine: sa.Engine, webhooks: Webhooks, now: datetime) -> EventStatus:
    """Say how events stand at a moment, UTC."""
    sources = _list_sources(webhooks)
    with read_transaction(engine) as connection:
        row = connection.execute(
            sa.select(CONSUMER_OFFSETS).where(CONSUMER_OFFSETS.c.name == CONSUMER_NAME)
        ).one_or_none()
        uncounted = WEBHOOK_EVENTS.c.id > (row.position if row else 0)
        waiting_rows = (
            sa.select(WEBHOOK_EVENTS.c.id).where(uncounted).limit(MAX_WAITING + 1).subquery()
        )
        waiting = connection.scalar(sa.select(sa.func.count()).select_from(waiting_rows)) or 0
        oldest = (
            sa.select(WEBHOOK_EVENTS.c.received_at)
            .where(uncounted)
            .order_by(WEBHOOK_EVENTS.c.id)
            .limit(1)
        )
        first = connection.scalar(oldest)
        rejections = [
            _to_rejection_count(each) for each in connection.execute(_build_rejection_query())
        ]
        alert_rows = {each.level: each for each in connection.execute(_build_open_alert_query(now))}
    written = as_utc(row.beat_at) if row else None
    since = as_utc(first) if first else None
    not_committed = sum(each.untold for each in alert_rows.values())
    counts = row.counts if row else {}
    return EventStatus(
        sources,
        written,
        counts.get("arrivals", 0),
        counts.get("unknown_account", 0),
        waiting,
        since,
        rejections,
        {level: alert_rows[level].signals for level in reversed(SEVERITIES) if level in alert_rows},
        [*list_event_problems(written, since, not_committed, now)] if sources else [],
    )


def _list_sources(webhooks: Webhooks) -> list[str]:
    secrets = {"segment": webhooks.segment_secret, "generic": webhooks.generic_secret}
    return [f"/webhooks/{name}" for name, secret in secrets.items() if secret is not None]


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


def _to_rejection_count(row: Any) -> RejectionCount:  # noqa: ANN401 - a row of the query above
    return RejectionCount(row.source, row.reason, row.messages, as_utc(row.last))


def _build_open_alert_query(now: datetime) -> sa.Select[Any]:
    """Signals under way by level, and how many of them stand there untold."""
    table = ALERTS.c
    not_committed = table.told_level.is_(None) | (table.told_level != table.level)
    late = not_committed & (table.level_at < now - _MAX_DELAY)
    return (
        sa.select(
            table.level,
            sa.func.count().label("signals"),
            sa.func.count(sa.case((late, 1))).label("untold"),
        )
        .where(table.closed_at.is_(None))
        .group_by(table.level)
    )


def list_event_problems(
    written: datetime | None, since: datetime | None, not_committed: int, now: datetime
) -> Iterator[str]:
    """Say what is not well where a webhook is set up, a sentence each."""
    if written is None:
        yield "The watcher has written nothing yet; if that stays so, the server’s log says why."
    elif now - written > _MAX_SILENCE:
        yield (
            f"The watcher has written nothing since {format_moment(written)}, and should every minute:"
            " the server’s log says why."
        )
    if since is not None and now - since > _MAX_DELAY:
        yield f"Events wait since {format_moment(since)} to be counted."
    if not_committed:
        subject = "signal was" if not_committed == 1 else "signals were"
        yield f"{not_committed:,} {subject} raised and not passed on to the CRM."
