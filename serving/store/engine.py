"""The door of the one SQL database: opened, brought up to date, read and written.

SQLite keeps a write-ahead log, so that readers never wait for the one writer; a writer takes its
turn at once (``BEGIN IMMEDIATE``) instead of failing halfway. PostgreSQL brings all of that itself.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from tenacity import Retrying, retry_if_exception, stop_after_delay

from data.errors import DeliveryError

__all__ = [
    "PreEncodedJson",
    "acquire_advisory_lock",
    "database_exists",
    "open_engine",
    "read_transaction",
    "redact_url",
    "translate_errors",
    "write_transaction",
]

_BUSY_TIMEOUT_SECONDS: Final = 30
_BUSY_TIMEOUT: Final = f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_SECONDS * 1000}"
_SHORT_BUSY_TIMEOUT: Final = "PRAGMA busy_timeout = 8"
_RETRY_ADVICE: Final = "Mend it and run again."


class PreEncodedJson(str):
    """JSON that is text already; it is stored as it is."""

    __slots__ = ()


def open_engine(url: str) -> sa.Engine:
    """Open the database, making its tables, or bringing older ones up to date, where needed.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; an SQLite file and its folder are made where they are missing.

    Returns
    -------
    sqlalchemy.Engine
        To be used with :func:`read_transaction` and :func:`write_transaction`.

    Raises
    ------
    data.errors.DeliveryError
        If the database cannot be reached, is of a newer version of this program, or holds tables
        of ours that someone else made.
    """
    from serving.store import migrate  # noqa: PLC0415 - it needs this module

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
    """Open a transaction that writes: all of it is there afterwards, or none.

    ``advice`` ends the sentence where the database refuses.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or another writer held it for half a minute.
    """
    with translate_errors(advice), engine.execution_options(writes=True).begin() as connection:
        yield connection


@contextmanager
def read_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that only reads: what it sees is of one moment on SQLite.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses.
    """
    with translate_errors(), engine.connect() as connection:
        yield connection


def acquire_advisory_lock(connection: sa.Connection, name: str) -> None:
    """Wait until nobody else is at this named work, for the rest of the transaction.

    An SQLite writer is alone already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(name.encode()))))


def database_exists(url: str) -> bool:
    """Whether there is something to open: an SQLite file that nobody wrote is not made by asking.

    Raises
    ------
    data.errors.DeliveryError
        If it is no URL of a database.
    """
    with translate_errors():
        parsed = sa.make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").is_file()


def redact_url(url: str) -> str:
    """Say where the database is, without the password."""
    return sa.make_url(url).render_as_string(hide_password=True)


@contextmanager
def translate_errors(advice: str = _RETRY_ADVICE) -> Iterator[None]:
    """Turn a database's complaint into one sentence.

    Raises
    ------
    data.errors.DeliveryError
        In its place.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # the pragmas go to the driver itself
        first = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise DeliveryError(f"the CRM database refused: {first}; {advice}") from error
    except (NoSuchModuleError, ModuleNotFoundError, sa.exc.ArgumentError) as error:
        raise DeliveryError(
            f"crm.url names a database we have no driver for ({error}); for PostgreSQL:"
            " pip install '.[postgres]'."
        ) from error


def _serialize_json(value: object) -> str:
    return value if isinstance(value, PreEncodedJson) else json.dumps(value)


def _create_folder(url: sa.URL) -> None:
    """SQLite makes its file, but not the folder of it; what cannot be made, it tells itself."""
    file = url.database or ":memory:"
    if not file.startswith((":", "file:")):
        with suppress(OSError):
            Path(file).parent.mkdir(parents=True, exist_ok=True)


def _configure_sqlite(engine: sa.Engine) -> None:
    sa.event.listen(engine, "connect", _configure_connection)
    sa.event.listen(engine, "begin", _begin_transaction)
    # Where it is locked or read-only just now, its present journal is as safe, only slower.
    with closing(engine.raw_connection()) as raw, suppress(sqlite3.OperationalError):
        raw.cursor().execute("PRAGMA journal_mode = WAL")


def _configure_connection(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's own
    connection.isolation_level = None  # the driver would begin too late, and never for DDL
    connection.execute(_BUSY_TIMEOUT)
    connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut


def _begin_transaction(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("writes", False):
        _begin_immediate(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: sa.Connection) -> None:
    """Begin to write as soon as the other writer is done.

    SQLite's own waiting sleeps 1, 2, 5, 10 and up to 100 ms: too long for whoever answers a
    request, behind writers that hold it for a few milliseconds. So it begins anew after the 5.
    """
    retrying = Retrying(
        retry=retry_if_exception(_is_busy),
        stop=stop_after_delay(_BUSY_TIMEOUT_SECONDS),
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
