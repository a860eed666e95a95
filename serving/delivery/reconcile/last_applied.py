"""What has become of the delivery of an object: sent, acknowledged, refused; and the ledger of it.

Each function belongs into one transaction of the caller.
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

# A plan, and the target's name of its object; None where none was made.
AppliedDiff: TypeAlias = tuple[ObjectDiff, str | None]


def record_in_flight(connection: sa.Connection, target: str, diffs: Iterable[ObjectDiff]) -> None:
    """Remember what is about to be sent: until it is answered, it may stand there or not."""
    rows = [
        {
            **_build_key(target, plan.row),
            "crm_id": plan.crm_id,
            "fields": dict(plan.last_applied),
            "digest": None,
            "attempted": add_in_flight(plan.in_flight, plan.merge.changes),
            "theirs": list(plan.merge.human_fields),
            "adopted": plan.adopted,
        }
        for plan in diffs
    ]
    upsert(connection, APPLIED_OBJECTS, rows)


def record_applied(
    connection: sa.Connection,
    target: str,
    applied: Sequence[AppliedDiff],
    *,
    send_id: int,
    now: datetime,
) -> None:
    """Remember what stands there now, and put what was changed into the ledger."""
    upsert(
        connection, APPLIED_OBJECTS, [_build_applied_row(target, *each, now) for each in applied]
    )
    for plan, _ in applied:
        if plan.row.was_rejected:  # what was refused before is taken now
            connection.execute(
                sa.delete(REJECTED_OBJECTS).where(_match_object(REJECTED_OBJECTS, target, plan.row))
            )
    _append_change_log(connection, target, applied, send_id=send_id, now=now)


def record_rejected(
    connection: sa.Connection,
    target: str,
    rejected: Sequence[tuple[ObjectDiff, str]],
    *,
    now: datetime,
) -> None:
    """Keep what the target will not take, with its words."""
    rows = [
        {
            **_build_key(target, plan.row),
            "digest": plan.row.digest,
            "words": words,
            "tries": 1,
            "rejected_at": now,
        }
        for plan, words in rejected
    ]
    upsert(connection, REJECTED_OBJECTS, rows, increment="tries")


def mark_for_recheck(
    connection: sa.Connection,
    target: str,
    applied: Sequence[AppliedDiff],
    *,
    send_id: int,
    now: datetime,
) -> None:
    """Own up to writes that took effect after another sender had taken over.

    They may stand over newer ones: what we wrote is ours, and the objects are looked at anew.
    """
    for plan, _ in applied:
        is_object = _match_object(APPLIED_OBJECTS, target, plan.row)
        connection.execute(sa.update(APPLIED_OBJECTS).where(is_object).values(digest=None))
        in_flight = connection.scalar(sa.select(APPLIED_OBJECTS.c.attempted).where(is_object)) or {}
        updated = add_in_flight(in_flight, plan.merge.changes)
        connection.execute(sa.update(APPLIED_OBJECTS).where(is_object).values(attempted=updated))
    _append_change_log(connection, target, applied, send_id=send_id, now=now)


def _build_applied_row(
    target: str, diff: ObjectDiff, crm_id: str | None, now: datetime
) -> dict[str, Any]:
    row, decision = diff.row, diff.merge
    is_in_sync = is_converged(decision, diff.in_flight)
    return {
        **_build_key(target, row),
        "crm_id": crm_id,
        "fields": dict(decision.last_applied),
        "digest": row.digest if is_in_sync else None,
        "attempted": {} if is_in_sync else dict(diff.in_flight),
        "theirs": list(decision.human_fields),
        "adopted": diff.adopted,
        "as_of": row.as_of,
        "acknowledged_at": now,
    }


def _append_change_log(
    connection: sa.Connection,
    target: str,
    applied: Sequence[AppliedDiff],
    *,
    send_id: int,
    now: datetime,
) -> None:
    rows = [
        {
            **_build_key(target, plan.row),
            "run_id": plan.row.run_id,
            "send_id": send_id,
            "crm_id": crm_id,
            "made": plan.action == "make",
            "before": dict(plan.merge.before),
            "after": dict(plan.merge.changes),
            "delivered_at": now,
        }
        for plan, crm_id in applied
        if plan.needs_write
    ]
    if rows:
        connection.execute(sa.insert(CHANGE_LOG), rows)


def _build_key(target: str, pending: PendingObject) -> dict[str, Any]:
    return {"target": target, "kind": pending.kind, "key": pending.key}


def _match_object(table: sa.Table, target: str, pending: PendingObject) -> sa.ColumnElement[bool]:
    return (
        (table.c.target == target) & (table.c.kind == pending.kind) & (table.c.key == pending.key)
    )
