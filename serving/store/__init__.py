"""The one SQL database: what was said, what should be true at a CRM, what has become of it."""

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
