"""Rows of the embedded CRM: which one is meant, and how changes are laid over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serving.crm.tables import ACCOUNTS, OPPORTUNITIES, TABLES
from serving.crm.target import Change, Kind, Ref, Value
from serving.outbox.objects import FIELDS, OPEN

__all__ = ["ids_of", "meant", "or_adoptable", "put", "told"]

Row: TypeAlias = dict[str, Any]
# Stages that a human may name, beside a day in closed_on, to say that nothing is open any more.
_CLOSED: Final = ("won", "lost", "closed", "closed won", "closed lost")


def meant(
    connection: sa.Connection, refs: Sequence[Ref], *, locked: bool = False
) -> list[Row | None]:
    """The row of each ref, by the CRM's own name of it or by our key; all are of one kind."""
    if refs[0].kind == "account":
        named = _by(connection, ACCOUNTS, "account_id", [ref.key for ref in refs], locked)
        return [named.get(ref.key) for ref in refs]
    table = TABLES[refs[0].kind]
    numbers = [int(ref.crm_id) for ref in refs if ref.crm_id is not None]
    by_id = _by(connection, table, "id", numbers, locked)
    by_key = _by(connection, table, "key", [ref.key for ref in refs], locked)
    return [
        by_key.get(ref.key) if ref.crm_id is None else by_id.get(int(ref.crm_id)) for ref in refs
    ]


def or_adoptable(
    connection: sa.Connection, refs: Sequence[Ref], rows: Sequence[Row | None]
) -> list[Row | None]:
    """Where there is no row, an open opportunity that a human made at the account for that limit.

    One without a limit fits any; the closest limit comes first, then the oldest. None serves two.
    """
    missing = {ref.account_id for ref, row in zip(refs, rows, strict=True) if row is None}
    theirs = _open_of_humans(connection, missing) if missing else []
    taken = {row["id"] for row in rows if row is not None}
    filled = []
    for ref, row in zip(refs, rows, strict=True):
        found = row or next(
            (
                each
                for each in theirs
                if each["account_id"] == ref.account_id
                and each["limit"] in {None, "", ref.limit}
                and each["id"] not in taken
            ),
            None,
        )
        if found is not None:
            taken.add(found["id"])
        filled.append(found)
    return filled


def _open_of_humans(connection: sa.Connection, accounts: Iterable[str]) -> list[Row]:
    table = OPPORTUNITIES
    query = (
        sa.select(table)
        .where(
            table.c.key.is_(None),
            table.c.account_id.in_(accounts),
            table.c.closed_on.is_(None),
            sa.func.lower(sa.func.coalesce(table.c.stage, "")).not_in(_CLOSED),
            sa.func.coalesce(table.c.state, OPEN) == OPEN,
        )
        .order_by(table.c.limit.is_(None), table.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def put(connection: sa.Connection, changes: Sequence[Change]) -> list[Row]:
    """Lay changes over the rows as they stand, locked, and write those back.

    Returns the rows in the order of the changes; one that was made has no ``id`` yet.
    """
    kind = changes[0].ref.kind
    standing = meant(connection, [change.ref for change in changes], locked=True)
    rows = [
        {**(row or _bare(change.ref)), **_stored(kind, change.fields), **_parent(change.ref, row)}
        for change, row in zip(changes, standing, strict=True)
    ]
    table, unique = TABLES[kind], "account_id" if kind == "account" else "key"
    known = [row for row in rows if "id" in row]
    if known:
        chosen = sa.update(table).where(table.c.id == sa.bindparam("row_id"))
        values: dict[str, Any] = {name: sa.bindparam(name) for name in known[0] if name != "id"}
        connection.execute(chosen.values(values), [{**row, "row_id": row["id"]} for row in known])
    made = [row for row in rows if "id" not in row]
    if made:
        connection.execute(_upsert(connection, table, unique, made[0]), made)
    return rows


def ids_of(connection: sa.Connection, table: sa.Table, keys: Sequence[str]) -> dict[str, int]:
    """Our key → the CRM's own name of it."""
    query = sa.select(table.c.key, table.c.id).where(table.c.key.in_(keys))
    return {key: number for key, number in connection.execute(query)}


def told(kind: Kind, row: Row) -> dict[str, Value]:
    """What stands in our fields of a row; a day as an ISO date, an empty text as None."""
    return {name: _told(row[name]) for name in FIELDS[kind]}


def _told(value: Any) -> Value:  # noqa: ANN401 - whatever the column holds
    if isinstance(value, date):
        return value.isoformat()
    said: Value = None if value == "" else value
    return said


def _stored(kind: Kind, fields: Mapping[str, Value]) -> Row:
    known = FIELDS[kind]
    return {
        name: date.fromisoformat(str(value)) if value and known[name].type == "day" else value
        for name, value in fields.items()
        if name in known
    }


def _bare(ref: Ref) -> Row:
    empty = dict.fromkeys(FIELDS[ref.kind])
    if ref.kind == "account":
        return {"account_id": ref.key, **empty}
    parent = {"opportunity_id": None} if ref.kind == "task" else {}
    return {"key": ref.key, "account_id": ref.account_id, **parent, **empty}


def _parent(ref: Ref, row: Row | None) -> Row:
    """The opportunity that a task hangs on, where it is known and was not before."""
    if ref.kind != "task" or ref.opportunity_crm_id is None or (row or {}).get("opportunity_id"):
        return {}
    return {"opportunity_id": int(ref.opportunity_crm_id)}


def _by(
    connection: sa.Connection, table: sa.Table, column: str, values: Sequence[Any], locked: bool
) -> dict[Any, Row]:
    if not values:
        return {}
    query = sa.select(table).where(table.c[column].in_(values))
    if locked:
        query = query.with_for_update()
    return {row[column]: dict(row) for row in connection.execute(query).mappings()}


def _upsert(
    connection: sa.Connection, table: sa.Table, unique: str, row: Row
) -> postgresql.Insert | sqlite.Insert:
    """Make a row, or, where its key has come in between, set the same fields on it."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert: Any = dialect.insert(table)
    ours = {name: insert.excluded[name] for name in row if name != unique}
    made: postgresql.Insert | sqlite.Insert = insert.on_conflict_do_update(
        index_elements=[unique], set_=ours
    )
    return made
