"""Delivery of one batch: read, merge, record what is in flight, write, record the results.

What is about to be sent is committed before the call, together with the lease. After a kill at any
point, the values in flight tell which live values may be ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import (
    Applied,
    BatchRejectedError,
    CrmTarget,
    FieldChange,
    Rejected,
)
from serving.delivery.reconcile import diff, queue
from serving.delivery.reconcile.diff import ObjectDiff, PlannedChange
from serving.delivery.reconcile.queue import ParentIds, PendingObject
from serving.delivery.reconcile.retry import RetriesExhaustedError, RetryingCaller
from serving.delivery.reconcile.summary import SyncSummary
from serving.delivery.reconcile.three_way_merge import add_in_flight, is_converged
from serving.store.lease import Lease, LeaseLostError
from serving.store.schema import APPLIED_OBJECTS, CHANGE_LOG, REJECTED_OBJECTS
from serving.store.upsert import upsert

__all__ = ["SendContext", "deliver_batch"]

Item = TypeVar("Item")
# A diff, and the record id of its object; None if there is no record.
_AppliedDiff: TypeAlias = tuple[ObjectDiff, str | None]
# After so many consecutive rejections the cause is the target, not the rows.
_MAX_CONSECUTIVE_REJECTIONS: Final = 50


@dataclass
class SendContext:
    """Resources, lease and counts of one sender.

    Attributes
    ----------
    blocked : int
        Objects not processed in the last pass: rejected, waiting, or failing.
    consecutive_rejections : int
        Objects rejected one by one since the last success.
    """

    engine: sa.Engine
    target: CrmTarget
    call: RetryingCaller
    lease: Lease
    sync_run_id: int
    now: datetime
    on_change: Callable[[PlannedChange], None]
    summary: SyncSummary = field(default_factory=SyncSummary)
    blocked: int = 0
    consecutive_rejections: int = 0


def deliver_batch(context: SendContext, rows: Sequence[PendingObject]) -> None:
    """Deliver objects of one kind; the summary counts the results.

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
    context.summary.waiting_for_parent += len(rows) - len(ready)
    if ready:
        _deliver_ready(context, ready, parent_ids)


def _deliver_ready(
    context: SendContext, rows: Sequence[PendingObject], parent_ids: ParentIds
) -> None:
    try:
        diffs = diff.diff_objects(context.engine, context.target, context.call, rows, parent_ids)
    except RetriesExhaustedError:
        _bisect(rows, lambda half: _deliver_ready(context, half, parent_ids))
        return
    writes = [object_diff for object_diff in diffs if object_diff.needs_write]
    in_sync = [object_diff for object_diff in diffs if not object_diff.needs_write]
    for write in writes:
        context.on_change(write.to_planned_change())
    with store.write_transaction(context.engine) as connection:
        context.lease.renew(connection)
        _record_in_flight(context, connection, writes)
        _record_applied(context, connection, [(each, each.crm_id) for each in in_sync])
    for object_diff in in_sync:
        context.summary.add(object_diff)
    if writes:
        _write_changes(context, writes, parent_ids)


def _write_changes(
    context: SendContext, writes: Sequence[ObjectDiff], parent_ids: ParentIds
) -> None:
    changes = [
        FieldChange(replace(parent_ids.to_ref(each.row), crm_id=each.crm_id), each.merge.changes)
        for each in writes
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
        _record_results(
            context,
            [(each, result.crm_id) for each, result in pairs if isinstance(result, Applied)],
            [(each, result.reason) for each, result in pairs if isinstance(result, Rejected)],
        )


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
    context.consecutive_rejections += 1
    if context.consecutive_rejections >= _MAX_CONSECUTIVE_REJECTIONS:
        raise DeliveryError(
            f"the CRM {context.target.name!r} rejected {_MAX_CONSECUTIVE_REJECTIONS} objects in a"
            f" row, the last with: {error}. Fix the cause, then run: expansion crm retry."
        ) from error


def _record_results(
    context: SendContext,
    applied: Sequence[_AppliedDiff],
    rejected: Sequence[tuple[ObjectDiff, str]],
) -> None:
    """Commit the results, even if another sender has taken over since."""
    with store.write_transaction(context.engine) as connection:
        holds_lease = context.lease.try_renew(connection)
        if holds_lease:
            _record_applied(context, connection, applied)
            _record_rejected(context, connection, rejected)
        else:
            _mark_for_recheck(context, connection, applied)
    for object_diff, _ in applied:
        context.summary.add(object_diff)
        context.consecutive_rejections = 0
    context.summary.rejected += len(rejected)
    if not holds_lease:
        raise LeaseLostError("another sender has taken over")


# ---- Records, each within one transaction of the caller.


def _record_in_flight(
    context: SendContext, connection: sa.Connection, diffs: Iterable[ObjectDiff]
) -> None:
    """Record in-flight values before sending; without a response they may or may not be applied."""
    rows = [
        {
            **_build_key(context, each),
            "crm_id": each.crm_id,
            "fields": dict(each.last_applied),
            "content_hash": None,
            "in_flight": add_in_flight(each.in_flight, each.merge.changes),
            "human_fields": list(each.merge.human_fields),
            "adopted": each.adopted,
        }
        for each in diffs
    ]
    upsert(connection, APPLIED_OBJECTS, rows)


def _record_applied(
    context: SendContext, connection: sa.Connection, applied: Sequence[_AppliedDiff]
) -> None:
    """Record the applied values, and append the changes to the change log."""
    rows = []
    for each, crm_id in applied:
        is_in_sync = is_converged(each.merge, each.in_flight)
        row = {
            **_build_key(context, each),
            "crm_id": crm_id,
            "fields": dict(each.merge.last_applied),
            "content_hash": each.row.content_hash if is_in_sync else None,
            "in_flight": {} if is_in_sync else dict(each.in_flight),
            "human_fields": list(each.merge.human_fields),
            "adopted": each.adopted,
            "as_of": each.row.as_of,
            "applied_at": context.now,
        }
        rows.append(row)
        if each.row.was_rejected:
            connection.execute(
                sa.delete(REJECTED_OBJECTS).where(_match(REJECTED_OBJECTS, context, each))
            )
    upsert(connection, APPLIED_OBJECTS, rows)
    _append_change_log(context, connection, applied)


def _record_rejected(
    context: SendContext, connection: sa.Connection, rejected: Sequence[tuple[ObjectDiff, str]]
) -> None:
    """Record the rejected objects with the target's message."""
    rows = [
        {
            **_build_key(context, each),
            "content_hash": each.row.content_hash,
            "reason": reason,
            "attempts": 1,
            "rejected_at": context.now,
        }
        for each, reason in rejected
    ]
    upsert(connection, REJECTED_OBJECTS, rows, increment="attempts")


def _mark_for_recheck(
    context: SendContext, connection: sa.Connection, applied: Sequence[_AppliedDiff]
) -> None:
    """Mark objects for re-check when our writes were applied after the lease was lost.

    They may have overwritten newer values. Our values stay recorded as in flight, and the objects
    are read again.
    """
    for each, _ in applied:
        is_object = _match(APPLIED_OBJECTS, context, each)
        update = sa.update(APPLIED_OBJECTS).where(is_object)
        connection.execute(update.values(content_hash=None))
        in_flight = connection.scalar(sa.select(APPLIED_OBJECTS.c.in_flight).where(is_object)) or {}
        connection.execute(update.values(in_flight=add_in_flight(in_flight, each.merge.changes)))
    _append_change_log(context, connection, applied)


def _append_change_log(
    context: SendContext, connection: sa.Connection, applied: Sequence[_AppliedDiff]
) -> None:
    rows = [
        {
            **_build_key(context, each),
            "run_id": each.row.run_id,
            "sync_run_id": context.sync_run_id,
            "crm_id": crm_id,
            "created": each.action == "create",
            "before": dict(each.merge.before),
            "after": dict(each.merge.changes),
            "applied_at": context.now,
        }
        for each, crm_id in applied
        if each.needs_write
    ]
    if rows:
        connection.execute(sa.insert(CHANGE_LOG), rows)


def _build_key(context: SendContext, each: ObjectDiff) -> dict[str, Any]:
    return {"target": context.target.name, "kind": each.row.kind, "key": each.row.key}


def _match(table: sa.Table, context: SendContext, each: ObjectDiff) -> sa.ColumnElement[bool]:
    return queue.match_object(table, context.target.name, each.row.kind, each.row.key)
