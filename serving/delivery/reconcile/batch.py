"""Delivery of one batch: read, merge, record what is in flight, write, record the results."""

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
# After so many consecutive rejections the cause is the target, not the rows.
_MAX_CONSECUTIVE_REJECTIONS: Final = 50


@dataclass(frozen=True)
class SendContext:
    """Resources and counters of one sender."""

    engine: sa.Engine
    target: CrmTarget
    call: RetryingCaller
    lease: Lease
    sync_run_id: int
    now: datetime
    on_change: Callable[[PlannedChange], None]
    counters: SyncCounters = field(default_factory=SyncCounters)


def deliver_batch(context: SendContext, rows: Sequence[PendingObject]) -> None:
    """Deliver objects of one kind; the counters record the results.

    If a target keeps failing on a batch, it is bisected, since a single row may be the cause.

    Raises
    ------
    serving.delivery.reconcile.retry.DeadlineExceededError, serving.store.lease.LeaseLostError
        If the sender has to stop.
    data.errors.DeliveryError
        If the target rejects everything, or the database refuses.
    serving.delivery.crm.base.AccessDeniedError
        If the target denies access.
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
        _bisect(rows, lambda half: _deliver_ready(context, half, parent_ids))
        return
    diffs = diff.compute_diffs(
        context.target, rows, live, lambda ids: _find_owners(context, rows[0].kind, ids)
    )
    writes = [object_diff for object_diff in diffs if object_diff.needs_write]
    for write in writes:
        context.on_change(write.to_planned_change())
    _record_intent(
        context, writes, [object_diff for object_diff in diffs if not object_diff.needs_write]
    )
    if writes:
        _write_changes(context, writes, parent_ids)


def _record_intent(
    context: SendContext, writes: Sequence[ObjectDiff], unchanged: Sequence[ObjectDiff]
) -> None:
    """Commit what is about to be sent, and what is already in sync."""
    in_sync = [(object_diff, object_diff.crm_id) for object_diff in unchanged]
    with store.write_transaction(context.engine) as connection:
        context.lease.renew(connection)
        last_applied.record_in_flight(connection, context.target.name, writes)
        last_applied.record_applied(
            connection,
            context.target.name,
            in_sync,
            sync_run_id=context.sync_run_id,
            now=context.now,
        )
    for object_diff in unchanged:
        context.counters.add(object_diff)


def _write_changes(
    context: SendContext, writes: Sequence[ObjectDiff], parent_ids: ParentIds
) -> None:
    changes = [
        FieldChange(
            replace(write.row.to_ref(*parent_ids.get_ids(write.row)), crm_id=write.crm_id),
            write.merge.changes,
        )
        for write in writes
    ]
    try:
        results = context.call(context.target.write, changes)
    except RetriesExhaustedError:
        _bisect(writes, lambda half: _write_changes(context, half, parent_ids))
    except BatchRejectedError as error:
        if not _bisect(writes, lambda half: _write_changes(context, half, parent_ids)):
            _record_results(context, [], [(writes[0], str(error))])
            _stop_if_all_rejected(context, error)
    else:
        pairs = list(zip(writes, results, strict=True))
        applied = [
            (object_diff, result.crm_id)
            for object_diff, result in pairs
            if isinstance(result, Applied)
        ]
        rejected = [
            (object_diff, result.reason)
            for object_diff, result in pairs
            if not isinstance(result, Applied)
        ]
        _record_results(context, applied, rejected)


def _record_results(
    context: SendContext,
    applied: Sequence[tuple[ObjectDiff, str]],
    rejected: Sequence[tuple[ObjectDiff, str]],
) -> None:
    """Commit the results, even if another sender has taken over since."""
    name = context.target.name
    with store.write_transaction(context.engine) as connection:
        holds_lease = context.lease.try_renew(connection)
        record = last_applied.record_applied if holds_lease else last_applied.mark_for_recheck
        record(connection, name, applied, sync_run_id=context.sync_run_id, now=context.now)
        if holds_lease:
            last_applied.record_rejected(connection, name, rejected, now=context.now)
    for object_diff, _ in applied:
        context.counters.add(object_diff)
        context.counters.consecutive_rejections = 0
    context.counters.rejected += len(rejected)
    context.counters.processed += len(rejected)
    if not holds_lease:
        raise LeaseLostError("another sender has taken over")


def _bisect(items: Sequence[Item], retry: Callable[[Sequence[Item]], None]) -> bool:
    """Retry with two halves; return False if there is a single item."""
    if len(items) == 1:
        return False
    middle = len(items) // 2
    retry(items[:middle])
    retry(items[middle:])
    return True


def _stop_if_all_rejected(context: SendContext, error: BatchRejectedError) -> None:
    """Raise after many consecutive rejections, instead of trying every row alone."""
    context.counters.consecutive_rejections += 1
    if context.counters.consecutive_rejections >= _MAX_CONSECUTIVE_REJECTIONS:
        raise DeliveryError(
            f"the CRM {context.target.name!r} rejected {_MAX_CONSECUTIVE_REJECTIONS} objects in a"
            f" row, the last with: {error}. Fix the cause, then run: expansion crm retry."
        ) from error


def _find_owners(context: SendContext, kind: Kind, crm_ids: Sequence[str]) -> Mapping[str, str]:
    with store.read_transaction(context.engine) as connection:
        return queue.find_owner_keys(connection, context.target.name, kind, crm_ids)
