"""Last-applied state of each object, rejections, and the change log.

Each function runs within one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from serving.delivery.reconcile.diff import ObjectDiff
from serving.delivery.reconcile.queue import PendingObject
from serving.delivery.reconcile.three_way_merge import add_in_flight, is_converged
from serving.store.schema import APPLIED_OBJECTS, CHANGE_LOG, REJECTED_OBJECTS
from serving.store.upsert import upsert

__all__ = [
    "AppliedDiff",
    "mark_for_recheck",
    "record_applied",
    "record_in_flight",
    "record_rejected",
]

# A diff, and the record id of its object; None if there is no record.
AppliedDiff: TypeAlias = tuple[ObjectDiff, str | None]


def record_in_flight(connection: sa.Connection, target: str, diffs: Iterable[ObjectDiff]) -> None:
    """Record in-flight values before sending; without a response they may or may not be applied."""
    rows = [
        {
            **_build_key(target, diff.row),
            "crm_id": diff.crm_id,
            "fields": dict(diff.last_applied),
            "content_hash": None,
            "in_flight": add_in_flight(diff.in_flight, diff.merge.changes),
            "human_fields": list(diff.merge.human_fields),
            "adopted": diff.adopted,
        }
        for diff in diffs
    ]
    upsert(connection, APPLIED_OBJECTS, rows)


def record_applied(
    connection: sa.Connection,
    target: str,
    applied: Sequence[AppliedDiff],
    *,
    sync_run_id: int,
    now: datetime,
) -> None:
    """Record the applied values, and append the changes to the change log."""
    upsert(
        connection,
        APPLIED_OBJECTS,
        [_build_applied_row(target, *applied_values, now) for applied_values in applied],
    )
    for diff, _ in applied:
        if diff.row.was_rejected:
            connection.execute(
                sa.delete(REJECTED_OBJECTS).where(_match_object(REJECTED_OBJECTS, target, diff.row))
            )
    _append_change_log(connection, target, applied, sync_run_id=sync_run_id, now=now)


def record_rejected(
    connection: sa.Connection,
    target: str,
    rejected: Sequence[tuple[ObjectDiff, str]],
    *,
    now: datetime,
) -> None:
    """Record the rejected objects with the target's message."""
    rows = [
        {
            **_build_key(target, diff.row),
            "content_hash": diff.row.content_hash,
            "reason": reason,
            "attempts": 1,
            "rejected_at": now,
        }
        for diff, reason in rejected
    ]
    upsert(connection, REJECTED_OBJECTS, rows, increment="attempts")


def mark_for_recheck(
    connection: sa.Connection,
    target: str,
    applied: Sequence[AppliedDiff],
    *,
    sync_run_id: int,
    now: datetime,
) -> None:
    """Mark objects for re-check when our writes were applied after the lease was lost.

    They may have overwritten newer values. Our values stay recorded as in flight, and the objects
    are read again.
    """
    for diff, _ in applied:
        is_object = _match_object(APPLIED_OBJECTS, target, diff.row)
        connection.execute(sa.update(APPLIED_OBJECTS).where(is_object).values(content_hash=None))
        in_flight = connection.scalar(sa.select(APPLIED_OBJECTS.c.in_flight).where(is_object)) or {}
        updated = add_in_flight(in_flight, diff.merge.changes)
        connection.execute(sa.update(APPLIED_OBJECTS).where(is_object).values(in_flight=updated))
    _append_change_log(connection, target, applied, sync_run_id=sync_run_id, now=now)


def _build_applied_row(
    target: str, diff: ObjectDiff, crm_id: str | None, now: datetime
) -> dict[str, Any]:
    row, merge = diff.row, diff.merge
    is_in_sync = is_converged(merge, diff.in_flight)
    return {
        **_build_key(target, row),
        "crm_id": crm_id,
        "fields": dict(merge.last_applied),
        "content_hash": row.content_hash if is_in_sync else None,
        "in_flight": {} if is_in_sync else dict(diff.in_flight),
        "human_fields": list(merge.human_fields),
        "adopted": diff.adopted,
        "as_of": row.as_of,
        "applied_at": now,
    }


def _append_change_log(
    connection: sa.Connection,
    target: str,
    applied: Sequence[AppliedDiff],
    *,
    sync_run_id: int,
    now: datetime,
) -> None:
    rows = [
        {
            **_build_key(target, diff.row),
            "run_id": diff.row.run_id,
            "sync_run_id": sync_run_id,
            "crm_id": crm_id,
            "created": diff.action == "create",
            "before": dict(diff.merge.before),
            "after": dict(diff.merge.changes),
            "applied_at": now,
        }
        for diff, crm_id in applied
        if diff.needs_write
    ]
    if rows:
        connection.execute(sa.insert(CHANGE_LOG), rows)


def _build_key(target: str, pending: PendingObject) -> dict[str, Any]:
    return {"target": target, "kind": pending.kind, "key": pending.key}


def _match_object(table: sa.Table, target: str, pending: PendingObject) -> sa.ColumnElement[bool]:
    return (
        (table.c.target == target) & (table.c.kind == pending.kind) & (table.c.key == pending.key)
    )
