"""Episodes and the outbox in the database, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa

from serving.crm.target import Fields
from serving.outbox.episodes import Episode
from serving.outbox.levels import Levels
from serving.outbox.upsert import upsert
from serving.outbox.wanted import Wanted, sealed
from serving.state.entry import insert
from serving.state.schema import EPISODES, OUTBOX

__all__ = ["earlier", "episodes", "keep", "of_accounts", "renew", "replace"]


def episodes(connection: sa.Connection, accounts: Sequence[str] | None = None) -> list[Episode]:
    """Every episode there ever was, of all accounts or of some; by account, limit and number."""
    query = sa.select(EPISODES).order_by(*EPISODES.primary_key)
    if accounts is not None:
        query = query.where(EPISODES.c.account_id.in_(accounts))
    found = connection.execute(query).mappings()
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


def of_accounts(
    connection: sa.Connection, target: str, accounts: Sequence[str]
) -> Mapping[tuple[str, str], Fields]:
    """(kind, key) → the fields that the outbox holds of all objects of some accounts."""
    query = sa.select(OUTBOX.c.kind, OUTBOX.c.key, OUTBOX.c.fields).where(
        OUTBOX.c.target == target, OUTBOX.c.account_id.in_(accounts)
    )
    return {(row.kind, row.key): row.fields for row in connection.execute(query)}


def renew(
    connection: sa.Connection, target: str, objects: Iterable[Wanted], as_of: date, run_id: int
) -> None:
    """Put a few objects in the place of what the outbox holds of them, unless that is newer."""
    rows = [_row(each, target, as_of, run_id) for each in objects]
    keys = [row["key"] for row in rows]
    query = sa.select(OUTBOX.c.kind, OUTBOX.c.key).where(
        OUTBOX.c.target == target, OUTBOX.c.as_of > as_of, OUTBOX.c.key.in_(keys)
    )
    newer = {(row.kind, row.key) for row in connection.execute(query)}
    upsert(connection, OUTBOX, [row for row in rows if (row["kind"], row["key"]) not in newer])


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
