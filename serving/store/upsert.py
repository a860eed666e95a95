"""Bulk inserts and upserts for SQLite and PostgreSQL, and their chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["bulk_insert", "insert_missing", "insert_or_skip", "iter_chunks", "upsert"]

Item = TypeVar("Item")
_CHUNK_ROWS: Final = 5_000  # databases limit the parameters of a statement

_INSERT_BY_DIALECT: Final[Mapping[str, Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def iter_chunks(items: Iterable[Item], size: int = _CHUNK_ROWS) -> Iterator[list[Item]]:
    """Yield the items in lists of at most ``size``."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows in chunks of some thousands."""
    for chunk in iter_chunks(rows):
        connection.execute(sa.insert(table), chunk)


def insert_or_skip(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless its key exists; return True if it was inserted."""
    statement = _INSERT_BY_DIALECT[connection.dialect.name](table).on_conflict_do_nothing()
    # Drivers disagree on the row count of an insert, but not on the rows it returns.
    inserted = connection.execute(statement.values(**row).returning(*table.primary_key))
    return inserted.first() is not None


def insert_missing(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Insert many rows; rows whose key exists are left unchanged.

    Returns the number of inserted rows.
    """
    if not rows:
        return 0
    statement = _INSERT_BY_DIALECT[connection.dialect.name](table).on_conflict_do_nothing()
    return max(connection.execute(statement, list(rows)).rowcount, 0)


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    unique: str | None = None,
    increment: str | None = None,
) -> None:
    """Insert rows, or replace the rows with the same keys; all rows have the same columns.

    The key is the primary key, or the column ``unique``. The column ``increment`` is raised by one
    where a row existed.
    """
    if not rows:
        return
    statement = _INSERT_BY_DIALECT[connection.dialect.name](table)
    keys = [unique] if unique else [column.name for column in table.primary_key]
    updates = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    if increment:
        updates[increment] = table.c[increment] + 1
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=updates), list(rows)
    )
