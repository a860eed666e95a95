"""Polars engine: reads and aggregates the log on this machine, one partition after another."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import narwhals as nw
import polars as pl

from data.ingest.files import translate_source_errors
from data.ingest.table_loader import Partition
from data.io.atomic import atomic_write
from features.activity import deduplication, profile
from features.activity.scan import NAME_DTYPE, Aggregation, TableScan
from features.activity.tasks import (
    NAME_COLUMNS,
    READ_BY_MONTH_FILES,
    TABLE_SPECS,
    BuildTask,
    EventClassifier,
)

__all__ = ["PolarsEngine"]

_PARQUET_OPTIONS: Final[dict[str, Any]] = {"compression": "lz4", "row_group_size": 131_072}


class PolarsEngine:
    """The methods are those of :class:`features.activity.spark.spark_engine.SparkEngine`."""

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        """Return each partition's profile, in order."""
        return map(profile.profile_partition, partitions)

    def build_tables(self, tasks: Sequence[BuildTask], classify: EventClassifier) -> Iterator[None]:
        """Build the tables of each task; yield after each partition."""
        for task in tasks:
            _build_partition(task, classify)
            yield

    def aggregate(
        self,
        rows: TableScan,
        key: Sequence[str],  # noqa: ARG002 - all at once
        aggregation: Aggregation,
    ) -> pl.DataFrame:
        """Aggregate rows into one table."""
        return aggregation(rows.scan())


def _build_partition(task: BuildTask, classify: EventClassifier) -> None:
    """Build and cache the tables of one partition.

    Row order is unspecified: consumers only aggregate, and sorting names would take longer than
    counting them.
    """
    span = task.span
    with translate_source_errors(span.partition.name):
        valid_rows, duplicates = (
            deduplication.drop_duplicate_events(span, task.overlapping)
            if task.has_ids
            else (span.valid_rows(), 0)
        )
        # Names become categories once for all tables.
        events = (
            classify(nw.from_native(valid_rows))
            .to_native()
            .with_columns(pl.col(NAME_COLUMNS).cast(NAME_DTYPE))
        )
        if span.fits_in_memory:
            events = events.collect(engine="streaming").lazy()
        # Sequential, so that each table can reuse the memory of the one before.
        built: dict[str, pl.DataFrame] = {}
        for name, table in TABLE_SPECS.items():
            source = events if table.source is None else built[table.source].lazy()
            plan = table.build(nw.from_native(source)).to_native()
            built[name] = plan.collect(engine="streaming")
    for name, frame in built.items():
        # Sorted by day, so that a month can be read without the rest.
        rows = frame.sort("day") if name in READ_BY_MONTH_FILES else frame
        write = partial(
            rows.write_parquet, metadata={"copies": str(duplicates)}, **_PARQUET_OPTIONS
        )
        atomic_write(task.entry.file(name), write)
