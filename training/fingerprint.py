"""What a model was made from: the identity of every table as it was read, and of the code."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl

from data import sources
from data.contracts import Checked, Events
from features.activity import Activity

__all__ = ["Fingerprint", "code", "of"]

_FLOORS: Final = ("data", "features", "training")
_ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Fingerprint:
    """One table as it was read; the same digest means the same rows.

    Attributes
    ----------
    name : str
        The table.
    digest : str
        Of all its rows, or of its parts' identities.
    rows : int
        Valid rows.
    quarantine : mapping of str to int
        Rows left out, by reason.
    columns : mapping of str to str
        Column → type, of the columns under contract.
    parts : mapping of str to str
        File or part of the log → its identity.
    """

    name: str
    digest: str
    rows: int
    quarantine: Mapping[str, int]
    columns: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)


def of(tables: sources.Tables, log: Activity) -> tuple[Fingerprint, ...]:
    """Take the fingerprints of the four tables; the log is told by its partitions' identities."""
    small = (
        _of_rows(name, getattr(tables, name)) for name in ("subscriptions", "accounts", "users")
    )
    return _of_log(tables.events, log), *small


@cache
def code() -> dict[str, str]:
    """Name the code that trains: its version, and a digest of its sources, committed or not."""
    local = _ROOT / "data" / "local"  # files, and whatever else a company keeps there
    found = (file for floor in _FLOORS for file in (_ROOT / floor).rglob("*.py"))
    files = sorted(file for file in found if local not in file.parents)
    texts = (f"{file.relative_to(_ROOT).as_posix()}\0{file.read_text('utf-8')}" for file in files)
    return {"version": version("expansion-propensity"), "sources": _digest(texts)}


def _of_log(parts: tuple[sources.Partition, ...], log: Activity) -> Fingerprint:
    identities = {part.name: part.identity for part in parts}
    return Fingerprint(
        "events",
        _digest(f"{name}\0{identity}" for name, identity in sorted(identities.items())),
        log.events - sum(log.quarantine.values()),
        log.quarantine,
        _columns(Events.create_empty()),
        identities,
    )


def _of_rows(name: str, table: Checked) -> Fingerprint:
    # Text, for Polars' own hashes change with its version; rows come in a stated order.
    rows = table.rows.write_ndjson()
    return Fingerprint(
        name, _digest([rows]), table.rows.height, table.quarantine, _columns(table.rows)
    )


def _columns(frame: pl.DataFrame) -> dict[str, str]:
    return {name: str(kind) for name, kind in frame.schema.items()}


def _digest(texts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode())
        found.update(b"\0\0")
    return found.hexdigest()[:16]
