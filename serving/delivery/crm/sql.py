"""Embedded CRM: tables in the application's SQL database, which pages and BI tools read.

It implements the same protocol as any CRM, so delivery can be tried without an external one. The
tables are defined in :mod:`serving.store.schema`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from serving import store
from serving.delivery.crm import base
from serving.delivery.crm.fields import FIELDS, OPEN, normalize_fields
from serving.store.schema import ACCOUNTS, OPPORTUNITIES, TASKS
from serving.store.upsert import upsert

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["TABLES", "SqlTarget", "create_target"]

TABLES: Final = {"account": ACCOUNTS, "opportunity": OPPORTUNITIES, "task": TASKS}
Row: TypeAlias = dict[str, Any]
# Stages that mark an opportunity as closed, in addition to a date in closed_on.
_CLOSED: Final = ("won", "lost", "closed", "closed won", "closed lost")
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

    name: Final = "sql"
    rate_limit = base.RateLimit(rows_per_call=1_000)  # one transaction of a few milliseconds

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def normalize(self, kind: base.Kind, fields: base.Fields) -> dict[str, base.Value]:
        """Return the values as the tables return them."""
        return normalize_fields(kind, fields)

    def read(self, refs: Sequence[base.ObjectRef]) -> list[base.RemoteObject | None]:
        """Return the rows of our objects, or the opportunity that a human opened for that limit."""
        kind = refs[0].kind
        with _translate_errors(), self._engine.connect() as connection:
            current_rows = _find_rows(connection, refs)
            if kind == "opportunity":
                current_rows = _fill_adoptable(connection, refs, current_rows)
        return [None if row is None else _to_remote_object(kind, row) for row in current_rows]

    def write(self, changes: Sequence[base.FieldChange]) -> list[base.WriteResult]:
        """Set fields in one transaction; an existing key is updated, not created again."""
        try:
            with _translate_errors(), self._write_transaction() as connection:
                return [base.Applied(crm_id) for crm_id in _apply_changes(connection, changes)]
        except base.BatchRejectedError as error:
            if len(changes) == 1:
                return [base.Rejected(str(error))]
            raise

    def preflight(self, accounts: Sequence[base.ObjectRef]) -> list[base.PreflightCheck]:
        """Check that the tables can be written; accounts get their rows with the first list."""
        tables = self._check_write_access()
        existing: set[str] = set()
        if tables.passed:
            with _translate_errors(), self._engine.connect() as connection:
                existing = set(connection.scalars(sa.select(ACCOUNTS.c.account_id)))
        missing = [ref.key for ref in accounts if ref.key not in existing]
        message = f"{len(accounts) - len(missing):,} have a row, {len(missing):,} will get one"
        return [tables, base.PreflightCheck("accounts", True, message, tuple(missing[:3]))]

    def provision(self) -> list[str]:
        """Return no lines: the tables were created when the database was opened."""
        return []

    def fetch_human_touches(self, since: date) -> list[base.HumanTouch]:
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
            return [base.HumanTouch(*row) for row in connection.execute(query)]

    def close(self) -> None:
        """Close the connection pool."""
        self._engine.dispose()

    def _check_write_access(self) -> base.PreflightCheck:
        """Run an update that matches no row, which needs the same rights as a write."""
        try:
            with _translate_errors(), self._write_transaction() as connection:
                for table in TABLES.values():
                    connection.execute(sa.update(table).where(sa.false()).values(motion=None))
        except base.AccessDeniedError as error:
            return base.PreflightCheck("tables", False, f"{error}; grant read and write access")
        return base.PreflightCheck(
            "tables", True, ", ".join(table.name for table in TABLES.values())
        )

    def _write_transaction(self) -> AbstractContextManager[sa.Connection]:
        return self._engine.execution_options(writes=True).begin()


def _find_rows(
    connection: sa.Connection, refs: Sequence[base.ObjectRef], *, locked: bool = False
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


def _fill_adoptable(
    connection: sa.Connection, refs: Sequence[base.ObjectRef], rows: Sequence[Row | None]
) -> list[Row | None]:
    """Fill missing rows with open opportunities that a human created for that limit.

    An opportunity without a limit fits any; the matching limit comes first, then the oldest.
    Each opportunity is used once.
    """
    missing = {ref.account_id for ref, row in zip(refs, rows, strict=True) if row is None}
    candidates = _load_human_opportunities(connection, missing) if missing else []
    taken = {row["id"] for row in rows if row is not None}
    filled = list(rows)
    for index, ref in enumerate(refs):
        if filled[index] is None:
            suitable = (
                candidate
                for candidate in candidates
                if candidate["account_id"] == ref.account_id
                and candidate["limit"] in {None, "", ref.limit}
                and candidate["id"] not in taken
            )
            if (match := next(suitable, None)) is not None:
                taken.add(match["id"])
                filled[index] = match
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


def _apply_changes(connection: sa.Connection, changes: Sequence[base.FieldChange]) -> list[str]:
    """Apply changes to the current rows, which are locked, and return the record ids in order."""
    kind = changes[0].ref.kind
    current_rows = _find_rows(connection, [change.ref for change in changes], locked=True)
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
    upsert(connection, table, created, unique=unique)  # a key may have been inserted concurrently
    if kind == "account":
        return [row["account_id"] for row in rows]
    query = sa.select(table.c.key, table.c.id).where(
        table.c.key.in_([row["key"] for row in created])
    )
    new_ids = {key: number for key, number in connection.execute(query)}
    return [str(row["id"] if "id" in row else new_ids[row["key"]]) for row in rows]


def _to_remote_object(kind: base.Kind, row: Row) -> base.RemoteObject:
    """Return an object with the values of our fields; dates as ISO text, empty texts as None."""
    fields = {name: _to_value(row[name]) for name in FIELDS[kind]}
    if kind == "account":
        return base.RemoteObject(row["account_id"], fields)
    return base.RemoteObject(str(row["id"]), fields, created_by_us=row["key"] is not None)


def _to_value(value: Any) -> base.Value:  # noqa: ANN401 - whatever the column holds
    if isinstance(value, date):
        return value.isoformat()
    normalized: base.Value = None if value == "" else value
    return normalized


def _to_columns(kind: base.Kind, fields: Mapping[str, base.Value]) -> Row:
    catalogue = FIELDS[kind]
    return {
        name: date.fromisoformat(str(value)) if value and catalogue[name].type == "date" else value
        for name, value in fields.items()
        if name in catalogue
    }


def _build_empty_row(ref: base.ObjectRef) -> Row:
    empty = dict.fromkeys(FIELDS[ref.kind])
    if ref.kind == "account":
        return {"account_id": ref.key, **empty}
    parent = {"opportunity_id": None} if ref.kind == "task" else {}
    return {"key": ref.key, "account_id": ref.account_id, **parent, **empty}


def _build_parent_columns(ref: base.ObjectRef, row: Row | None) -> Row:
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


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate database errors into retryable, batch and access errors."""
    try:
        yield
    except OverflowError as error:
        raise base.BatchRejectedError(str(error)) from error
    except DBAPIError as error:
        message = base.extract_first_line(error.orig)
        if _is_retryable(error):
            raise base.RetryableError(message) from error
        if isinstance(error, DataError | IntegrityError):
            raise base.BatchRejectedError(message) from error
        raise base.AccessDeniedError(f"the database refused: {message}") from error


def _is_retryable(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return str(code).startswith(_RETRYABLE_SQLSTATES)
    message = str(error.orig)
    is_connection_error = "connect" in message and "unable to open" not in message
    is_locked = "locked" in message or "busy" in message
    return error.connection_invalidated or is_connection_error or is_locked
