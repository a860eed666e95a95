"""What a list would have sent, beside what is known of its delivery; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from serving.outbox.pending import Row
from serving.outbox.wanted import Wanted, digest
from serving.state.schema import DELIVERED, REJECTED

__all__ = ["rows"]


def rows(
    connection: sa.Connection, target: str, objects: Iterable[Wanted], as_of: date
) -> list[Row]:
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
    known = _by_object(connection, DELIVERED, target)
    refused = _by_object(connection, REJECTED, target)
    found = []
    for each in objects:
        place = (each.kind, each.key)
        row = _row(each, as_of, known.get(place, {}), refused.get(place))
        differs = row.settled != row.digest
        if differs and refused.get(place, {}).get("digest") != row.digest:
            found.append(row)
    return sorted(found, key=lambda row: row.position)


def _by_object(
    connection: sa.Connection, table: sa.Table, target: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
    found = connection.execute(sa.select(table).where(table.c.target == target)).mappings()
    return {(row["kind"], row["key"]): dict(row) for row in found}


def _row(
    each: Wanted, as_of: date, known: Mapping[str, Any], refused: Mapping[str, Any] | None
) -> Row:
    theirs: Sequence[str] = known.get("theirs") or ()
    return Row(
        kind=each.kind,
        key=each.key,
        account_id=each.account_id,
        limit=each.limit,
        as_of=as_of,
        run_id=0,
        place=each.place,
        fields=each.fields,
        digest=digest(each.fields),
        crm_id=known.get("crm_id"),
        acknowledged=known.get("fields") or {},
        settled=known.get("digest"),
        attempted=known.get("attempted") or {},
        theirs=tuple(theirs),
        adopted=bool(known.get("adopted")),
        refused=refused is not None,
    )
