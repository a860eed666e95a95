"""How the delivery to a CRM stands: what waits, what was refused, when it was last sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from serving import store
from serving.delivery.crm.registry import WRITE_ONLY
from serving.delivery.reconcile import queue
from serving.delivery.reconcile.queue import Selection
from serving.store.schema import (
    APPLIED_OBJECTS,
    CHANGE_LOG,
    DESIRED_OBJECTS,
    LEASES,
    REJECTED_OBJECTS,
    SYNC_RUNS,
)

__all__ = ["list_rejected", "load_delivery_status", "requeue_rejected"]

_RECENT_RUNS: Final = 5


def load_delivery_status(engine: sa.Engine, target: str) -> dict[str, Any]:
    """Say how the delivery stands, in JSON values and times of UTC."""
    is_target = APPLIED_OBJECTS.c.target == target
    with store.read_transaction(engine) as connection:
        desired = connection.execute(
            sa.select(DESIRED_OBJECTS.c.kind, sa.func.count())
            .where(DESIRED_OBJECTS.c.target == target)
            .group_by(DESIRED_OBJECTS.c.kind)
        )
        holder = connection.execute(sa.select(LEASES).where(LEASES.c.target == target))
        unanswered = sa.select(sa.func.count()).where(
            is_target,
            APPLIED_OBJECTS.c.digest.is_(None),
            sa.cast(APPLIED_OBJECTS.c.attempted, sa.String) != "{}",
        )
        human_edited = sa.select(sa.func.count()).where(
            is_target, sa.cast(APPLIED_OBJECTS.c.theirs, sa.String) != "[]"
        )
        rejected = sa.select(sa.func.count()).where(REJECTED_OBJECTS.c.target == target)
        newest = sa.select(sa.func.max(APPLIED_OBJECTS.c.as_of)).where(is_target)
        return {
            "crm": target,
            "as_of": connection.scalar(newest),
            "objects": {kind: count for kind, count in desired},
            "to_send": queue.count_pending(connection, Selection(target)),
            "unanswered": connection.scalar(unanswered),
            "refused": connection.scalar(rejected),
            "with_fields_of_humans": connection.scalar(human_edited),
            "reads_edits": target not in WRITE_ONLY,
            "sender": next((dict(row) for row in holder.mappings()), None),
            "runs": _load_runs(connection, target),
            "sends": _load_sync_runs(connection, target),
        }


def list_rejected(engine: sa.Engine, target: str) -> list[dict[str, Any]]:
    """Give what the target will not take, with its words, by kind and key."""
    query = sa.select(REJECTED_OBJECTS).where(REJECTED_OBJECTS.c.target == target)
    with store.read_transaction(engine) as connection:
        rows = connection.execute(
            query.order_by(REJECTED_OBJECTS.c.kind, REJECTED_OBJECTS.c.key)
        ).mappings()
        return [
            {name: row[name] for name in row if name not in {"target", "digest"}} for row in rows
        ]


def requeue_rejected(engine: sa.Engine, target: str, keys: Collection[str]) -> int:
    """Let what was refused be sent once more, all of it or some keys; give how many objects.

    An object that is named and that a human deleted is made anew.
    """
    with store.write_transaction(engine) as connection:
        table = REJECTED_OBJECTS
        if not keys:
            statement = sa.delete(table).where(table.c.target == target)
            return connection.execute(statement).rowcount
        found = 0
        for key in keys:
            connection.execute(sa.delete(table).where(table.c.target == target, table.c.key == key))
            reset = sa.update(APPLIED_OBJECTS).where(
                APPLIED_OBJECTS.c.target == target, APPLIED_OBJECTS.c.key == key
            )
            connection.execute(reset.values(digest=None, crm_id=None))
            query = sa.select(DESIRED_OBJECTS.c.key).where(
                DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.key == key
            )
            found += connection.execute(query).first() is not None
        return found


def _load_runs(connection: sa.Connection, target: str) -> list[dict[str, Any]]:
    table = CHANGE_LOG
    query = (
        sa.select(
            table.c.run_id,
            sa.func.count().label("changes"),
            sa.func.min(table.c.delivered_at).label("first"),
            sa.func.max(table.c.delivered_at).label("last"),
        )
        .where(table.c.target == target)
        .group_by(table.c.run_id)
        .order_by(sa.func.max(table.c.id).desc())
        .limit(_RECENT_RUNS)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _load_sync_runs(connection: sa.Connection, target: str) -> list[dict[str, Any]]:
    query = sa.select(SYNC_RUNS).where(SYNC_RUNS.c.target == target).order_by(SYNC_RUNS.c.id.desc())
    rows = connection.execute(query.limit(_RECENT_RUNS)).mappings()
    return [{name: row[name] for name in row if name != "target"} for row in rows]
