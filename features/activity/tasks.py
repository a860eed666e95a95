"""Daily tables of a partition and the tasks that build them, independent of the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw
import polars as pl

from features.activity import daily_aggregates
from features.activity.cache import CacheEntry
from features.activity.deduplication import PartitionSpan
from features.activity.scan import NAME_DTYPE

__all__ = [
    "FIRST_SEEN_FILES",
    "NAME_COLUMNS",
    "READ_BY_MONTH_FILES",
    "TABLE_SPECS",
    "BuildTask",
    "DailyTableSpec",
    "EventClassifier",
]

# Takes valid events and extra columns to keep; returns classified events.
EventClassifier = Callable[..., nw.LazyFrame[Any]]

NAME_COLUMNS: Final = ("account_id", "user_id", "role", "feature")
_KEY_DTYPES: Final[Mapping[str, pl.DataType]] = {
    **dict.fromkeys(NAME_COLUMNS, NAME_DTYPE),
    **dict.fromkeys(("day", "known_day"), pl.Date()),
    **dict.fromkeys(("used", "seat"), pl.Boolean()),
}


@dataclass(frozen=True)
class DailyTableSpec:
    """A daily table that is cached per partition: how it is built, from which source, its columns.

    ``build`` takes classified events, or the table ``source``, and further columns to group by.
    """

    build: Callable[..., nw.LazyFrame[Any]]
    schema: Mapping[str, pl.DataType]
    source: str | None = None


def _schema(keys: Sequence[str], **values: pl.DataType) -> dict[str, pl.DataType]:
    return {key: _KEY_DTYPES[key] for key in keys} | values


def _first_seen_schema(table: str) -> dict[str, pl.DataType]:
    return _schema((*daily_aggregates.FIRST_SEEN_KEYS[table], "day", "known_day"))


TABLE_SPECS: Final[Mapping[str, DailyTableSpec]] = {
    "people.parquet": DailyTableSpec(
        daily_aggregates.aggregate_user_activity,
        _schema(
            daily_aggregates.USER_ACTIVITY_KEYS,
            uses=pl.Int64(),
            seat_uses=pl.Int64(),
            hours=pl.Int32(),
        ),
    ),
    "volume.parquet": DailyTableSpec(
        daily_aggregates.aggregate_event_volume,
        _schema(daily_aggregates.EVENT_VOLUME_KEYS, count=pl.Int64(), quantity_milli=pl.Int64()),
    ),
    "first_uses.parquet": DailyTableSpec(
        daily_aggregates.first_seen_user_feature, _first_seen_schema("first_uses")
    ),
    "first_people.parquet": DailyTableSpec(
        daily_aggregates.first_seen_user, _first_seen_schema("first_people"), "people.parquet"
    ),
    "first_features.parquet": DailyTableSpec(
        daily_aggregates.first_seen_feature, _first_seen_schema("first_features"), "volume.parquet"
    ),
}
READ_BY_MONTH_FILES: Final = ("people.parquet", "volume.parquet")
FIRST_SEEN_FILES: Final = {
    f"{table}.parquet": key for table, key in daily_aggregates.FIRST_SEEN_KEYS.items()
}


@dataclass(frozen=True)
class BuildTask:
    """A partition whose tables have to be built, and the partitions that may hold copies of events.

    Without ``has_ids`` no event has an id to detect copies by.
    """

    entry: CacheEntry
    span: PartitionSpan
    overlapping: Sequence[PartitionSpan]
    has_ids: bool
