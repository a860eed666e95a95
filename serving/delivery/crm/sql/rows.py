"""Rows of the embedded CRM: find them, and apply changes to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serving.delivery.crm.base import FieldChange, Kind, ObjectRef, Value
from serving.delivery.crm.fields import FIELDS, OPEN
from serving.store.schema import ACCOUNTS, OPPORTUNITIES, TASKS

__all__ = [
    "TABLES",
    "apply_changes",
    "fill_adoptable",
    "find_ids_by_key",
    "find_rows",
    "row_to_fields",
]

TABLES: Final = {"account": ACCOUNTS, "opportunity": OPPORTUNITIES, "task": TASKS}
Row: TypeAlias = dict[str, Any]
# Stages that mark an opportunity as closed, in addition to a date in closed_on.
_CLOSED: Final = ("won", "lost", "closed", "closed won", "closed lost")


def find_rows(
    connection: sa.Connection, refs: Sequence[ObjectRef], *, locked: bool = False
) -> list[Row | None]:
    """Return the row of each ref, by its record id or by our key; all are of one kind."""
    if refs[0].kind == "account":
        by_account = _load_rows(
            connection, ACCOUNTS, "account_id", [ref.key for ref in refs], locked
        )
        return [by_account.get(ref.key) for ref in refs]
    table = TABLES[refs[0].kind]
    ids = [int(ref.crm_id) for ref in refs if ref.crm_id is not None]
    by_id = _load_rows(connection, table, "id", ids, locked)
    by_key = _load_rows(connection, table, "key", [ref.key for ref in refs], locked)
    return [
        by_key.get(ref.key) if ref.crm_id is None else by_id.get(int(ref.crm_id)) for ref in refs
    ]


def fill_adoptable(
    connection: sa.Connection, refs: Sequence[ObjectRef], rows: Sequence[Row | None]
) -> list[Row | None]:
    """Fill missing rows with open opportunities that a human created for that limit.

    An opportunity without a limit fits any; the matching limit comes first, then the oldest.
    Each opportunity is used once.
    """
    missing = {ref.account_id for ref, row in zip(refs, rows, strict=True) if row is None}
    candidates = _load_human_opportunities(connection, missing) if missing else []
    taken = {row["id"] for row in rows if row is not None}
    filled = []
    for ref, row in zip(refs, rows, strict=True):
        match = row or next(
            (
                candidate
                for candidate in candidates
                if candidate["account_id"] == ref.account_id
                and candidate["limit"] in {None, "", ref.limit}
                and candidate["id"] not in taken
            ),
            None,
        )
        if match is not None:
            taken.add(match["id"])
        filled.append(match)
    return filled


def _load_human_opportunities(connection: sa.Connection, accounts: Iterable[str]) -> list[Row]:
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


def apply_changes(connection: sa.Connection, changes: Sequence[FieldChange]) -> list[Row]:
    """Apply changes to the current rows, which are locked, and write them back.

    Returns the rows in the order of the changes; a created row has no ``id`` yet.
    """
    kind = changes[0].ref.kind
    current_rows = find_rows(connection, [change.ref for change in changes], locked=True)
    rows = [
        {
            **(row or _build_empty_row(change.ref)),
            **_to_columns(kind, change.fields),
            **_build_parent_columns(change.ref, row),
        }
        for change, row in zip(changes, current_rows, strict=True)
    ]
    table, unique = TABLES[kind], "account_id" if kind == "account" else "key"
    existing = [row for row in rows if "id" in row]
    if existing:
        statement = sa.update(table).where(table.c.id == sa.bindparam("row_id"))
        values: dict[str, Any] = {name: sa.bindparam(name) for name in existing[0] if name != "id"}
        connection.execute(
            statement.values(values), [{**row, "row_id": row["id"]} for row in existing]
        )
    created = [row for row in rows if "id" not in row]
    if created:
        connection.execute(_build_upsert(connection, table, unique, created[0]), created)
    return rows


def find_ids_by_key(
    connection: sa.Connection, table: sa.Table, keys: Sequence[str]
) -> dict[str, int]:
    """Return the record id of each of our keys."""
    query = sa.select(table.c.key, table.c.id).where(table.c.key.in_(keys))
    return {key: number for key, number in connection.execute(query)}


def row_to_fields(kind: Kind, row: Row) -> dict[str, Value]:
    """Return the values of our fields of a row; a date as ISO text, an empty text as None."""
    return {name: _to_value(row[name]) for name in FIELDS[kind]}


def _to_value(value: Any) -> Value:  # noqa: ANN401 - whatever the column holds
    if isinstance(value, date):
        return value.isoformat()
    normalized: Value = None if value == "" else value
    return normalized


def _to_columns(kind: Kind, fields: Mapping[str, Value]) -> Row:
    catalogue = FIELDS[kind]
    return {
        name: date.fromisoformat(str(value)) if value and catalogue[name].type == "date" else value
        for name, value in fields.items()
        if name in catalogue
    }


def _build_empty_row(ref: ObjectRef) -> Row:
    empty = dict.fromkeys(FIELDS[ref.kind])
    if ref.kind == "account":
        return {"account_id": ref.key, **empty}
    parent = {"opportunity_id": None} if ref.kind == "task" else {}
    return {"key": ref.key, "account_id": ref.account_id, **parent, **empty}


def _build_parent_columns(ref: ObjectRef, row: Row | None) -> Row:
    """Return the opportunity id of a task, if it is known and not yet set."""
    if ref.kind != "task" or ref.opportunity_crm_id is None or (row or {}).get("opportunity_id"):
        return {}
    return {"opportunity_id": int(ref.opportunity_crm_id)}


def _load_rows(
    connection: sa.Connection, table: sa.Table, column: str, values: Sequence[Any], locked: bool
) -> dict[Any, Row]:
    if not values:
        return {}
    query = sa.select(table).where(table.c[column].in_(values))
    if locked:
        query = query.with_for_update()
    return {row[column]: dict(row) for row in connection.execute(query).mappings()}


def _build_upsert(
    connection: sa.Connection, table: sa.Table, unique: str, row: Row
) -> postgresql.Insert | sqlite.Insert:
    """Insert a row, or set the same fields if its key was inserted concurrently."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert: Any = dialect.insert(table)
    updates = {name: insert.excluded[name] for name in row if name != unique}
    statement: postgresql.Insert | sqlite.Insert = insert.on_conflict_do_update(
        index_elements=[unique], set_=updates
    )
    return statement
