"""The sender: makes true at a CRM what the outbox says should be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import state
from serving.crm.target import KINDS, Denied, Target
from serving.outbox import batch, lease, pending, worked
from serving.outbox.batch import Work
from serving.outbox.calls import Calls, Exhausted, OutOfTime
from serving.outbox.lease import Lost
from serving.outbox.pending import Row, Scope
from serving.outbox.sent import Planned, Sent
from serving.state.schema import SENDS

__all__ = ["send"]

_BATCHES_AT_ONCE: Final = 20
_ROWS_AT_ONCE: Final = 5_000  # held in memory, or those of so many batches


def send(
    engine: sa.Engine,
    target: Target,
    *,
    now: datetime,
    budget_seconds: float = 1800.0,
    max_writes: int | None = None,
    full: bool = False,
    run_id: int | None = None,
    tell: Callable[[Planned], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send what differs from what the target acknowledged last.

    Can be killed at any point, and called again: nothing is lost and nothing doubled. Where
    another sender is at work on the target, it takes these rows too, and we leave at once.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    target : serving.crm.target.Target
        Where to; it stays open.
    now : datetime.datetime
        The wall clock at the start, UTC: what the stamps say. Nothing depends on its being right.
    budget_seconds : float
        After so long the rest is left for the next time.
    max_writes : int, optional
        At most so many objects are written, the best places first.
    full : bool
        Look at every object, also those that were acknowledged as they are, or refused.
    run_id : int, optional
        Only objects that this run put into the outbox.
    tell : callable, optional
        Is given what becomes of each object that differs, as it comes.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.

    Returns
    -------
    serving.outbox.sent.Sent
        Counts, and why it stopped early where it did.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies us, or the database refuses. What was acknowledged before is kept.
    """
    start = clock()
    call = Calls(target.pace, start + budget_seconds, clock, sleep)
    scope = Scope(target.name, full, run_id)
    held = lease.take(engine, target.name, lambda: now + timedelta(seconds=clock() - start))
    if isinstance(held, str):
        told = f"another sender ({held}) is at work on {target.name!r}; it takes these objects too"
        return Sent(left=_count(engine, scope), words=told)
    send_id = _begin(engine, scope, now)
    work = Work(engine, target, call, held, send_id, now, tell)
    try:
        words = _until_done(work, scope, max_writes)
    except (DeliveryError, Denied) as error:
        with suppress(DeliveryError):  # the first word counts
            _end(work, scope, str(error))
        raise DeliveryError(str(error)) from error
    return _end(work, scope, words)


def _until_done(work: Work, scope: Scope, max_writes: int | None) -> str | None:
    """Send until nothing is left that could be; say why where it stops before."""
    while True:
        try:
            words = _send(work, scope, max_writes)
        finally:
            with suppress(DeliveryError):  # it runs out by itself
                work.lease.release(work.engine)
        # Whoever found us at work has left to us what it put into the outbox meanwhile.
        if words or _count(work.engine, scope) <= work.tally.stuck:
            return words
        held = lease.take(work.engine, work.target.name, work.lease.time)
        if isinstance(held, str):
            return None
        work = replace(work, lease=held)


def _send(work: Work, scope: Scope, max_writes: int | None) -> str | None:
    try:
        with suppress(Exhausted):  # the next time asks from the same day on
            work.tally.worked = worked.pull(work.engine, work.target, work.call, work.now)
        while _pass(work, scope, max_writes):
            scope = replace(scope, full=False)
    except (OutOfTime, Lost) as stopped:
        return str(stopped)
    if max_writes is not None and work.tally.written >= max_writes:
        return f"the cap of {max_writes:,} objects a run (crm.max_writes) is reached"
    return None


def _pass(work: Work, scope: Scope, max_writes: int | None) -> bool:
    """Go through all rows once, and say whether any was settled, so that another pass may do more.

    The best places go first, and of each stretch of them parents before what hangs on them.
    """
    tally, before = work.tally, work.tally.settled
    tally.waiting, tally.stuck, after = 0, 0, None
    size = work.target.pace.rows_per_call
    while max_writes is None or tally.written < max_writes:
        rows = max(size * _BATCHES_AT_ONCE, _ROWS_AT_ONCE)
        if max_writes is not None:
            rows = min(rows, max_writes - tally.written)
        with state.reading(work.engine) as connection:
            window = pending.window(connection, scope, after, rows)
        if not window:
            break
        settled = tally.settled
        for some in _batches(window, size):
            batch.deliver(work, some)
        tally.stuck += len(window) - (tally.settled - settled)
        after = window[-1].position
    return tally.settled > before


def _batches(window: Sequence[Row], size: int) -> Iterator[list[Row]]:
    for kind in KINDS:
        rows = [row for row in window if row.kind == kind]
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _count(engine: sa.Engine, scope: Scope) -> int:
    with state.reading(engine) as connection:
        return pending.count(connection, replace(scope, full=False))


def _begin(engine: sa.Engine, scope: Scope, now: datetime) -> int:
    mode = "full" if scope.full else "send"
    row = sa.insert(SENDS).values(target=scope.target, mode=mode, started_at=now, counts={})
    with state.writing(engine) as connection:
        return int(connection.execute(row.returning(SENDS.c.id)).scalar_one())


def _end(work: Work, scope: Scope, words: str | None) -> Sent:
    sent = work.tally.sent(work.call, pending=_count(work.engine, scope), words=words)
    with state.writing(work.engine) as connection:
        connection.execute(
            sa.update(SENDS)
            .where(SENDS.c.id == work.send_id)
            .values(finished_at=work.lease.time(), counts=sent.told(), words=words)
        )
    return sent
