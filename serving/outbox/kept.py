"""Episodes and the outbox in the database, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa

from serving.crm.target import Fields
from serving.outbox.episodes import Episode
from serving.outbox.levels import Levels
from serving.outbox.wanted import Wanted, sealed
from serving.state.entry import insert
from serving.state.schema import EPISODES, OUTBOX

__all__ = ["earlier", "episodes", "keep", "replace"]


def episodes(connection: sa.Connection) -> list[Episode]:
    """Every episode there ever was, by account, limit and number."""
    found = connection.execute(sa.select(EPISODES).order_by(*EPISODES.primary_key)).mappings()
    return [Episode(**{**row, "levels": Levels(**row["levels"])}) for row in found]


def keep(connection: sa.Connection, before: Iterable[Episode], after: Iterable[Episode]) -> None:
    """Write those episodes that are new or have changed."""
    known = {episode.key: episode for episode in before}
    changed = [episode for episode in after if known.get(episode.key) != episode]
    table = EPISODES
    gone = sa.delete(table).where(
        *(
            table.c[name] == sa.bindparam(f"its_{name}")
            for name in ("account_id", "limit", "episode")
        )
    )
    old = [episode for episode in changed if episode.key in known]
    if old:
        names = ("account_id", "limit", "episode")
        connection.execute(
            gone, [{f"its_{name}": getattr(each, name) for name in names} for each in old]
        )
    insert(connection, table, (asdict(episode) for episode in changed))


def earlier(connection: sa.Connection, target: str) -> Mapping[tuple[str, str], Fields]:
    """(kind, key) → the fields that the outbox holds of each opportunity and task."""
    query = sa.select(OUTBOX.c.kind, OUTBOX.c.key, OUTBOX.c.fields).where(
        OUTBOX.c.target == target, OUTBOX.c.kind != "account"
    )
    return {(row.kind, row.key): row.fields for row in connection.execute(query)}


def replace(
    connection: sa.Connection, target: str, objects: Iterable[Wanted], as_of: date, run_id: int
) -> None:
    """Put objects in the place of all that the outbox holds for a target."""
    connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.target == target))
    rows = (_row(each, target, as_of, run_id) for each in objects)
    insert(connection, OUTBOX, rows)


def _row(each: Wanted, target: str, as_of: date, run_id: int) -> dict[str, Any]:
    fields, digest = sealed(each.fields)
    return {
        "target": target,
        "kind": each.kind,
        "key": each.key,
        "account_id": each.account_id,
        "limit": each.limit,
        "as_of": as_of,
        "run_id": run_id,
        "place": each.place,
        "fields": fields,
        "digest": digest,
    }
