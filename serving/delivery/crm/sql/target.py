"""Embedded CRM: tables in the application's SQL database, which pages and BI tools read.

It implements the same protocol as any CRM, so delivery can be tried without an external one. The
tables are defined in :mod:`serving.store.schema`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from serving import store
from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    Fields,
    HumanTouch,
    Kind,
    ObjectRef,
    PreflightCheck,
    RateLimit,
    Rejected,
    RemoteObject,
    RetryableError,
    Value,
    WriteResult,
)
from serving.delivery.crm.fields import normalize_fields
from serving.delivery.crm.sql import rows
from serving.delivery.crm.sql.rows import TABLES
from serving.store.schema import ACCOUNTS, OPPORTUNITIES, TASKS

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["SqlTarget", "create_target"]

# PostgreSQL: serialization failure, deadlock, lock timeout, cancelled query, too many connections;
# and the classes 08 (connection exception) and 57P (server shutdown).
_RETRYABLE_SQLSTATES: Final = ("40001", "40P01", "55P03", "57014", "53300", "08", "57P")


def create_target(settings: Settings) -> SqlTarget:
    """Open the embedded CRM of the settings.

    Raises
    ------
    data.errors.DeliveryError
        If its database cannot be opened.
    """
    return SqlTarget(store.open_engine(settings.database_url))


class SqlTarget:
    """Embedded CRM on one connection pool: a :class:`serving.delivery.crm.base.CrmTarget`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"SqlTarget({self._engine.url.render_as_string(hide_password=True)})"

    @property
    def name(self) -> str:
        """Name of the target."""
        return "sql"

    @property
    def rate_limit(self) -> RateLimit:
        """Batch size; a thousand rows are one transaction of a few milliseconds."""
        return RateLimit(rows_per_call=1_000)

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Return the values as the tables return them."""
        return normalize_fields(kind, fields)

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Return the rows of our objects, or the opportunity that a human opened for that limit."""
        if not refs:
            return []
        kind = refs[0].kind
        with _translate_errors(), self._engine.connect() as connection:
            current_rows = rows.find_rows(connection, refs)
            if kind == "opportunity":
                current_rows = rows.fill_adoptable(connection, refs, current_rows)
        return [None if row is None else _to_remote_object(kind, row) for row in current_rows]

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Set fields in one transaction; an existing key is updated, not created again."""
        if not changes:
            return []
        try:
            with _translate_errors(), self._write_transaction() as connection:
                return _write_changes(connection, changes)
        except BatchRejectedError as error:
            if len(changes) == 1:
                return [Rejected(str(error))]
            raise

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Check that the tables can be written; accounts get their rows with the first list."""
        tables = self._check_write_access()
        existing: set[str] = set()
        if tables.passed:
            with _translate_errors(), self._engine.connect() as connection:
                existing = set(connection.scalars(sa.select(ACCOUNTS.c.account_id)))
        missing = [ref.key for ref in accounts if ref.key not in existing]
        message = f"{len(accounts) - len(missing):,} have a row, {len(missing):,} will get one"
        return [
            tables,
            PreflightCheck("accounts", passed=True, message=message, examples=tuple(missing[:3])),
        ]

    def provision(self) -> list[str]:
        """Return no lines: the tables were created when the database was opened."""
        return []

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Return our tasks that humans completed, and the opportunities they moved or closed."""
        moved = sa.func.coalesce(OPPORTUNITIES.c.closed_on, OPPORTUNITIES.c.moved_on)
        completed_tasks = sa.select(
            TASKS.c.account_id,
            TASKS.c.done_on.label("touched_on"),
            sa.literal("task done").label("activity"),
        ).where(TASKS.c.key.is_not(None), TASKS.c.done_on >= since)
        moved_opportunities = sa.select(
            OPPORTUNITIES.c.account_id, moved, sa.literal("opportunity moved")
        ).where(moved >= since)
        query = sa.union(completed_tasks, moved_opportunities).order_by(
            "account_id", "touched_on", "activity"
        )
        with _translate_errors(), self._engine.connect() as connection:
            return [HumanTouch(*row) for row in connection.execute(query)]

    def close(self) -> None:
        """Close the connection pool."""
        self._engine.dispose()

    def _check_write_access(self) -> PreflightCheck:
        """Run an update that matches no row, which needs the same rights as a write."""
        try:
            with _translate_errors(), self._write_transaction() as connection:
                for table in TABLES.values():
                    connection.execute(sa.update(table).where(sa.false()).values(motion=None))
        except AccessDeniedError as error:
            return PreflightCheck(
                "tables", passed=False, message=f"{error}; grant read and write access"
            )
        return PreflightCheck(
            "tables", passed=True, message=", ".join(t.name for t in TABLES.values())
        )

    @contextmanager
    def _write_transaction(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(writes=True).begin() as connection:
            yield connection


def _to_remote_object(kind: Kind, row: rows.Row) -> RemoteObject:
    if kind == "account":
        return RemoteObject(row["account_id"], rows.row_to_fields(kind, row))
    return RemoteObject(
        str(row["id"]), rows.row_to_fields(kind, row), created_by_us=row["key"] is not None
    )


def _write_changes(connection: sa.Connection, changes: Sequence[FieldChange]) -> list[WriteResult]:
    kind = changes[0].ref.kind
    written = rows.apply_changes(connection, changes)
    if kind == "account":
        return [Applied(row["account_id"]) for row in written]
    new_ids = rows.find_ids_by_key(
        connection, TABLES[kind], [row["key"] for row in written if "id" not in row]
    )
    return [Applied(str(row["id"] if "id" in row else new_ids[row["key"]])) for row in written]


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate database errors into retryable, batch and access errors."""
    try:
        yield
    except OverflowError as error:
        raise BatchRejectedError(str(error)) from error
    except DBAPIError as error:
        message = str(error.orig).strip().partition("\n")[0]
        if _is_retryable(error):
            raise RetryableError(message) from error
        if isinstance(error, DataError | IntegrityError):
            raise BatchRejectedError(message) from error
        raise AccessDeniedError(f"the database refused: {message}") from error


def _is_retryable(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return str(code).startswith(_RETRYABLE_SQLSTATES)
    message = str(error.orig)
    is_connection_error = "connect" in message and "unable to open" not in message
    return (
        error.connection_invalidated
        or is_connection_error
        or "locked" in message
        or "busy" in message
    )
