"""Lineage of a model: fingerprints of its input tables and of the code."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl

from data.ingest import table_loader
from data.schemas import EventSchema, ValidatedTable
from features.activity.daily_tables import Activity

__all__ = ["TableFingerprint", "fingerprint_code", "fingerprint_tables"]

_LAYERS: Final = ("data", "features", "training")
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class TableFingerprint:
    """Fingerprint of one input table; equal digests mean equal rows.

    The digest is a hash of all its valid rows, or of its partitions' identities. ``quarantine``
    counts rejected rows by reason, ``columns`` maps the schema's columns to their types, and
    ``parts`` maps each file or partition of the log to its identity.
    """

    name: str
    digest: str
    rows: int
    quarantine: Mapping[str, int]
    columns: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)


def fingerprint_tables(
    tables: table_loader.Tables, activity: Activity
) -> tuple[TableFingerprint, ...]:
    """Return fingerprints of the four tables; the log is identified by its partitions."""
    partitions = {part.name: part.identity for part in tables.events}
    events = TableFingerprint(
        "events",
        _hash_texts(f"{name}\0{identity}" for name, identity in sorted(partitions.items())),
        activity.events - sum(activity.quarantine.values()),
        activity.quarantine,
        _get_column_types(EventSchema.create_empty()),
        partitions,
    )
    row_tables = (
        _fingerprint_rows(name, getattr(tables, name))
        for name in ("subscriptions", "accounts", "users")
    )
    return events, *row_tables


@cache
def fingerprint_code() -> dict[str, str]:
    """Return the program version and a hash of its source files, including uncommitted changes."""
    local_folder = _ROOT / "data" / "local"  # a company's own files
    candidates = (file for layer in _LAYERS for file in (_ROOT / layer).rglob("*.py"))
    files = sorted(file for file in candidates if local_folder not in file.parents)
    texts = (f"{file.relative_to(_ROOT).as_posix()}\0{file.read_text('utf-8')}" for file in files)
    return {"version": version("expansion-propensity"), "sources": _hash_texts(texts)}


def _fingerprint_rows(name: str, table: ValidatedTable) -> TableFingerprint:
    # Hashed as text, because Polars' hashes differ between versions; rows are sorted.
    rows = table.rows.write_ndjson()
    return TableFingerprint(
        name,
        _hash_texts([rows]),
        table.rows.height,
        table.quarantine,
        _get_column_types(table.rows),
    )


def _get_column_types(frame: pl.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.schema.items()}


def _hash_texts(texts: Iterable[str]) -> str:
    hasher = hashlib.sha256()
    for text in texts:
        hasher.update(text.encode())
        hasher.update(b"\0\0")
    return hasher.hexdigest()[:16]
