"""Status of the delivery to a CRM: pending and rejected objects, recent sync runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from serving import store
from serving.delivery.crm.registry import WRITE_ONLY_TARGETS
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
    """Return the delivery status as JSON values, times in UTC."""
    is_target = APPLIED_OBJECTS.c.target == target
    has_in_flight = sa.cast(APPLIED_OBJECTS.c.in_flight, sa.String) != "{}"
    has_human_fields = sa.cast(APPLIED_OBJECTS.c.human_fields, sa.String) != "[]"
    count = sa.select(sa.func.count())
    unconfirmed = count.where(is_target, APPLIED_OBJECTS.c.content_hash.is_(None), has_in_flight)
    by_kind = sa.select(DESIRED_OBJECTS.c.kind, sa.func.count()).group_by(DESIRED_OBJECTS.c.kind)
    latest_as_of = sa.select(sa.func.max(APPLIED_OBJECTS.c.as_of)).where(is_target)
    with store.read_transaction(engine) as connection:
        desired = connection.execute(by_kind.where(DESIRED_OBJECTS.c.target == target))
        holder = connection.execute(sa.select(LEASES).where(LEASES.c.target == target))
        return {
            "crm": target,
            "as_of": connection.scalar(latest_as_of),
            "objects": {kind: count for kind, count in desired},
            "pending": queue.count_pending(connection, Selection(target)),
            "unconfirmed": connection.scalar(unconfirmed),
            "rejected": connection.scalar(count.where(REJECTED_OBJECTS.c.target == target)),
            "human_edited": connection.scalar(count.where(is_target, has_human_fields)),
            "reads_edits": target not in WRITE_ONLY_TARGETS,
            "sender": next((dict(row) for row in holder.mappings()), None),
            "runs": _load_runs(connection, target),
            "sync_runs": _load_sync_runs(connection, target),
        }


def list_rejected(engine: sa.Engine, target: str) -> list[dict[str, Any]]:
    """Return the rejected objects with the target's message, by kind and key."""
    query = sa.select(REJECTED_OBJECTS).where(REJECTED_OBJECTS.c.target == target)
    with store.read_transaction(engine) as connection:
        rows = connection.execute(
            query.order_by(REJECTED_OBJECTS.c.kind, REJECTED_OBJECTS.c.key)
        ).mappings()
        return [
            {name: row[name] for name in row if name not in {"target", "content_hash"}}
            for row in rows
        ]


def requeue_rejected(engine: sa.Engine, target: str, keys: Collection[str]) -> int:
    """Queue rejected objects again, all or some keys; return how many objects.

    A named object that a human deleted is created again.
    """
    with store.write_transaction(engine) as connection:
        table = REJECTED_OBJECTS
        if not keys:
            statement = sa.delete(table).where(table.c.target == target)
            return connection.execute(statement).rowcount
        named_rejected, named_applied, named_desired = (
            (each.c.target == target) & each.c.key.in_(keys)
            for each in (table, APPLIED_OBJECTS, DESIRED_OBJECTS)
        )
        connection.execute(sa.delete(table).where(named_rejected))
        reset = sa.update(APPLIED_OBJECTS).where(named_applied)
        connection.execute(reset.values(content_hash=None, crm_id=None))
        query = sa.select(DESIRED_OBJECTS.c.key).where(named_desired).distinct()
        return len(connection.execute(query).all())


def _load_runs(connection: sa.Connection, target: str) -> list[dict[str, Any]]:
    table = CHANGE_LOG
    query = (
        sa.select(
            table.c.run_id,
            sa.func.count().label("changes"),
            sa.func.min(table.c.applied_at).label("first"),
            sa.func.max(table.c.applied_at).label("last"),
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
