"""Where daily tables are kept between runs: named by what they are made of, swept when unused.

A table is never changed: another state of the partition, or other rules, have another name. So two
runs at once, each with its own rules, cannot take a table from under each other; what nobody uses
any more is swept away later, when no run can still be reading it.
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

# How long a file outlives its last use. A log's newest file changes by the hour, other rules are
# tried by the week.
_SUPERSEDED_TTL: Final = timedelta(days=1)
_UNUSED_TTL: Final = timedelta(days=30)


@dataclass(frozen=True)
class CacheEntry:
    """What is kept of one partition under one set of rules.

    Attributes
    ----------
    folder : pathlib.Path
        Where all is kept.
    partition, rules, state : str
        Digests of the partition's name, of how it is read, and of everything its rows depend on.
    """

    folder: Path
    partition: str
    rules: str
    state: str

    def file(self, table: str) -> Path:
        """Where one table lies, ``people.parquet`` for one."""
        return self.folder / f"{self.partition}-{self.rules}-{self.state}.{table}"

    def is_complete(self, tables: Iterable[str]) -> bool:
        """Whether all tables are there and readable; a damaged one has to be made again."""
        try:
            return all("copies" in pl.read_parquet_metadata(self.file(table)) for table in tables)
        except (OSError, pl.exceptions.PolarsError):
            return False


def hash_strings(*parts: str) -> str:
    """Shorten what a name depends on to sixteen letters."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def touch(files: Iterable[Path]) -> None:
    """Note that these files are in use; a folder that may only be read stays as it is."""
    for file in files:
        with suppress(OSError):
            os.utime(file)


def evict(folder: Path, used_files: Iterable[Path]) -> None:
    """Remove what no run has used for a while, so that the folder stays bounded.

    Parameters
    ----------
    folder : pathlib.Path
        Where tables are kept.
    used_files : iterable of pathlib.Path
        The files of this run, just marked by :func:`touch`: their newest stamp is the clock.
    """
    mine = set(used_files)
    if not mine:
        return
    now = max(file.stat().st_mtime for file in mine)
    replaced = {_parse_entry_key(file) for file in mine}
    for file in folder.iterdir():
        if file in mine:
            continue
        is_draft = file.name.startswith(".")
        patience = (
            _SUPERSEDED_TTL if is_draft or _parse_entry_key(file) in replaced else _UNUSED_TTL
        )
        with suppress(OSError):  # another run swept it first
            if now - file.stat().st_mtime > patience.total_seconds():
                file.unlink()


def _parse_entry_key(file: Path) -> tuple[str, ...]:
    """Partition and rules of a file, without the state of the partition."""
    return tuple(file.name.split("-")[:2])
