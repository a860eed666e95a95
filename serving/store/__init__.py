"""The application database: scores, desired CRM state, and the state of its delivery."""

from serving.store.engine import (
    acquire_advisory_lock,
    as_utc,
    database_exists,
    fetch_rows,
    open_engine,
    read_transaction,
    redact_url,
    write_transaction,
)

__all__ = [
    "acquire_advisory_lock",
    "as_utc",
    "database_exists",
    "fetch_rows",
    "open_engine",
    "read_transaction",
    "redact_url",
    "write_transaction",
]
