"""What has to be made of the log, whichever engine makes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from features.activity.cache import CacheEntry
from features.activity.deduplication import PartitionSpan

__all__ = ["BuildTask", "DailyTableSpec", "EventClassifier"]

# From rows under contract, and columns to keep besides, to named events.
EventClassifier = Callable[..., nw.LazyFrame[Any]]


@dataclass(frozen=True)
class DailyTableSpec:
    """A table that is kept of each partition: what makes it, of what, and its columns.

    Attributes
    ----------
    build : callable
        From named events or from another table, and further columns to group by.
    schema : mapping of str to polars.DataType
        Its columns.
    source : str, optional
        The table that it is made of; of named events by default.
    """

    build: Callable[..., nw.LazyFrame[Any]]
    schema: Mapping[str, pl.DataType]
    source: str | None = None


@dataclass(frozen=True)
class BuildTask:
    """A partition whose tables have to be made.

    Attributes
    ----------
    entry : features.activity.cache.CacheEntry
        Where they are kept.
    span : features.activity.deduplication.PartitionSpan
        The partition.
    overlapping : sequence of features.activity.deduplication.PartitionSpan
        Those that may hold copies of its events.
    has_ids : bool
        Whether any of its events has an id to know copies by.
    """

    entry: CacheEntry
    span: PartitionSpan
    overlapping: Sequence[PartitionSpan]
    has_ids: bool
