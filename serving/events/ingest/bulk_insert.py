"""Bulk insert of webhook events in one statement.

The writer thread shares the interpreter lock with the server. One statement for all rows acquires
it once; a statement per row would acquire it for every row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from serving.events.ingest.parsers import InboundEvent
from serving.store.event_schema import WEBHOOK_EVENTS

__all__ = ["WebhookRow", "insert_events"]

# Source, receive time, message.
WebhookRow = tuple[str, datetime, InboundEvent]
_COLUMNS: Final = tuple(column.name for column in WEBHOOK_EVENTS.columns if column.name != "id")
_COLUMN_TYPES: Final = {
    column.name: "double precision"
    if isinstance(column.type, sa.Float)
    else "timestamptz"
    if isinstance(column.type, sa.DateTime)
    else "text"
    for column in WEBHOOK_EVENTS.columns
}
_COLUMN_LIST: Final = ", ".join(_COLUMNS)
_VALUE_EXPRESSIONS: Final = {
    "sqlite": ", ".join(f"value ->> {index}" for index in range(len(_COLUMNS))),
    "postgresql": ", ".join(
        f"CAST(value ->> {index} AS {_COLUMN_TYPES[name]})" for index, name in enumerate(_COLUMNS)
    ),
}
_ROW_SOURCES: Final = {
    "sqlite": "json_each(:rows)",
    "postgresql": "json_array_elements(CAST(:rows AS json)) AS item(value)",
}
_INSERT_STATEMENTS: Final = {
    dialect: sa.text(
        f"INSERT INTO {WEBHOOK_EVENTS.name} ({_COLUMN_LIST}) SELECT {_VALUE_EXPRESSIONS[dialect]}"  # noqa: S608 - constants only
        f" FROM {_ROW_SOURCES[dialect]} WHERE true ON CONFLICT DO NOTHING"
    )
    for dialect in _ROW_SOURCES
}


def insert_events(connection: sa.Connection, rows: Sequence[WebhookRow]) -> int:
    """Insert events, skip existing ones, and return the number of new rows."""
    if not rows:
        return 0
    dialect = connection.dialect.name
    zone = "" if dialect == "sqlite" else "+00"
    payload = json.dumps([_to_values(row, zone) for row in rows])
    return max(connection.execute(_INSERT_STATEMENTS[dialect], {"rows": payload}).rowcount, 0)


def _to_values(row: WebhookRow, zone: str) -> tuple[str | float | None, ...]:
    """Return the values of a row in column order."""
    source, received_at, message = row
    return (
        source,
        message.message_id,
        message.workspace,
        message.user_id,
        message.event,
        message.feature,
        message.quantity,
        _format_time(message.happened_at, zone),
        _format_time(received_at, zone),
    )


def _format_time(moment: datetime, zone: str) -> str:
    """Format a UTC time as the database writes it."""
    return moment.isoformat(" ", "microseconds")[:26] + zone
