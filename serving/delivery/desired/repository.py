"""Episodes and the outbox in the database, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa

from serving.delivery.crm.base import Fields
from serving.delivery.desired.account_fields import DesiredObject, serialize_fields
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode
from serving.store.schema import DESIRED_OBJECTS, EPISODES
from serving.store.upsert import upsert
from serving.store.writers import bulk_insert

__all__ = [
    "load_episodes",
    "load_existing_followups",
    "load_existing_objects",
    "replace_objects",
    "save_episodes",
    "update_objects",
]


def load_episodes(
    connection: sa.Connection, accounts: Sequence[str] | None = None
) -> list[Episode]:
    """Every episode there ever was, of all accounts or of some; by account, limit and number."""
    query = sa.select(EPISODES).order_by(*EPISODES.primary_key)
    if accounts is not None:
        query = query.where(EPISODES.c.account_id.in_(accounts))
    found = connection.execute(query).mappings()
    return [Episode(**{**row, "levels": Entitlements(**row["levels"])}) for row in found]


def save_episodes(
    connection: sa.Connection, before: Iterable[Episode], after: Iterable[Episode]
) -> None:
    """Write those episodes that are new or have changed."""
    existing = {episode.key: episode for episode in before}
    changed = [episode for episode in after if existing.get(episode.key) != episode]
    table = EPISODES
    statement = sa.delete(table).where(
        *(
            table.c[name] == sa.bindparam(f"its_{name}")
            for name in ("account_id", "limit", "episode")
        )
    )
    replaced = [episode for episode in changed if episode.key in existing]
    if replaced:
        names = ("account_id", "limit", "episode")
        connection.execute(
            statement, [{f"its_{name}": getattr(each, name) for name in names} for each in replaced]
        )
    bulk_insert(connection, table, (asdict(episode) for episode in changed))


def load_existing_followups(
    connection: sa.Connection, target: str
) -> Mapping[tuple[str, str], Fields]:
    """(kind, key) → the fields that the outbox holds of each opportunity and task."""
    query = sa.select(
        DESIRED_OBJECTS.c.kind, DESIRED_OBJECTS.c.key, DESIRED_OBJECTS.c.fields
    ).where(DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.kind != "account")
    return {(row.kind, row.key): row.fields for row in connection.execute(query)}


def load_existing_objects(
    connection: sa.Connection, target: str, accounts: Sequence[str]
) -> Mapping[tuple[str, str], Fields]:
    """(kind, key) → the fields that the outbox holds of all objects of some accounts."""
    query = sa.select(
        DESIRED_OBJECTS.c.kind, DESIRED_OBJECTS.c.key, DESIRED_OBJECTS.c.fields
    ).where(DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.account_id.in_(accounts))
    return {(row.kind, row.key): row.fields for row in connection.execute(query)}


def update_objects(
    connection: sa.Connection,
    target: str,
    objects: Iterable[DesiredObject],
    as_of: date,
    run_id: int,
) -> None:
    """Put a few objects in the place of what the outbox holds of them, unless that is newer."""
    rows = [_to_desired_row(each, target, as_of, run_id) for each in objects]
    keys = [row["key"] for row in rows]
    query = sa.select(DESIRED_OBJECTS.c.kind, DESIRED_OBJECTS.c.key).where(
        DESIRED_OBJECTS.c.target == target,
        DESIRED_OBJECTS.c.as_of > as_of,
        DESIRED_OBJECTS.c.key.in_(keys),
    )
    newer = {(row.kind, row.key) for row in connection.execute(query)}
    upsert(
        connection, DESIRED_OBJECTS, [row for row in rows if (row["kind"], row["key"]) not in newer]
    )


def replace_objects(
    connection: sa.Connection,
    target: str,
    objects: Iterable[DesiredObject],
    as_of: date,
    run_id: int,
) -> None:
    """Put objects in the place of all that the outbox holds for a target."""
    connection.execute(sa.delete(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target))
    rows = (_to_desired_row(each, target, as_of, run_id) for each in objects)
    bulk_insert(connection, DESIRED_OBJECTS, rows)


def _to_desired_row(
    desired: DesiredObject, target: str, as_of: date, run_id: int
) -> dict[str, Any]:
    fields, digest = serialize_fields(desired.fields)
    return {
        "target": target,
        "kind": desired.kind,
        "key": desired.key,
        "account_id": desired.account_id,
        "limit": desired.limit,
        "as_of": as_of,
        "run_id": run_id,
        "place": desired.place,
        "fields": fields,
        "digest": digest,
    }
