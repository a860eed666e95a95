"""Insert into a table what may be there already, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["insert_missing", "insert_or_skip", "upsert"]

_MAKERS: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_or_skip(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one stands under its key, and say whether it was inserted."""
    made = _MAKERS[connection.dialect.name](table).on_conflict_do_nothing()
    # Drivers count the rows of an insert differently; what it returns is the same everywhere.
    told = connection.execute(made.values(**row).returning(*table.primary_key))
    return told.first() is not None


def insert_missing(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Insert rows, many at once; where one stands under a key it stays as it is.

    Returns how many were inserted.
    """
    if not rows:
        return 0
    made = _MAKERS[connection.dialect.name](table).on_conflict_do_nothing()
    return max(connection.execute(made, list(rows)).rowcount, 0)


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    counted: str | None = None,
) -> None:
    """Insert rows, or replace what stands under their keys; all rows name the same columns.

    The column ``counted`` is raised by one where a row stood there.
    """
    if not rows:
        return
    made = _MAKERS[connection.dialect.name](table)
    keys = [column.name for column in table.primary_key]
    replaced = {name: made.excluded[name] for name in rows[0] if name not in keys}
    if counted:
        replaced[counted] = table.c[counted] + 1
    connection.execute(made.on_conflict_do_update(index_elements=keys, set_=replaced), list(rows))
