"""Build tasks for the daily tables, independent of the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from features.activity.cache import CacheEntry
from features.activity.deduplication import PartitionSpan

__all__ = ["BuildTask", "DailyTableSpec", "EventClassifier"]

# Takes valid events and extra columns to keep; returns classified events.
EventClassifier = Callable[..., nw.LazyFrame[Any]]


@dataclass(frozen=True)
class DailyTableSpec:
    """A daily table that is cached per partition: how it is built, from which source, its columns.

    Attributes
    ----------
    build : callable
        Takes classified events or another table, and further columns to group by.
    schema : mapping of str to polars.DataType
        Columns of the table.
    source : str, optional
        The table it is built from; classified events by default.
    """

    build: Callable[..., nw.LazyFrame[Any]]
    schema: Mapping[str, pl.DataType]
    source: str | None = None


@dataclass(frozen=True)
class BuildTask:
    """A partition whose tables have to be built.

    Attributes
    ----------
    entry : features.activity.cache.CacheEntry
        Cache entry to write.
    span : features.activity.deduplication.PartitionSpan
        The partition.
    overlapping : sequence of features.activity.deduplication.PartitionSpan
        Partitions that may hold copies of its events.
    has_ids : bool
        Whether any of its events has an id to detect copies by.
    """

    entry: CacheEntry
    span: PartitionSpan
    overlapping: Sequence[PartitionSpan]
    has_ids: bool
