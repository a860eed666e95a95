"""What has become of the delivery of an object: sent, acknowledged, refused; and the ledger of it.

Each function belongs into one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from serving.outbox.merge import after_attempt, is_settled
from serving.outbox.pending import Row
from serving.outbox.plans import Plan
from serving.outbox.upsert import upsert
from serving.state.schema import DELIVERED, DELIVERIES, REJECTED

__all__ = ["Done", "acknowledge", "attempt", "reject", "unsettle"]

# A plan, and the target's name of its object; None where none was made.
Done: TypeAlias = tuple[Plan, str | None]


def attempt(connection: sa.Connection, target: str, plans: Iterable[Plan]) -> None:
    """Remember what is about to be sent: until it is answered, it may stand there or not."""
    rows = [
        {
            **_named(target, plan.row),
            "crm_id": plan.crm_id,
            "fields": dict(plan.acknowledged),
            "digest": None,
            "attempted": after_attempt(plan.attempted, plan.decision.write),
            "theirs": list(plan.decision.theirs),
            "adopted": plan.adopted,
        }
        for plan in plans
    ]
    upsert(connection, DELIVERED, rows)


def acknowledge(
    connection: sa.Connection, target: str, done: Sequence[Done], *, send_id: int, now: datetime
) -> None:
    """Remember what stands there now, and put what was changed into the ledger."""
    upsert(connection, DELIVERED, [_settled(target, *each, now) for each in done])
    for plan, _ in done:
        if plan.row.refused:  # what was refused before is taken now
            connection.execute(sa.delete(REJECTED).where(_is(REJECTED, target, plan.row)))
    _enter(connection, target, done, send_id=send_id, now=now)


def reject(
    connection: sa.Connection, target: str, refused: Sequence[tuple[Plan, str]], *, now: datetime
) -> None:
    """Keep what the target will not take, with its words."""
    rows = [
        {
            **_named(target, plan.row),
            "digest": plan.row.digest,
            "words": words,
            "tries": 1,
            "rejected_at": now,
        }
        for plan, words in refused
    ]
    upsert(connection, REJECTED, rows, counted="tries")


def unsettle(
    connection: sa.Connection, target: str, done: Sequence[Done], *, send_id: int, now: datetime
) -> None:
    """Own up to writes that took effect after another sender had taken over.

    They may stand over newer ones: what we wrote is ours, and the objects are looked at anew.
    """
    for plan, _ in done:
        mine = _is(DELIVERED, target, plan.row)
        connection.execute(sa.update(DELIVERED).where(mine).values(digest=None))
        attempted = connection.scalar(sa.select(DELIVERED.c.attempted).where(mine)) or {}
        kept = after_attempt(attempted, plan.decision.write)
        connection.execute(sa.update(DELIVERED).where(mine).values(attempted=kept))
    _enter(connection, target, done, send_id=send_id, now=now)


def _settled(target: str, plan: Plan, crm_id: str | None, now: datetime) -> dict[str, Any]:
    row, decision = plan.row, plan.decision
    settled = is_settled(decision, plan.attempted)
    return {
        **_named(target, row),
        "crm_id": crm_id,
        "fields": dict(decision.ours),
        "digest": row.digest if settled else None,
        "attempted": {} if settled else dict(plan.attempted),
        "theirs": list(decision.theirs),
        "adopted": plan.adopted,
        "as_of": row.as_of,
        "acknowledged_at": now,
    }


def _enter(
    connection: sa.Connection, target: str, done: Sequence[Done], *, send_id: int, now: datetime
) -> None:
    rows = [
        {
            **_named(target, plan.row),
            "run_id": plan.row.run_id,
            "send_id": send_id,
            "crm_id": crm_id,
            "made": plan.todo == "make",
            "before": dict(plan.decision.before),
            "after": dict(plan.decision.write),
            "delivered_at": now,
        }
        for plan, crm_id in done
        if plan.is_busy
    ]
    if rows:
        connection.execute(sa.insert(DELIVERIES), rows)


def _named(target: str, row: Row) -> dict[str, Any]:
    return {"target": target, "kind": row.kind, "key": row.key}


def _is(table: sa.Table, target: str, row: Row) -> sa.ColumnElement[bool]:
    return (table.c.target == target) & (table.c.kind == row.kind) & (table.c.key == row.key)
