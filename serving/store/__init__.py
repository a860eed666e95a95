"""The application database: scores, desired CRM state, and the state of its delivery."""

from serving.store.engine import (
    acquire_advisory_lock,
    database_exists,
    open_engine,
    read_transaction,
    redact_url,
    write_transaction,
)

__all__ = [
    "acquire_advisory_lock",
    "database_exists",
    "open_engine",
    "read_transaction",
    "redact_url",
    "write_transaction",
]
