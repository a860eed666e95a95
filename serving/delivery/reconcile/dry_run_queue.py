"""What a list would have sent, beside what is known of its delivery; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from serving.delivery.desired.account_fields import DesiredObject, hash_fields
from serving.delivery.reconcile.queue import PendingObject
from serving.store.schema import APPLIED_OBJECTS, REJECTED_OBJECTS

__all__ = ["build_pending_objects"]


def build_pending_objects(
    connection: sa.Connection, target: str, objects: Iterable[DesiredObject], as_of: date
) -> list[PendingObject]:
    """Give the rows that would be sent: those that differ from what was acknowledged last.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        One that reads.
    target : str
        Name of the CRM.
    objects : iterable of Wanted
        What should be true.
    as_of : datetime.date
        Of the list.
    """
    applied = _load_by_object(connection, APPLIED_OBJECTS, target)
    rejected = _load_by_object(connection, REJECTED_OBJECTS, target)
    pending = []
    for each in objects:
        place = (each.kind, each.key)
        row = _to_pending_object(each, as_of, applied.get(place, {}), rejected.get(place))
        differs = row.last_applied_hash != row.digest
        if differs and rejected.get(place, {}).get("digest") != row.digest:
            pending.append(row)
    return sorted(pending, key=lambda row: row.sort_key)


def _load_by_object(
    connection: sa.Connection, table: sa.Table, target: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
    rows = connection.execute(sa.select(table).where(table.c.target == target)).mappings()
    return {(row["kind"], row["key"]): dict(row) for row in rows}


def _to_pending_object(
    desired: DesiredObject,
    as_of: date,
    applied: Mapping[str, Any],
    rejection: Mapping[str, Any] | None,
) -> PendingObject:
    human_fields: Sequence[str] = applied.get("theirs") or ()
    return PendingObject(
        kind=desired.kind,
        key=desired.key,
        account_id=desired.account_id,
        limit=desired.limit,
        as_of=as_of,
        run_id=0,
        place=desired.place,
        fields=desired.fields,
        digest=hash_fields(desired.fields),
        crm_id=applied.get("crm_id"),
        last_applied=applied.get("fields") or {},
        last_applied_hash=applied.get("digest"),
        in_flight=applied.get("attempted") or {},
        human_fields=tuple(human_fields),
        adopted=bool(applied.get("adopted")),
        was_rejected=rejection is not None,
    )
