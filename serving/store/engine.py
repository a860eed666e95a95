"""Database engine: open, migrate, read and write transactions, advisory locks.

SQLite uses a write-ahead log, so readers never wait for the single writer. A writer acquires
its lock at the start (``BEGIN IMMEDIATE``) instead of failing halfway. PostgreSQL needs neither.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from tenacity import Retrying, retry_if_exception, stop_after_delay

from data.errors import DeliveryError

__all__ = [
    "BUSY_TIMEOUT_SECONDS",
    "PreEncodedJson",
    "acquire_advisory_lock",
    "as_utc",
    "database_exists",
    "fetch_rows",
    "open_engine",
    "read_transaction",
    "redact_url",
    "translate_errors",
    "write_transaction",
]

BUSY_TIMEOUT_SECONDS: Final = 30
_BUSY_TIMEOUT: Final = f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}"
_SHORT_BUSY_TIMEOUT: Final = "PRAGMA busy_timeout = 8"
# A row of scores takes 2.3 KB: only one fits into SQLite's usual page of 4 KB, see ADR 35.
_PAGE_BYTES: Final = 8_192
_RETRY_ADVICE: Final = "Fix it and run again."


class PreEncodedJson(str):
    """JSON that is already encoded as text and is stored unchanged."""

    __slots__ = ()


def open_engine(url: str) -> sa.Engine:
    """Open the database and create or migrate its tables where needed.

    A missing SQLite file and its folder are created. The engine is for use with
    :func:`read_transaction` and :func:`write_transaction`.

    Raises
    ------
    data.errors.DeliveryError
        If the database cannot be reached, was migrated by a newer version of this program, or holds
        foreign tables with names of this program.
    """
    from serving.store import migrate  # noqa: PLC0415 - circular import

    with translate_errors():
        engine = sa.create_engine(url, json_serializer=_serialize_json)
        try:
            if engine.dialect.name == "sqlite":
                _create_folder(engine.url)
                _configure_sqlite(engine)
            migrate.upgrade_to_latest(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def write_transaction(engine: sa.Engine, *, advice: str = _RETRY_ADVICE) -> Iterator[sa.Connection]:
    """Open a write transaction: all of it is committed, or nothing.

    ``advice`` ends the message of an error.

    Raises
    ------
    data.errors.DeliveryError
        If the database reports an error, or another writer holds the lock for 30 seconds.
    """
    with translate_errors(advice), engine.execution_options(writes=True).begin() as connection:
        yield connection


@contextmanager
def read_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a read transaction; on SQLite it sees a consistent snapshot.

    Raises
    ------
    data.errors.DeliveryError
        If the database reports an error.
    """
    with translate_errors(), engine.connect() as connection:
        yield connection


def fetch_rows(source: sa.Engine | sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of a query: in the connection's transaction, or in a read transaction."""
    if isinstance(source, sa.Engine):
        with read_transaction(source) as connection:
            return fetch_rows(connection, query)
    return [dict(row) for row in source.execute(query).mappings()]


def as_utc(moment: datetime) -> datetime:
    """Return a database time in UTC: SQLite returns no zone, PostgreSQL its session's zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def acquire_advisory_lock(connection: sa.Connection, name: str) -> None:
    """Acquire a named advisory lock until the end of the transaction.

    It does nothing on SQLite, which has a single writer.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(name.encode()))))


def database_exists(url: str) -> bool:
    """Return whether there is a database to open, without creating an SQLite file.

    Raises
    ------
    data.errors.DeliveryError
        If the URL is not a database URL.
    """
    with translate_errors():
        parsed = sa.make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").is_file()


def redact_url(url: str) -> str:
    """Return the database URL without its password."""
    return sa.make_url(url).render_as_string(hide_password=True)


@contextmanager
def translate_errors(advice: str = _RETRY_ADVICE) -> Iterator[None]:
    """Convert database exceptions to a :class:`data.errors.DeliveryError` with one sentence.

    Raises
    ------
    data.errors.DeliveryError
        In place of the database's own exception.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # pragmas bypass SQLAlchemy
        first = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise DeliveryError(f"the database reported: {first}; {advice}") from error
    except (NoSuchModuleError, ModuleNotFoundError, sa.exc.ArgumentError) as error:
        raise DeliveryError(
            f"no driver for the database in database.url ({error}); for PostgreSQL:"
            " pip install '.[postgres]'."
        ) from error


def _serialize_json(value: object) -> str:
    return value if isinstance(value, PreEncodedJson) else json.dumps(value, separators=(",", ":"))


def _create_folder(url: sa.URL) -> None:
    """Create the folder of an SQLite file; SQLite reports the error if this is impossible."""
    file = url.database or ":memory:"
    if not file.startswith((":", "file:")):
        with suppress(OSError):
            Path(file).parent.mkdir(parents=True, exist_ok=True)


def _configure_sqlite(engine: sa.Engine) -> None:
    sa.event.listen(engine, "connect", _configure_connection)
    sa.event.listen(engine, "begin", _begin_transaction)
    # If the file is locked or read-only, the existing journal mode is as safe, only slower.
    with closing(engine.raw_connection()) as raw, suppress(sqlite3.OperationalError):
        raw.cursor().execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
        raw.cursor().execute("PRAGMA journal_mode = WAL")


def _configure_connection(connection: Any, _: object) -> None:  # noqa: ANN401 - driver connection
    connection.isolation_level = None  # the driver begins too late, and never for DDL
    connection.execute(_BUSY_TIMEOUT)
    connection.execute("PRAGMA synchronous = FULL")  # committed data survives a power failure


def _begin_transaction(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("writes", False):
        _begin_immediate(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: sa.Connection) -> None:
    """Begin a write transaction as soon as the other writer has finished.

    SQLite's busy handler sleeps 1, 2, 5, 10 and up to 100 ms. That is too long for a web request
    behind writers that hold the lock for a few milliseconds. So the wait restarts after the 5.
    """
    retrying = Retrying(
        retry=retry_if_exception(_is_busy),
        stop=stop_after_delay(BUSY_TIMEOUT_SECONDS),
        reraise=True,
    )
    connection.exec_driver_sql(_SHORT_BUSY_TIMEOUT)
    try:
        retrying(connection.exec_driver_sql, "BEGIN IMMEDIATE")
    finally:
        connection.exec_driver_sql(_BUSY_TIMEOUT)


def _is_busy(error: BaseException) -> bool:
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return isinstance(error, DBAPIError) and code & 0xFF == sqlite3.SQLITE_BUSY
