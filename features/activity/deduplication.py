"""Event deduplication: an ``event_id`` delivered several times counts once, across partitions.

The copy that was known first is kept: a later copy must not change the data of an earlier as-of.
Copies share their timestamp, so files are compared only where their time ranges overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from data.ingest.table_loader import Partition

__all__ = ["PartitionSpan", "drop_duplicate_events", "find_overlapping_partitions"]

_MAX_IN_MEMORY_ROWS: Final = 8_000_000


@dataclass(frozen=True)
class PartitionSpan:
    """A partition, its row count, and the time range of its valid events, both ends included."""

    partition: Partition
    row_count: int
    first: datetime
    last: datetime

    @property
    def fits_in_memory(self) -> bool:
        """True if the events fit in memory, since they are read twice."""
        return self.row_count <= _MAX_IN_MEMORY_ROWS

    def valid_rows(self) -> pl.LazyFrame:
        """Return the valid events, held in memory if they fit."""
        valid = self.partition.valid_rows()
        return valid.collect(engine="streaming").lazy() if self.fits_in_memory else valid


def find_overlapping_partitions(
    span: PartitionSpan, spans: Sequence[PartitionSpan]
) -> list[PartitionSpan]:
    """Return the other partitions whose time ranges overlap this one's."""
    return [
        other
        for other in spans
        if other is not span and other.first <= span.last and other.last >= span.first
    ]


def drop_duplicate_events(
    span: PartitionSpan, overlapping: Sequence[PartitionSpan]
) -> tuple[pl.LazyFrame, int]:
    """Return a partition's valid events without duplicates, and the number of duplicates dropped.

    An event that is also in an overlapping partition counts only where it was known first.
    """
    own_events = span.valid_rows()
    overlapping_rows = [
        other.partition.valid_rows().filter(pl.col("timestamp").is_between(span.first, span.last))
        for other in overlapping
    ]
    # Hashes find candidates; the ids themselves decide whether they are duplicates.
    id_hash = pl.col("event_id").hash()
    hashes = (
        pl.concat([rows.select("event_id") for rows in (own_events, *overlapping_rows)])
        .drop_nulls()
        .select(id_hash)
        .collect(engine="streaming")["event_id"]
        .sort()  # five times faster than a group-by of mostly unique numbers
    )
    repeated_hashes = hashes.filter(hashes == hashes.shift(1)).unique()
    if repeated_hashes.is_empty():
        return own_events, 0
    is_repeated = pl.col("event_id").is_not_null() & id_hash.is_in(repeated_hashes.implode())
    names = [span.partition.name, *(other.partition.name for other in overlapping)]
    candidates = pl.concat(
        [
            rows.filter(is_repeated).with_columns(file=pl.lit(name))
            for rows, name in zip((own_events, *overlapping_rows), names, strict=True)
        ]
    ).collect(engine="streaming")
    # Sorted by content and then by file, so that row order has no effect.
    known_from = pl.max_horizontal("timestamp", "known_at")
    first_copies = candidates.sort(known_from, pl.exclude("event_id")).unique(
        "event_id", keep="first", maintain_order=True
    )
    is_own = pl.col("file") == span.partition.name
    own_rows = first_copies.filter(is_own).drop("file")
    return (
        pl.concat([own_events.filter(~is_repeated), own_rows.lazy()]),
        candidates.filter(is_own).height - own_rows.height,
    )
