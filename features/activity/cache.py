"""Content-addressed cache of daily tables, with eviction of unused files.

A file is never changed: another state of the partition, or other rules, have another name. So two
concurrent runs with different rules cannot delete each other's tables; unused files are evicted
later, when no run can still be reading them.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

__all__ = ["CacheEntry", "evict", "hash_strings", "touch"]

# Time to live after the last use. A log's newest file changes hourly; other rules are
# tried weekly.
_SUPERSEDED_TTL: Final = timedelta(days=1)
_UNUSED_TTL: Final = timedelta(days=30)


@dataclass(frozen=True)
class CacheEntry:
    """The cached tables of one partition under one set of rules.

    ``partition``, ``rules`` and ``state`` are hashes of the partition's name, of the rules that
    read it, and of all inputs of its rows.
    """

    folder: Path
    partition: str
    rules: str
    state: str

    def file(self, table: str) -> Path:
        """Return the path of one table, for example ``people.parquet``."""
        return self.folder / f"{self.partition}-{self.rules}-{self.state}.{table}"

    def is_complete(self, tables: Iterable[str]) -> bool:
        """Return whether all tables exist and are readable; a damaged one must be rebuilt."""
        try:
            return all("copies" in pl.read_parquet_metadata(self.file(table)) for table in tables)
        except (OSError, pl.exceptions.PolarsError):
            return False


def hash_strings(*parts: str) -> str:
    """Return a hash of sixteen hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def touch(files: Iterable[Path]) -> None:
    """Mark files as used; a read-only folder stays as it is."""
    for file in files:
        with suppress(OSError):
            os.utime(file)


def evict(folder: Path, used_files: Iterable[Path]) -> None:
    """Delete files that no run has used for a while, so that the folder stays bounded.

    The used files were just marked by :func:`touch`: their newest time stamp is the clock.
    """
    current = set(used_files)
    if not current:
        return
    now = max(file.stat().st_mtime for file in current)
    # Partition and rules of a file name, without the state of the partition.
    current_keys = {tuple(file.name.split("-")[:2]) for file in current}
    for file in set(folder.iterdir()) - current:
        is_superseded = tuple(file.name.split("-")[:2]) in current_keys
        ttl = _SUPERSEDED_TTL if file.name.startswith(".") or is_superseded else _UNUSED_TTL
        with suppress(OSError):  # another run deleted it first
            if now - file.stat().st_mtime > ttl.total_seconds():
                file.unlink()
