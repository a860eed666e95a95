"""Spark engine: events stay on the workers, and only aggregates are collected.

Each task runs, on a slice of one file, the plan that Polars would run locally, so that rows are
validated by the same schema. Spark then groups the rows by the functions of
:mod:`features.activity.daily_aggregates`, and its tasks write the tables to the cache folder.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import narwhals as nw
import polars as pl

from data import schemas
from data.config.settings import EngineConfig
from data.errors import DeliveryError
from data.ingest.mapping import MappedTable
from data.ingest.table_loader import Partition
from data.io.atomic import atomic_write
from features.activity import profile
from features.activity.scan import Aggregation, TableScan
from features.activity.spark import worker
from features.activity.spark.session import (
    collect_to_polars,
    map_in_arrow,
    open_session,
    translate_spark_error,
)
from features.activity.spark.spark_deduplication import drop_duplicate_events
from features.activity.spark.worker import BUCKET_SCHEMA, DRAFTS_SCHEMA
from features.activity.tasks import TABLE_SPECS, BuildTask, EventClassifier

__all__ = ["SparkEngine"]

# Partitions read by one round of jobs: enough to keep a cluster busy.
_CHUNK_PARTITIONS: Final = 200
_EVENTS_SCHEMA: Final = pl.Schema({"file": pl.Int32(), **schemas.EventSchema.create_empty().schema})
_COLUMNS: Final = schemas.EventSchema.column_names()
_PROFILES_SCHEMA: Final = pl.Schema({"file": pl.Int32(), **profile.PROFILE_SCHEMA})
# Characters that Spark would treat as a glob pattern.
_GLOB_CHARACTERS: Final = re.compile(r"([\\*?\[\]{}])")


class SparkEngine:
    """Reads and aggregates the log with Spark; the session starts with the first request."""

    def __init__(self, engine: EngineConfig) -> None:
        self._engine = engine

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - an extra, untyped here
        return open_session(self._engine)

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterator[dict[str, Any]]:
        """Return each partition's profile, in order.

        Raises ``SourceError`` if a partition cannot be read.
        """
        for chunk in _split_chunks(partitions):
            yield from self._profile_chunk(chunk)

    def build_tables(self, tasks: Sequence[BuildTask], classify: EventClassifier) -> Iterator[None]:
        """Build the tables of each task; yield after each partition.

        Raises ``SourceError`` if a partition cannot be read. Raises ``DeliveryError`` if a table
        cannot be written, or the workers write to a folder this machine cannot see.
        """
        for chunk in _split_chunks(sorted(tasks, key=lambda task: task.span.first)):
            self._build_chunk(chunk, classify)
            yield from (None for _ in chunk)

    def aggregate(
        self, rows: TableScan, key: Sequence[str], aggregation: Aggregation
    ) -> pl.DataFrame:
        """Aggregate rows into one table; all rows of a key are in one bucket.

        Neither the rows nor the results pass through Spark's driver: workers write files next to
        the cached tables, and these are read from there.

        Raises ``DeliveryError`` if the workers cannot write, or write to a folder this machine
        cannot see.
        """
        # A task holds about as many rows of a daily table as of the log.
        buckets = ceil(rows.count_rows() / self._engine.task_rows)
        if not buckets:
            return aggregation(rows.empty())
        spark, draft = self._session, rows.files[0].with_name(f".fold-{uuid4().hex}")
        run_bucket = partial(
            worker.aggregate_bucket, rows=rows, aggregation=aggregation, draft=draft
        )
        try:
            with translate_spark_error():
                buckets_frame = _scan_with_spark(spark, rows).repartition(buckets, *key)
                files = collect_to_polars(map_in_arrow(buckets_frame, run_bucket, BUCKET_SCHEMA))[
                    "draft"
                ].to_list()
            with _translate_folder_errors(draft.parent):
                return pl.read_parquet(files, glob=False) if files else aggregation(rows.empty())
        finally:
            for file in draft.parent.glob(f"*{draft.name}*"):  # including files of retried tasks
                file.unlink(missing_ok=True)

    def _profile_chunk(self, partitions: Sequence[Partition]) -> list[dict[str, Any]]:
        spark = self._session  # before the errors of PySpark are imported
        from pyspark.sql import functions as f  # noqa: PLC0415

        with translate_spark_error():
            slice_profiles = self._read_partitions(
                spark, partitions, profile.build_profile_plan, _PROFILES_SCHEMA
            )
            counts = slice_profiles.groupBy("file", "reason").agg(
                *(f.sum(name).alias(name) for name in ("rows", "machine_events", "ids")),
                f.min("first").alias("first"),
                f.max("last").alias("last"),
            )
            rows = collect_to_polars(counts)
        return [
            profile.profile_to_json(rows.filter(file=position).rows(named=True))
            for position in range(len(partitions))
        ]

    def _build_chunk(self, tasks: Sequence[BuildTask], classify: EventClassifier) -> None:
        spark = self._session
        spans = {
            span.partition.name: span for task in tasks for span in (task.span, *task.overlapping)
        }
        files = [spans[name] for name in sorted(spans)]
        partitions = [span.partition for span in files]
        with translate_spark_error():
            rows = self._read_partitions(spark, partitions, MappedTable.valid_rows, _EVENTS_SCHEMA)
            with drop_duplicate_events(spark, rows, files, tasks) as (deduplicated, duplicates):
                events = classify(nw.from_native(deduplicated), extra_columns=("file",))
                drafts = _write_drafts(events, tasks, duplicates)
        for name, paths in drafts.items():
            for position, task in enumerate(tasks):
                _publish_draft(paths.get(position), task.entry.file(name))

    def _read_partitions(
        self,
        spark: Any,  # noqa: ANN401
        partitions: Sequence[Partition],
        select_rows: Callable[[MappedTable], pl.LazyFrame],
        schema: pl.Schema,
    ) -> Any:  # noqa: ANN401
        """Return partitions' rows as a Spark frame, with the partition's position as ``file``."""
        slices = [
            (position, offset, size)
            for position, partition in enumerate(partitions)
            for offset, size in _split_partition(partition, self._engine.task_rows)
        ]
        read = partial(
            worker.read_slices,
            slices=slices,
            partitions=worker.serialize_partitions(partitions),
            select_rows=select_rows,
            schema=schema,
        )
        # Each task receives one number: the index of its slice.
        return map_in_arrow(spark.range(0, len(slices), 1, len(slices)), read, schema)


def _write_drafts(
    events: nw.LazyFrame[Any], tasks: Sequence[BuildTask], duplicates: Mapping[int, int]
) -> dict[str, dict[int, Path]]:
    """Write every table as drafts on the workers; return paths by file name and position."""
    persisted: dict[str, Any] = {}
    drafts: dict[str, dict[int, Path]] = {}
    try:
        for name, table in TABLE_SPECS.items():
            source = events if table.source is None else nw.from_native(persisted[table.source])
            frame = table.build(source, extra_keys=("file",)).to_native()
            if any(other.source == name for other in TABLE_SPECS.values()):
                persisted[name] = frame.persist()
            drafts[name] = _write_table(frame, name, tasks, duplicates)
    finally:
        for frame in persisted.values():
            frame.unpersist()
    return drafts


def _write_table(
    frame: Any,  # noqa: ANN401
    name: str,
    tasks: Sequence[BuildTask],
    duplicates: Mapping[int, int],
) -> dict[int, Path]:
    """Write one table as drafts on the workers, next to the final files; return their paths."""
    files = [task.entry.file(name) for task in tasks]
    schema = pl.Schema(TABLE_SPECS[name].schema)
    write = partial(worker.write_drafts, files=files, schema=schema, copies=duplicates)
    drafts = collect_to_polars(
        map_in_arrow(frame.repartition(len(tasks), "file"), write, DRAFTS_SCHEMA)
    )
    paths = {position: Path(draft) for position, draft in drafts.rows()}
    for position in set(range(len(tasks))) - set(paths):  # no row for this file
        metadata = {"copies": str(duplicates.get(position, 0))}
        atomic_write(files[position], partial(schema.to_frame().write_parquet, metadata=metadata))
    return paths


def _split_chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    return iter(lambda: list(islice(iterator, _CHUNK_PARTITIONS)), [])


def _split_partition(partition: Partition, rows: int) -> list[tuple[int, int | None]]:
    """Split a file into slices that tasks read in parallel; text must be read from its start."""
    if partition.name.endswith((".csv", ".csv.gz")):
        return [(0, None)]
    return [(offset, rows) for offset in range(0, max(partition.count_rows(), 1), rows)]


def _scan_with_spark(spark: Any, rows: TableScan) -> Any:  # noqa: ANN401
    """Return the cached rows as a Spark frame; the workers apply the account filter."""
    paths = (_GLOB_CHARACTERS.sub(r"\\\1", str(file.resolve())) for file in rows.files)
    read = spark.read.parquet(*(f"file://{path}" for path in paths)).select(*rows.schema)
    return read if rows.since is None else read.where(f"day >= date '{rows.since}'")


def _publish_draft(draft: Path | None, file: Path) -> None:
    if draft is not None:
        with _translate_folder_errors(file.parent):
            draft.replace(file)


@contextmanager
def _translate_folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DeliveryError(
            f"{folder}: Spark's workers wrote a table there that this machine cannot see."
            " Set state to a folder that all machines share."
        ) from None
