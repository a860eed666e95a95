"""Deliver one batch: read, decide, say what is being sent, send it, say what was acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import Applied, BatchRejectedError, CrmTarget, FieldChange, Kind
from serving.delivery.reconcile import diff, last_applied, queue
from serving.delivery.reconcile.diff import ObjectDiff
from serving.delivery.reconcile.queue import ParentIds, PendingObject
from serving.delivery.reconcile.retry import RetriesExhaustedError, RetryingCaller
from serving.delivery.reconcile.summary import PlannedChange
from serving.delivery.reconcile.sync_counters import SyncCounters
from serving.store.lease import Lease, LeaseLostError

__all__ = ["SendContext", "deliver_batch"]

Item = TypeVar("Item")
# So many rows refused one by one, with none taken in between: it is not the rows.
_MAX_CONSECUTIVE_REJECTIONS: Final = 50


@dataclass(frozen=True)
class SendContext:
    """What one sender works with."""

    engine: sa.Engine
    target: CrmTarget
    call: RetryingCaller
    lease: Lease
    send_id: int
    now: datetime
    on_change: Callable[[PlannedChange], None]
    counters: SyncCounters = field(default_factory=SyncCounters)


def deliver_batch(context: SendContext, rows: Sequence[PendingObject]) -> None:
    """Deliver rows of one kind; what became of them stands in the tally.

    Where a target fails at them again and again, they are tried in halves: one of them may be why.

    Raises
    ------
    serving.delivery.reconcile.retry.DeadlineExceededError, serving.store.lease.LeaseLostError
        If the sender has to stop.
    data.errors.DeliveryError
        If the target refuses everything, or the database does.
    serving.delivery.crm.base.AccessDeniedError
        If the target denies us.
    """
    with store.read_transaction(context.engine) as connection:
        parent_ids = queue.load_parents(connection, context.target.name, rows)
    ready = [row for row in rows if parent_ids.has_parents(row)]
    context.counters.waiting_for_parent += len(rows) - len(ready)
    if ready:
        _deliver_ready(context, ready, parent_ids)


def _deliver_ready(
    context: SendContext, rows: Sequence[PendingObject], parent_ids: ParentIds
) -> None:
    try:
        live = diff.read_live(context.call, context.target, rows, parent_ids)
    except RetriesExhaustedError:
        _bisect(rows, lambda some: _deliver_ready(context, some, parent_ids))
        return
    diffs = diff.compute_diffs(
        context.target, rows, live, lambda ids: _find_owners(context, rows[0].kind, ids)
    )
    writes = [plan for plan in diffs if plan.needs_write]
    for plan in writes:
        context.on_change(plan.to_planned_change())
    _record_intent(context, writes, [plan for plan in diffs if not plan.needs_write])
    if writes:
        _write_changes(context, writes, parent_ids)


def _record_intent(
    context: SendContext, writes: Sequence[ObjectDiff], unchanged: Sequence[ObjectDiff]
) -> None:
    """Commit what is about to be sent, and what turns out to stand there already."""
    in_sync = [(plan, plan.crm_id) for plan in unchanged]
    with store.write_transaction(context.engine) as connection:
        context.lease.renew(connection)
        last_applied.record_in_flight(connection, context.target.name, writes)
        last_applied.record_applied(
            connection, context.target.name, in_sync, send_id=context.send_id, now=context.now
        )
    for plan in unchanged:
        context.counters.add(plan)


def _write_changes(
    context: SendContext, writes: Sequence[ObjectDiff], parent_ids: ParentIds
) -> None:
    changes = [
        FieldChange(
            replace(plan.row.to_ref(*parent_ids.get_ids(plan.row)), crm_id=plan.crm_id),
            plan.merge.changes,
        )
        for plan in writes
    ]
    try:
        results = context.call(context.target.write, changes)
    except RetriesExhaustedError:
        _bisect(writes, lambda some: _write_changes(context, some, parent_ids))
    except BatchRejectedError as refused:
        if not _bisect(writes, lambda some: _write_changes(context, some, parent_ids)):
            _record_results(context, [], [(writes[0], str(refused))])
            _stop_if_all_rejected(context, refused)
    else:
        pairs = list(zip(writes, results, strict=True))
        applied = [(plan, told.crm_id) for plan, told in pairs if isinstance(told, Applied)]
        rejected = [(plan, told.reason) for plan, told in pairs if not isinstance(told, Applied)]
        _record_results(context, applied, rejected)


def _record_results(
    context: SendContext,
    applied: Sequence[tuple[ObjectDiff, str]],
    rejected: Sequence[tuple[ObjectDiff, str]],
) -> None:
    """Commit what the target has answered, also where another sender has taken over since."""
    name = context.target.name
    with store.write_transaction(context.engine) as connection:
        holds_lease = context.lease.try_renew(connection)
        record = last_applied.record_applied if holds_lease else last_applied.mark_for_recheck
        record(connection, name, applied, send_id=context.send_id, now=context.now)
        if holds_lease:
            last_applied.record_rejected(connection, name, rejected, now=context.now)
    for plan, _ in applied:
        context.counters.add(plan)
        context.counters.consecutive_rejections = 0
    context.counters.rejected += len(rejected)
    context.counters.processed += len(rejected)
    if not holds_lease:
        raise LeaseLostError("another sender has taken over")


def _bisect(items: Sequence[Item], retry: Callable[[Sequence[Item]], None]) -> bool:
    """Try two halves; False where there is one item alone."""
    if len(items) == 1:
        return False
    middle = len(items) // 2
    retry(items[:middle])
    retry(items[middle:])
    return True


def _stop_if_all_rejected(context: SendContext, error: BatchRejectedError) -> None:
    """Stop where the target takes nothing at all, before every row was asked about alone."""
    context.counters.consecutive_rejections += 1
    if context.counters.consecutive_rejections >= _MAX_CONSECUTIVE_REJECTIONS:
        raise DeliveryError(
            f"the CRM {context.target.name!r} refused {_MAX_CONSECUTIVE_REJECTIONS} objects in a row, the last"
            f" with: {error}. Mend it, then run: expansion crm retry."
        ) from error


def _find_owners(context: SendContext, kind: Kind, crm_ids: Sequence[str]) -> Mapping[str, str]:
    with store.read_transaction(context.engine) as connection:
        return queue.find_owner_keys(connection, context.target.name, kind, crm_ids)
