"""The log on Spark: every event stays with the workers, and only counts come back.

Each task runs, on a slice of one file, the very plan that Polars would run here, so that a row is
judged by the same contract; from there on Spark groups the rows by the functions of
:mod:`features.activity.daily_aggregates`, and its tasks write the tables where this machine would have written them.
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
from features.activity.spark.jobs import collect_small, map_in_arrow
from features.activity.spark.session import open_session, translate_spark_error
from features.activity.spark.spark_deduplication import drop_duplicate_events
from features.activity.spark.worker import BUCKET_SCHEMA, DRAFTS_SCHEMA
from features.activity.tasks import BuildTask, DailyTableSpec, EventClassifier

__all__ = ["SparkEngine"]

# Partitions that one round of jobs reads: enough to keep a cluster busy.
_CHUNK_PARTITIONS: Final = 200
_EVENTS_SCHEMA: Final = pl.Schema({"file": pl.Int32(), **schemas.EventSchema.create_empty().schema})
_COLUMNS: Final = schemas.EventSchema.column_names()
_PROFILES_SCHEMA: Final = pl.Schema({"file": pl.Int32(), **profile.PROFILE_SCHEMA})
# What Spark would take for a pattern in the name of a file.
_GLOB_CHARACTERS: Final = re.compile(r"([\\*?\[\]{}])")


class SparkEngine:
    """Reads the log with Spark and folds it there; the session starts with the first row asked for.

    Parameters
    ----------
    engine : data.config.settings.Engine
        Master and options.
    tables : mapping of str to features.activity.tasks.DailyTableSpec
        What is kept of each partition, by the ending of its file.
    """

    def __init__(self, engine: EngineConfig, tables: Mapping[str, DailyTableSpec]) -> None:
        self._engine, self._tables = engine, tables

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - an extra, untyped here
        return open_session(self._engine)

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterator[dict[str, Any]]:
        """Tell of each partition, in order, what :func:`features.activity.profile.profile_to_json` says.

        Raises
        ------
        data.errors.SourceError
            If a partition cannot be read.
        """
        for some in _split_chunks(partitions):
            yield from self._profile_chunk(self._session, some)

    def build_tables(self, due: Sequence[BuildTask], named: EventClassifier) -> Iterator[None]:
        """Make the tables that are due; say so after each partition.

        Raises
        ------
        data.errors.SourceError
            If a partition cannot be read.
        data.errors.DeliveryError
            If a table cannot be kept, or the workers keep it where this machine does not see it.
        """
        for some in _split_chunks(sorted(due, key=lambda one: one.span.first)):
            self._build_chunk(self._session, some, named)
            yield from (None for _ in some)

    def aggregate(self, rows: TableScan, key: Sequence[str], made: Aggregation) -> pl.DataFrame:
        """Make one table of rows: all rows of a key lie in one bucket, and workers fold each.

        Neither the rows nor what is made of them pass through Spark's driver: workers write it
        beside the files, and it is read from there.

        Raises
        ------
        data.errors.DeliveryError
            If the workers cannot write, or write where this machine does not see it.
        """
        # A task holds about as many rows of a daily table as another does of the log.
        buckets = ceil(rows.count_rows() / self._engine.task_rows)
        if not buckets:
            return made(rows.empty())
        spark, draft = self._session, rows.files[0].with_name(f".fold-{uuid4().hex}")
        fold = partial(worker.aggregate_bucket, rows=rows, made=made, draft=draft)
        try:
            with translate_spark_error():
                spread = _scan_with_spark(spark, rows).repartition(buckets, *key)
                files = collect_small(map_in_arrow(spread, fold, BUCKET_SCHEMA))["draft"].to_list()
            with _shared_folder_errors(draft.parent):
                return pl.read_parquet(files, glob=False) if files else made(rows.empty())
        finally:
            for file in draft.parent.glob(f"*{draft.name}*"):  # also of tasks that were tried twice
                file.unlink(missing_ok=True)

    def _profile_chunk(self, spark: Any, partitions: Sequence[Partition]) -> list[dict[str, Any]]:  # noqa: ANN401
        from pyspark.sql import functions as f  # noqa: PLC0415

        with translate_spark_error():
            parts = self._read_partitions(
                spark,
                partitions,
                MappedTable.with_reject_reason,
                profile.profile_plan,
                _PROFILES_SCHEMA,
            )
            found = parts.groupBy("file", "reason").agg(
                *(f.sum(name).alias(name) for name in ("rows", "machine", "ids")),
                f.min("first").alias("first"),
                f.max("last").alias("last"),
            )
            rows = collect_small(found)
        return [
            profile.profile_to_json(rows.filter(file=place).rows(named=True))
            for place in range(len(partitions))
        ]

    def _build_chunk(self, spark: Any, due: Sequence[BuildTask], named: EventClassifier) -> None:  # noqa: ANN401
        spans = {span.partition.name: span for one in due for span in (one.span, *one.overlapping)}
        files = [spans[name] for name in sorted(spans)]
        partitions = [span.partition for span in files]
        with translate_spark_error():
            rows = self._read_partitions(
                spark, partitions, MappedTable.valid_rows, None, _EVENTS_SCHEMA
            )
            with drop_duplicate_events(spark, rows, files, due) as (kept, copies):
                events = named(nw.from_native(kept), also=("file",))
                drafts = self._write_drafts(events, due, copies)
        for ending, found in drafts.items():
            for place, one in enumerate(due):
                _publish_draft(found.get(place), one.entry.file(ending))

    def _write_drafts(
        self, events: nw.LazyFrame[Any], due: Sequence[BuildTask], copies: Mapping[int, int]
    ) -> dict[str, dict[int, Path]]:
        """Let the workers write every table; tell where, by ending and place."""
        held: dict[str, Any] = {}
        drafts: dict[str, dict[int, Path]] = {}
        try:
            for ending, table in self._tables.items():
                source = events if table.source is None else nw.from_native(held[table.source])
                frame = table.build(source, also=("file",)).to_native()
                if any(other.source == ending for other in self._tables.values()):
                    held[ending] = frame.persist()
                drafts[ending] = self._write_table(frame, ending, due, copies)
        finally:
            for frame in held.values():
                frame.unpersist()
        return drafts

    def _write_table(
        self,
        frame: Any,  # noqa: ANN401
        ending: str,
        due: Sequence[BuildTask],
        copies: Mapping[int, int],
    ) -> dict[int, Path]:
        """Let the workers write a table beside where it belongs; tell where."""
        files = [one.entry.file(ending) for one in due]
        schema = pl.Schema(self._tables[ending].schema)
        write = partial(worker.write_drafts, files=files, schema=schema, copies=copies)
        drafts = collect_small(
            map_in_arrow(frame.repartition(len(due), "file"), write, DRAFTS_SCHEMA)
        )
        found = {place: Path(draft) for place, draft in drafts.rows()}
        for place in set(range(len(due))) - set(found):  # nobody had a row of it
            told = {"copies": str(copies.get(place, 0))}
            atomic_write(files[place], partial(schema.to_frame().write_parquet, metadata=told))
        return found

    def _read_partitions(
        self,
        spark: Any,  # noqa: ANN401
        partitions: Sequence[Partition],
        rows: Callable[[MappedTable], pl.LazyFrame],
        then: Callable[[pl.LazyFrame], pl.LazyFrame] | None,
        schema: pl.Schema,
    ) -> Any:  # noqa: ANN401
        """Rows of partitions as Spark sees them, with the place of their partition as ``file``."""
        slices = [
            (place, offset, size)
            for place, partition in enumerate(partitions)
            for offset, size in _split_partition(partition, self._engine.task_rows)
        ]
        read = partial(
            worker.read_slices,
            slices=slices,
            partitions=worker.serialize_partitions(partitions),
            rows=rows,
            then=then,
            schema=schema,
        )
        # Each task is given one number: that of its slice.
        return map_in_arrow(spark.range(0, len(slices), 1, len(slices)), read, schema)


def _split_chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, _CHUNK_PARTITIONS)), [])


def _split_partition(partition: Partition, rows: int) -> list[tuple[int, int | None]]:
    """Parts of a file that tasks read side by side; text has to be read from its beginning."""
    if partition.name.endswith((".csv", ".csv.gz")):
        return [(0, None)]
    return [(offset, rows) for offset in range(0, max(partition.count_rows(), 1), rows)]


def _scan_with_spark(spark: Any, rows: TableScan) -> Any:  # noqa: ANN401
    """The rows of kept tables as Spark sees them; which accounts exist, the workers ask."""
    paths = (_GLOB_CHARACTERS.sub(r"\\\1", str(file.resolve())) for file in rows.files)
    read = spark.read.parquet(*(f"file://{path}" for path in paths)).select(*rows.schema)
    return read if rows.since is None else read.where(f"day >= date '{rows.since}'")


def _publish_draft(draft: Path | None, file: Path) -> None:
    if draft is not None:
        with _shared_folder_errors(file.parent):
            draft.replace(file)


@contextmanager
def _shared_folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DeliveryError(
            f"{folder}: Spark's workers wrote a table there that this machine does not see."
            " Let state name a folder that all of them share."
        ) from None
