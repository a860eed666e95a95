"""Tables from SQL queries, fetched in batches so that memory stays bounded.

Query results are stored as text, as a CSV would hold them, and cast by the same rules. This
handles text in a number, times with and without a zone, and columns that change type.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from data.config.settings import SqlQuery
from data.errors import SourceError
from data.ingest.mapping import RawTable

__all__ = ["export_query_to_parquet", "read_query"]

BATCH_ROWS: Final = 50_000
PART_ROWS: Final = 2_000_000
_RETENTION_SECONDS: Final = 86_400


def read_query(table: str, query: SqlQuery, folder: Path) -> RawTable:
    """Read a small table, every column as text; a relative SQLite path starts at ``folder``.

    Raises ``SourceError`` if the database or its driver is missing, or rejects the query.
    """
    frame = pl.concat(_read_batches(table, query, folder))
    return RawTable(f"{table} query", "", frame.lazy())


def export_query_to_parquet(
    table: str, query: SqlQuery, folder: Path, spool_folder: Path
) -> list[RawTable]:
    """Export a large table to Parquet files of bounded size.

    A part is identified by a hash of its content, so unchanged parts are not processed again; an
    ORDER BY keeps earlier parts unchanged. Each export is in a folder of ``spool_folder`` that is
    named by its content hash.

    Raises ``SourceError`` if the database or its driver is missing, rejects the query, or the disk
    is full.
    """
    draft = spool_folder / f"{os.getpid()}.partial"
    try:
        draft.mkdir(parents=True)
        _write_parts(_read_batches(table, query, folder), draft, table)
        parts = [_scan_part(file) for file in sorted(draft.iterdir())]
        export = (
            spool_folder
            / hashlib.blake2b("".join(p.fingerprint for p in parts).encode()).hexdigest()[:32]
        )
        # Another run may be reading this folder: it is content-addressed and never changed.
        if not export.exists():
            draft.rename(export)
        _delete_old_exports(spool_folder, export)
    except OSError as error:
        raise SourceError(
            f"{table}: the query result could not be stored in {spool_folder}: {error.strerror}."
            " Free some space, or set another state folder in expansion.toml."
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [
        RawTable(part.name, part.fingerprint, pl.scan_parquet(export / part.name)) for part in parts
    ]


def _delete_old_exports(spool_folder: Path, current: Path) -> None:
    """Delete exports that no run can still be reading, so that the folder stays bounded."""
    for other in spool_folder.iterdir():
        if other != current and time.time() - other.stat().st_mtime > _RETENTION_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


def _write_parts(batches: Iterator[pl.DataFrame], part_folder: Path, table: str) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - only a log from SQL needs it

    writer, rows, parts = None, 0, 0
    try:
        for batch in batches:
            if writer is None or rows >= PART_ROWS:
                if writer is not None:
                    writer.close()
                path, rows, parts = part_folder / f"{table}-{parts:05d}.parquet", 0, parts + 1
                writer = parquet.ParquetWriter(path, batch.to_arrow().schema, compression="zstd")
            writer.write_table(batch.to_arrow())
            rows += batch.height
    finally:
        if writer is not None:
            writer.close()


def _scan_part(file: Path) -> RawTable:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "blake2b").hexdigest()
    return RawTable(file.name, digest, pl.scan_parquet(file))


def _read_batches(table: str, query: SqlQuery, folder: Path) -> Iterator[pl.DataFrame]:
    """Yield text frames with the same columns; at least one, which may be empty."""
    url = _parse_url(table, query.url, folder)
    engine = _create_engine(table, url)
    try:
        with _connect(table, engine, url) as connection:
            yield from _stream_rows(table, connection, query.query)
    finally:
        engine.dispose()


def _stream_rows(table: str, connection: sa.Connection, query: str) -> Iterator[pl.DataFrame]:
    streaming_connection = connection.execution_options(
        stream_results=True, no_parameters=True, max_row_buffer=BATCH_ROWS
    )
    try:
        result = streaming_connection.exec_driver_sql(query)
        names = list(result.keys())
        _reject_duplicate_columns(table, names)
        yield _to_text_frame([], names)
        for rows in result.partitions(BATCH_ROWS):
            yield _to_text_frame(rows, names)
    except sa.exc.SQLAlchemyError as error:
        raise SourceError(
            f"{table}: the database rejected the query: {_first_error_line(error)}. Correct"
            f" [tables.{table}] query in expansion.toml."
        ) from None


def _reject_duplicate_columns(table: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SourceError(
                f"{table}: the query returns {name} twice, expected each column once. List the"
                f" columns one by one in [tables.{table}] query in expansion.toml."
            )


def _to_text_frame(rows: Any, names: list[str]) -> pl.DataFrame:  # noqa: ANN401 - sequences of rows
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pl.DataFrame(
        {
            name: pl.Series([_to_text(value) for value in column], dtype=pl.String)
            for name, column in zip(names, columns, strict=True)
        }
    )


def _to_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="replace")
    return str(value)


def _parse_url(table: str, text: str, folder: Path) -> sa.URL:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise SourceError(
            f"{table}: the database URL is invalid, expected a URL such as"
            f" postgresql://user:${{PASSWORD}}@host/name. Correct [tables.{table}] url in"
            " expansion.toml."
        ) from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return url
    file = folder / str(url.database)
    if not file.is_file():  # SQLite itself would create an empty one
        raise SourceError(
            f"{table}: no database at {file}. Create it, or correct [tables.{table}] url in"
            " expansion.toml."
        )
    return url.set(database=str(file))


def _create_engine(table: str, url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url, poolclass=sa.NullPool)
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError):
        backend = url.get_backend_name()
        install = (
            "Run: pip install '.[postgres]'"
            if backend == "postgresql"
            else f"Install SQLAlchemy's driver for {backend}"
        )
        raise SourceError(
            f"{table}: the driver for {url.drivername} is not installed, expected one that"
            f" SQLAlchemy supports. {install}."
        ) from None


def _connect(table: str, engine: sa.Engine, url: sa.URL) -> sa.Connection:
    try:
        return engine.connect()
    except sa.exc.SQLAlchemyError as error:
        port = f":{url.port}" if url.port else ""
        raise SourceError(
            f"{table}: the database {url.database} at {url.host}{port} cannot be reached:"
            f" {_first_error_line(error)}. Check the URL, the credentials and that it is running."
        ) from None


def _first_error_line(error: sa.exc.SQLAlchemyError) -> str:
    """Return the driver's first line; SQLAlchemy's message would repeat the query's values."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
