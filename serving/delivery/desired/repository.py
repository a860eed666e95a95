"""Repository of episodes and desired objects, within the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa

from serving.delivery.crm.base import KINDS, Fields, Kind
from serving.delivery.desired.account_fields import DesiredObject, serialize_fields
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode
from serving.store.event_schema import ALERTS, SEVERITIES
from serving.store.schema import DESIRED_OBJECTS, EPISODES
from serving.store.upsert import bulk_insert, upsert

__all__ = [
    "load_episodes",
    "load_existing_objects",
    "load_open_alerts",
    "replace_objects",
    "save_episodes",
    "update_objects",
]


def load_episodes(
    connection: sa.Connection, accounts: Sequence[str] | None = None
) -> list[Episode]:
    """Return the episodes of all or some accounts, ordered by account, limit and number."""
    query = sa.select(EPISODES).order_by(*EPISODES.primary_key)
    if accounts is not None:
        query = query.where(EPISODES.c.account_id.in_(accounts))
    return [
        Episode(**{**row, "entitlements": Entitlements(**row["entitlements"])})
        for row in connection.execute(query).mappings()
    ]


def save_episodes(
    connection: sa.Connection, before: Iterable[Episode], after: Iterable[Episode]
) -> None:
    """Save the episodes that are new or have changed."""
    existing = {episode.key: episode for episode in before}
    changed = [asdict(episode) for episode in after if existing.get(episode.key) != episode]
    upsert(connection, EPISODES, changed)


def load_existing_objects(
    connection: sa.Connection,
    target: str,
    *,
    kinds: Sequence[Kind] = KINDS,
    accounts: Sequence[str] | None = None,
) -> Mapping[tuple[str, str], Fields]:
    """Return the stored fields of the objects of some kinds and accounts, by (kind, key)."""
    table = DESIRED_OBJECTS.c
    query = sa.select(table.kind, table.key, table.fields).where(
        table.target == target, table.kind.in_(kinds)
    )
    if accounts is not None:
        query = query.where(table.account_id.in_(accounts))
    return {(row.kind, row.key): row.fields for row in connection.execute(query)}


def update_objects(
    connection: sa.Connection,
    target: str,
    objects: Iterable[DesiredObject],
    as_of: date,
    run_id: int,
) -> None:
    """Replace a few desired objects, unless the stored ones are newer."""
    rows = [_to_desired_row(crm_object, target, as_of, run_id) for crm_object in objects]
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
    """Replace all desired objects of a target."""
    connection.execute(sa.delete(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target))
    rows = (_to_desired_row(crm_object, target, as_of, run_id) for crm_object in objects)
    bulk_insert(connection, DESIRED_OBJECTS, rows)


def load_open_alerts(connection: sa.Connection) -> dict[str, str]:
    """Return account → limit of its open alert of at least priority; the later of two."""
    is_severe_and_open = ALERTS.c.closed_at.is_(None) & ALERTS.c.severity.in_(SEVERITIES[1:])
    query = sa.select(ALERTS.c.account_id, ALERTS.c.limit).where(is_severe_and_open)
    rows = connection.execute(query.order_by(ALERTS.c.severity_at))
    return {row.account_id: row.limit for row in rows}


def _to_desired_row(
    desired: DesiredObject, target: str, as_of: date, run_id: int
) -> dict[str, Any]:
    fields, content_hash = serialize_fields(desired.fields)
    return {
        "target": target,
        "kind": desired.kind,
        "key": desired.key,
        "account_id": desired.account_id,
        "limit": desired.limit,
        "as_of": as_of,
        "run_id": run_id,
        "priority": desired.priority,
        "fields": fields,
        "content_hash": content_hash,
    }
