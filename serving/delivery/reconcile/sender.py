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
from serving import store
from serving.delivery.crm.base import KINDS, AccessDeniedError, CrmTarget
from serving.delivery.reconcile import batch, crm_activity, queue
from serving.delivery.reconcile.batch import SendContext
from serving.delivery.reconcile.queue import PendingObject, Selection
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import PlannedChange, SyncSummary
from serving.store import lease
from serving.store.lease import LeaseLostError
from serving.store.schema import SYNC_RUNS

__all__ = ["send_pending"]

_BATCHES_PER_PAGE: Final = 20
_MIN_PAGE_SIZE: Final = 5_000  # held in memory, or those of so many batches


def send_pending(
    engine: sa.Engine,
    target: CrmTarget,
    *,
    now: datetime,
    budget_seconds: float = 1800.0,
    max_writes: int | None = None,
    resync: bool = False,
    run_id: int | None = None,
    on_change: Callable[[PlannedChange], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SyncSummary:
    """Send what differs from what the target acknowledged last.

    Can be killed at any point, and called again: nothing is lost and nothing doubled. Where
    another sender is at work on the target, it takes these rows too, and we leave at once.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    target : serving.delivery.crm.base.CrmTarget
        Where to; it stays open.
    now : datetime.datetime
        The wall clock at the start, UTC: what the stamps say. Nothing depends on its being right.
    budget_seconds : float
        After so long the rest is left for the next time.
    max_writes : int, optional
        At most so many objects are written, the best places first.
    resync : bool
        Look at every object, also those that were acknowledged as they are, or refused.
    run_id : int, optional
        Only objects that this run put into the outbox.
    on_change : callable, optional
        Is given what becomes of each object that differs, as it comes.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.

    Returns
    -------
    serving.delivery.reconcile.summary.SyncSummary
        Counts, and why it stopped early where it did.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies us, or the database refuses. What was acknowledged before is kept.
    """
    start = clock()
    call = RetryingCaller(target.rate_limit, start + budget_seconds, clock, sleep)
    selection = Selection(target.name, resync, run_id)
    held = lease.acquire_lease(
        engine, target.name, lambda: now + timedelta(seconds=clock() - start)
    )
    if isinstance(held, str):
        message = (
            f"another sender ({held}) is at work on {target.name!r}; it takes these objects too"
        )
        return SyncSummary(left=_count_pending(engine, selection), words=message)
    send_id = _start_sync_run(engine, selection, now)
    context = SendContext(engine, target, call, held, send_id, now, on_change)
    try:
        stop_reason = _send_until_done(context, selection, max_writes)
    except (DeliveryError, AccessDeniedError) as error:
        with suppress(DeliveryError):  # the first word counts
            _finish_sync_run(context, selection, str(error))
        raise DeliveryError(str(error)) from error
    return _finish_sync_run(context, selection, stop_reason)


def _send_until_done(
    context: SendContext, selection: Selection, max_writes: int | None
) -> str | None:
    """Send until nothing is left that could be; say why where it stops before."""
    while True:
        try:
            stop_reason = _pull_and_send(context, selection, max_writes)
        finally:
            with suppress(DeliveryError):  # it runs out by itself
                context.lease.release(context.engine)
        # Whoever found us at work has left to us what it put into the outbox meanwhile.
        if stop_reason or _count_pending(context.engine, selection) <= context.counters.blocked:
            return stop_reason
        held = lease.acquire_lease(context.engine, context.target.name, context.lease.clock)
        if isinstance(held, str):
            return None
        context = replace(context, lease=held)


def _pull_and_send(
    context: SendContext, selection: Selection, max_writes: int | None
) -> str | None:
    try:
        with suppress(RetriesExhaustedError):  # the next time asks from the same day on
            context.counters.human_touches = crm_activity.pull_human_touches(
                context.engine, context.target, context.call, context.now
            )
        while _run_pass(context, selection, max_writes):
            selection = replace(selection, resync=False)
    except (DeadlineExceededError, LeaseLostError) as stopped:
        return str(stopped)
    if max_writes is not None and context.counters.written >= max_writes:
        return f"the cap of {max_writes:,} objects a run (crm.max_writes) is reached"
    return None


def _run_pass(context: SendContext, selection: Selection, max_writes: int | None) -> bool:
    """Go through all rows once, and say whether any was settled, so that another pass may do more.

    The best places go first, and of each stretch of them parents before what hangs on them.
    """
    counters, before = context.counters, context.counters.processed
    counters.waiting_for_parent, counters.blocked, after = 0, 0, None
    size = context.target.rate_limit.rows_per_call
    while max_writes is None or counters.written < max_writes:
        rows = max(size * _BATCHES_PER_PAGE, _MIN_PAGE_SIZE)
        if max_writes is not None:
            rows = min(rows, max_writes - counters.written)
        with store.read_transaction(context.engine) as connection:
            page = queue.next_page(connection, selection, after, rows)
        if not page:
            break
        settled = counters.processed
        for batch_rows in _iter_batches(page, size):
            batch.deliver_batch(context, batch_rows)
        counters.blocked += len(page) - (counters.processed - settled)
        after = page[-1].sort_key
    return counters.processed > before


def _iter_batches(page: Sequence[PendingObject], size: int) -> Iterator[list[PendingObject]]:
    for kind in KINDS:
        rows = [row for row in page if row.kind == kind]
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _count_pending(engine: sa.Engine, selection: Selection) -> int:
    with store.read_transaction(engine) as connection:
        return queue.count_pending(connection, replace(selection, resync=False))


def _start_sync_run(engine: sa.Engine, selection: Selection, now: datetime) -> int:
    mode = "full" if selection.resync else "send"
    row = sa.insert(SYNC_RUNS).values(target=selection.target, mode=mode, started_at=now, counts={})
    with store.write_transaction(engine) as connection:
        return int(connection.execute(row.returning(SYNC_RUNS.c.id)).scalar_one())


def _finish_sync_run(
    context: SendContext, selection: Selection, stop_reason: str | None
) -> SyncSummary:
    summary = context.counters.to_summary(
        context.call, pending=_count_pending(context.engine, selection), stop_reason=stop_reason
    )
    with store.write_transaction(context.engine) as connection:
        connection.execute(
            sa.update(SYNC_RUNS)
            .where(SYNC_RUNS.c.id == context.send_id)
            .values(finished_at=context.lease.clock(), counts=summary.to_dict(), words=stop_reason)
        )
    return summary
