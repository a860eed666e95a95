"""Sender: brings a CRM to the desired state."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import AccessDeniedError, CrmTarget
from serving.delivery.reconcile import batch, crm_activity, queue
from serving.delivery.reconcile.batch import SendContext
from serving.delivery.reconcile.diff import PlannedChange
from serving.delivery.reconcile.queue import Selection
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import SyncSummary
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
    human_touches: int | None = None,
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
    human_touches : int, optional
        New human touches, if they were already pulled at ``now``; by default they are pulled first.
    on_change : callable, optional
        Called with the planned change of each object that differs.
    clock, sleep : callable
        Monotonic clock in seconds, and the function to wait.

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
    context.summary.human_touches = human_touches
    try:
        context.summary.stop_reason = _send_until_done(context, selection, max_writes)
    except (DeliveryError, AccessDeniedError) as error:
        context.summary.stop_reason = str(error)
        with suppress(DeliveryError):  # report the first error
            _finish_sync_run(context, selection)
        raise DeliveryError(str(error)) from error
    _finish_sync_run(context, selection)
    return context.summary


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
        if stop_reason or _count_pending(context.engine, selection) <= context.blocked:
            return stop_reason
        lease = acquire_lease(context.engine, context.target.name, context.lease.clock)
        if isinstance(lease, str):
            return None
        context.lease = lease


def _pull_and_send(
    context: SendContext, selection: Selection, max_writes: int | None
) -> str | None:
    summary = context.summary
    try:
        if summary.human_touches is None:
            with suppress(RetriesExhaustedError):  # the next run pulls from the same day on
                summary.human_touches = crm_activity.pull_human_touches(
                    context.engine, context.target, context.call, context.now
                )
        while _run_pass(context, selection, max_writes):
            selection = replace(selection, resync=False)
    except (DeadlineExceededError, LeaseLostError) as error:
        return str(error)
    if max_writes is not None and summary.written >= max_writes:
        return f"the cap of {max_writes:,} objects per run (crm.max_writes) is reached"
    return None


def _run_pass(context: SendContext, selection: Selection, max_writes: int | None) -> bool:
    """Go through all objects once; return True if another pass may process more.

    Objects go by priority, and within each page parents before children.
    """
    summary, before, after = context.summary, context.summary.processed, None
    summary.waiting_for_parent, context.blocked = 0, 0
    size = context.target.rate_limit.rows_per_call
    while max_writes is None or summary.written < max_writes:
        limit = max(size * _BATCHES_PER_PAGE, _MIN_PAGE_SIZE)
        if max_writes is not None:
            limit = min(limit, max_writes - summary.written)
        with store.read_transaction(context.engine) as connection:
            page = queue.load_next_page(connection, selection, after, limit)
        if not page:
            break
        processed = summary.processed
        for rows in queue.iter_batches(page, size):
            batch.deliver_batch(context, rows)
        context.blocked += len(page) - (summary.processed - processed)
        after = page[-1].sort_key
    return summary.processed > before


def _count_pending(engine: sa.Engine, selection: Selection) -> int:
    with store.read_transaction(engine) as connection:
        return queue.count_pending(connection, replace(selection, resync=False))


def _start_sync_run(engine: sa.Engine, selection: Selection, now: datetime) -> int:
    mode = "resync" if selection.resync else "send"
    row = sa.insert(SYNC_RUNS).values(target=selection.target, mode=mode, started_at=now, counts={})
    with store.write_transaction(engine) as connection:
        return int(connection.execute(row.returning(SYNC_RUNS.c.id)).scalar_one())


def _finish_sync_run(context: SendContext, selection: Selection) -> None:
    summary = context.summary
    pending = _count_pending(context.engine, selection)  # includes what waits for a parent
    summary.remaining = max(pending - summary.waiting_for_parent, 0)
    summary.requests, summary.failures = context.call.requests, context.call.failures
    values = {
        "finished_at": context.lease.clock(),
        "counts": summary.to_dict(),
        "stop_reason": summary.stop_reason,
    }
    with store.write_transaction(context.engine) as connection:
        is_run = SYNC_RUNS.c.id == context.sync_run_id
        connection.execute(sa.update(SYNC_RUNS).where(is_run).values(values))
