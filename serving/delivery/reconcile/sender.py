"""Sender: brings a CRM to the desired state."""

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
from serving.store.lease import LeaseLostError, acquire_lease
from serving.store.schema import SYNC_RUNS

__all__ = ["send_pending"]

_BATCHES_PER_PAGE: Final = 20
_MIN_PAGE_SIZE: Final = 5_000


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
    """Send what differs from what was applied last.

    Crash-safe and idempotent: after a kill at any point, calling it again loses and duplicates
    nothing. If another sender holds the lease of the target, it sends these objects too, and this
    call returns at once.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The application's database, its schema up to date.
    target : serving.delivery.crm.base.CrmTarget
        The CRM; it stays open.
    now : datetime.datetime
        The wall clock at the start, UTC, for timestamps. Correctness does not depend on it.
    budget_seconds : float
        Time budget; after it the rest is left for the next run.
    max_writes : int, optional
        Maximum number of objects to write, by priority.
    resync : bool
        Check every object, also those that are in sync or were rejected.
    run_id : int, optional
        Only objects that this run queued.
    on_change : callable, optional
        Called with the planned change of each object that differs.
    clock, sleep : callable
        Monotonic clock in seconds, and the function to wait.

    Returns
    -------
    serving.delivery.reconcile.summary.SyncSummary
        Counts, and the reason for stopping early, if it did.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies access, or the database refuses. What was applied before is kept.
    """
    start = clock()
    call = RetryingCaller(target.rate_limit, start + budget_seconds, clock, sleep)
    selection = Selection(target.name, resync, run_id)
    lease = acquire_lease(engine, target.name, lambda: now + timedelta(seconds=clock() - start))
    if isinstance(lease, str):
        message = f"another sender ({lease}) is active on {target.name!r}; it sends these too"
        return SyncSummary(remaining=_count_pending(engine, selection), stop_reason=message)
    sync_run_id = _start_sync_run(engine, selection, now)
    context = SendContext(engine, target, call, lease, sync_run_id, now, on_change)
    try:
        stop_reason = _send_until_done(context, selection, max_writes)
    except (DeliveryError, AccessDeniedError) as error:
        with suppress(DeliveryError):  # report the first error
            _finish_sync_run(context, selection, str(error))
        raise DeliveryError(str(error)) from error
    return _finish_sync_run(context, selection, stop_reason)


def _send_until_done(
    context: SendContext, selection: Selection, max_writes: int | None
) -> str | None:
    """Send until nothing is left to send; return the reason for stopping early."""
    while True:
        try:
            stop_reason = _pull_and_send(context, selection, max_writes)
        finally:
            with suppress(DeliveryError):  # the lease expires by itself
                context.lease.release(context.engine)
        # A process that found us sending has left its newly queued objects to us.
        if stop_reason or _count_pending(context.engine, selection) <= context.counters.blocked:
            return stop_reason
        lease = acquire_lease(context.engine, context.target.name, context.lease.clock)
        if isinstance(lease, str):
            return None
        context = replace(context, lease=lease)


def _pull_and_send(
    context: SendContext, selection: Selection, max_writes: int | None
) -> str | None:
    try:
        with suppress(RetriesExhaustedError):  # the next run pulls from the same day on
            context.counters.human_touches = crm_activity.pull_human_touches(
                context.engine, context.target, context.call, context.now
            )
        while _run_pass(context, selection, max_writes):
            selection = replace(selection, resync=False)
    except (DeadlineExceededError, LeaseLostError) as error:
        return str(error)
    if max_writes is not None and context.counters.written >= max_writes:
        return f"the cap of {max_writes:,} objects per run (crm.max_writes) is reached"
    return None


def _run_pass(context: SendContext, selection: Selection, max_writes: int | None) -> bool:
    """Go through all objects once; return True if another pass may process more.

    Objects go by priority, and within each page parents before children.
    """
    counters, before = context.counters, context.counters.processed
    counters.waiting_for_parent, counters.blocked, after = 0, 0, None
    size = context.target.rate_limit.rows_per_call
    while max_writes is None or counters.written < max_writes:
        limit = max(size * _BATCHES_PER_PAGE, _MIN_PAGE_SIZE)
        if max_writes is not None:
            limit = min(limit, max_writes - counters.written)
        with store.read_transaction(context.engine) as connection:
            page = queue.load_next_page(connection, selection, after, limit)
        if not page:
            break
        processed = counters.processed
        for batch_rows in _iter_batches(page, size):
            batch.deliver_batch(context, batch_rows)
        counters.blocked += len(page) - (counters.processed - processed)
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
    mode = "resync" if selection.resync else "send"
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
            .where(SYNC_RUNS.c.id == context.sync_run_id)
            .values(
                finished_at=context.lease.clock(),
                counts=summary.to_dict(),
                stop_reason=stop_reason,
            )
        )
    return summary
