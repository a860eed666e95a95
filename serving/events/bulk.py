"""Many arrivals in one statement.

The thread that writes shares its interpreter with the server. A statement per row would let go of
it and wait for it anew with every row; this one does so once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from serving.events.shapes import Message
from serving.events.tables import ARRIVALS

__all__ = ["Row", "insert"]

# Source, moment of receipt, message.
Row = tuple[str, datetime, Message]
_COLUMNS: Final = tuple(column.name for column in ARRIVALS.columns if column.name != "id")
_KINDS: Final = {
    column.name: "double precision"
    if isinstance(column.type, sa.Float)
    else "timestamptz"
    if isinstance(column.type, sa.DateTime)
    else "text"
    for column in ARRIVALS.columns
}
_NAMED: Final = ", ".join(_COLUMNS)
_VALUES: Final = {
    "sqlite": ", ".join(f"value ->> {place}" for place in range(len(_COLUMNS))),
    "postgresql": ", ".join(
        f"CAST(value ->> {place} AS {_KINDS[name]})" for place, name in enumerate(_COLUMNS)
    ),
}
_EACH: Final = {
    "sqlite": "json_each(:rows)",
    "postgresql": "json_array_elements(CAST(:rows AS json)) AS told(value)",
}
_INSERT: Final = {
    dialect: sa.text(
        f"INSERT INTO {ARRIVALS.name} ({_NAMED}) SELECT {_VALUES[dialect]}"  # noqa: S608 - our own
        f" FROM {_EACH[dialect]} WHERE true ON CONFLICT DO NOTHING"
    )
    for dialect in _EACH
}


def insert(connection: sa.Connection, rows: Sequence[Row]) -> int:
    """Insert arrivals, skip those that are there already, and say how many were new."""
    if not rows:
        return 0
    dialect = connection.dialect.name
    zone = "" if dialect == "sqlite" else "+00"
    told = json.dumps([_told(row, zone) for row in rows])
    return max(connection.execute(_INSERT[dialect], {"rows": told}).rowcount, 0)


def _told(row: Row, zone: str) -> tuple[str | float | None, ...]:
    """In the order of the columns."""
    source, received_at, message = row
    return (
        source,
        message.message_id,
        message.workspace,
        message.user_id,
        message.event,
        message.feature,
        message.quantity,
        _moment(message.happened_at, zone),
        _moment(received_at, zone),
    )


def _moment(moment: datetime, zone: str) -> str:
    """A time in UTC as the database writes it."""
    return moment.isoformat(" ", "microseconds")[:26] + zone
