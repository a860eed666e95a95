"""How the delivery to a CRM stands: what waits, what was refused, when it was last sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from serving import state
from serving.crm.targets import WRITE_ONLY
from serving.outbox import pending
from serving.outbox.pending import Scope
from serving.state.schema import DELIVERED, DELIVERIES, OUTBOX, REJECTED, SENDERS, SENDS

__all__ = ["refused", "retry", "status"]

_LAST: Final = 5


def status(engine: sa.Engine, target: str) -> dict[str, Any]:
    """Say how the delivery stands, in JSON values and times of UTC."""
    there = DELIVERED.c.target == target
    with state.reading(engine) as connection:
        wanted = connection.execute(
            sa.select(OUTBOX.c.kind, sa.func.count())
            .where(OUTBOX.c.target == target)
            .group_by(OUTBOX.c.kind)
        )
        holder = connection.execute(sa.select(SENDERS).where(SENDERS.c.target == target))
        unanswered = sa.select(sa.func.count()).where(
            there, DELIVERED.c.digest.is_(None), sa.cast(DELIVERED.c.attempted, sa.String) != "{}"
        )
        kept = sa.select(sa.func.count()).where(
            there, sa.cast(DELIVERED.c.theirs, sa.String) != "[]"
        )
        no = sa.select(sa.func.count()).where(REJECTED.c.target == target)
        newest = sa.select(sa.func.max(DELIVERED.c.as_of)).where(there)
        return {
            "crm": target,
            "as_of": connection.scalar(newest),
            "objects": {kind: count for kind, count in wanted},
            "to_send": pending.count(connection, Scope(target)),
            "unanswered": connection.scalar(unanswered),
            "refused": connection.scalar(no),
            "with_fields_of_humans": connection.scalar(kept),
            "reads_edits": target not in WRITE_ONLY,
            "sender": next((dict(row) for row in holder.mappings()), None),
            "runs": _runs(connection, target),
            "sends": _sends(connection, target),
        }


def refused(engine: sa.Engine, target: str) -> list[dict[str, Any]]:
    """Give what the target will not take, with its words, by kind and key."""
    query = sa.select(REJECTED).where(REJECTED.c.target == target)
    with state.reading(engine) as connection:
        rows = connection.execute(query.order_by(REJECTED.c.kind, REJECTED.c.key)).mappings()
        return [
            {name: row[name] for name in row if name not in {"target", "digest"}} for row in rows
        ]


def retry(engine: sa.Engine, target: str, keys: Collection[str]) -> int:
    """Let what was refused be sent once more, all of it or some keys; give how many objects.

    An object that is named and that a human deleted is made anew.
    """
    with state.writing(engine) as connection:
        table = REJECTED
        if not keys:
            gone = sa.delete(table).where(table.c.target == target)
            return connection.execute(gone).rowcount
        found = 0
        for key in keys:
            connection.execute(sa.delete(table).where(table.c.target == target, table.c.key == key))
            anew = sa.update(DELIVERED).where(DELIVERED.c.target == target, DELIVERED.c.key == key)
            connection.execute(anew.values(digest=None, crm_id=None))
            known = sa.select(OUTBOX.c.key).where(OUTBOX.c.target == target, OUTBOX.c.key == key)
            found += connection.execute(known).first() is not None
        return found


def _runs(connection: sa.Connection, target: str) -> list[dict[str, Any]]:
    table = DELIVERIES
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
        .limit(_LAST)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _sends(connection: sa.Connection, target: str) -> list[dict[str, Any]]:
    query = sa.select(SENDS).where(SENDS.c.target == target).order_by(SENDS.c.id.desc())
    rows = connection.execute(query.limit(_LAST)).mappings()
    return [{name: row[name] for name in row if name != "target"} for row in rows]
