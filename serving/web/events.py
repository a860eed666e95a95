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

from data.webhooks import Webhooks
from serving.events.kept import NAME
from serving.events.tables import ARRIVALS, PROGRESS, QUARANTINE, SIGNALS
from serving.state.database import reading
from serving.triggers import LEVELS
from serving.web.pages import moment, utc

__all__ = ["MOST", "Events", "Refusal", "ill", "stand"]

MOST: Final = 100_000  # what waits is counted up to here
_REASONS: Final = 12
_PATIENCE: Final = timedelta(minutes=2)  # so long something may wait without a word
_SILENT: Final = timedelta(minutes=5)  # it reads tables and log before it begins


@dataclass(frozen=True)
class Refusal:
    """Messages that were refused for one reason: of which source, how many, and the last."""

    source: str
    reason: str
    count: int
    last: datetime


@dataclass(frozen=True)
class Events:
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
        Events that it has not counted, up to :data:`MOST` and one more.
    since : datetime.datetime or None
        When the first of those arrived.
    refused : sequence of Refusal
        By source and reason, the most frequent first; of the messages that are kept.
    signals : mapping of str to int
        Level, the highest first → signals under way.
    ill : sequence of str
        What is not well, a sentence each.
    """

    sources: Sequence[str]
    written_at: datetime | None
    counted: int
    unknown: int
    waiting: int
    since: datetime | None
    refused: Sequence[Refusal]
    signals: Mapping[str, int]
    ill: Sequence[str]

    @property
    def any(self) -> bool:
        """Whether there is anything to tell: a source, or what came while there was one."""
        return bool(self.sources or self.written_at or self.waiting or self.refused)


def stand(engine: sa.Engine, hooks: Webhooks, now: datetime) -> Events:
    """Say how events stand at a moment, UTC."""
    sources = _sources(hooks)
    with reading(engine) as connection:
        row = connection.execute(sa.select(PROGRESS).where(PROGRESS.c.name == NAME)).one_or_none()
        after = ARRIVALS.c.id > (row.position if row else 0)
        some = sa.select(ARRIVALS.c.id).where(after).limit(MOST + 1).subquery()
        waiting = connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0
        oldest = sa.select(ARRIVALS.c.received_at).where(after).order_by(ARRIVALS.c.id).limit(1)
        first = connection.scalar(oldest)
        refused = [_refusal(each) for each in connection.execute(_refusals())]
        found = {each.level: each for each in connection.execute(_under_way(now))}
    written = utc(row.beat_at) if row else None
    since = utc(first) if first else None
    untold = sum(each.untold for each in found.values())
    counts = row.counts if row else {}
    return Events(
        sources,
        written,
        counts.get("arrivals", 0),
        counts.get("unknown_account", 0),
        waiting,
        since,
        refused,
        {level: found[level].signals for level in reversed(LEVELS) if level in found},
        [*ill(written, since, untold, now)] if sources else [],
    )


def _sources(hooks: Webhooks) -> list[str]:
    secrets = {"segment": hooks.segment_secret, "generic": hooks.generic_secret}
    return [f"/webhooks/{name}" for name, secret in secrets.items() if secret is not None]


def _refusals() -> sa.Select[Any]:
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
        .limit(_REASONS)
    )


def _refusal(row: Any) -> Refusal:  # noqa: ANN401 - a row of the query above
    return Refusal(row.source, row.reason, row.messages, utc(row.last))


def _under_way(now: datetime) -> sa.Select[Any]:
    """Signals under way by level, and how many of them stand there untold."""
    table = SIGNALS.c
    untold = table.told_level.is_(None) | (table.told_level != table.level)
    late = untold & (table.level_at < now - _PATIENCE)
    return (
        sa.select(
            table.level,
            sa.func.count().label("signals"),
            sa.func.count(sa.case((late, 1))).label("untold"),
        )
        .where(table.closed_at.is_(None))
        .group_by(table.level)
    )


def ill(
    written: datetime | None, since: datetime | None, untold: int, now: datetime
) -> Iterator[str]:
    """Say what is not well where a webhook is set up, a sentence each."""
    if written is None:
        yield "The watcher has written nothing yet; if that stays so, the server’s log says why."
    elif now - written > _SILENT:
        yield (
            f"The watcher has written nothing since {moment(written)}, and should every minute:"
            " the server’s log says why."
        )
    if since is not None and now - since > _PATIENCE:
        yield f"Events wait since {moment(since)} to be counted."
    if untold:
        told = "signal was" if untold == 1 else "signals were"
        yield f"{untold:,} {told} raised and not passed on to the CRM."
