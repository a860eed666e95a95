"""The log on Spark: every event stays with the workers, and only counts come back.

Each task runs, on a slice of one file, the very plan that Polars would run here, so that a row is
judged by the same contract; from there on Spark groups the rows by the functions of
:mod:`features.daily`, and its tasks write the tables where this machine would have written them.
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

from data import contracts
from data.arrival import Arrival
from data.errors import DeliveryError
from data.settings import Engine
from data.sources import Partition
from data.writing import atomically
from features import survey, workers
from features.due import DailyTable, Due, Named
from features.rows import Made, Rows
from features.spark_copies import first_copies
from features.spark_jobs import collected, run
from features.spark_session import one_sentence, session
from features.workers import DRAFTS, FOLDED

__all__ = ["Spark"]

# Partitions that one round of jobs reads: enough to keep a cluster busy.
_TOGETHER: Final = 200
_EVENTS: Final = pl.Schema({"file": pl.Int32(), **contracts.Events.create_empty().schema})
_COLUMNS: Final = contracts.Events.column_names()
_SURVEYS: Final = pl.Schema({"file": pl.Int32(), **survey.SCHEMA})
# What Spark would take for a pattern in the name of a file.
_GLOB: Final = re.compile(r"([\\*?\[\]{}])")


class Spark:
    """Reads the log with Spark and folds it there; the session starts with the first row asked for.

    Parameters
    ----------
    engine : data.settings.Engine
        Master and options.
    tables : mapping of str to features.due.DailyTable
        What is kept of each partition, by the ending of its file.
    """

    def __init__(self, engine: Engine, tables: Mapping[str, DailyTable]) -> None:
        self._engine, self._tables = engine, tables

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - an extra, untyped here
        return session(self._engine)

    def survey(self, partitions: Sequence[Partition]) -> Iterator[dict[str, Any]]:
        """Tell of each partition, in order, what :func:`features.survey.told` says.

        Raises
        ------
        data.errors.SourceError
            If a partition cannot be read.
        """
        for some in _chunks(partitions):
            yield from self._surveys(self._session, some)

    def make(self, due: Sequence[Due], named: Named) -> Iterator[None]:
        """Make the tables that are due; say so after each partition.

        Raises
        ------
        data.errors.SourceError
            If a partition cannot be read.
        data.errors.DeliveryError
            If a table cannot be kept, or the workers keep it where this machine does not see it.
        """
        for some in _chunks(sorted(due, key=lambda one: one.span.first)):
            self._make(self._session, some, named)
            yield from (None for _ in some)

    def fold(self, rows: Rows, key: Sequence[str], made: Made) -> pl.DataFrame:
        """Make one table of rows: all rows of a key lie in one bucket, and workers fold each.

        Neither the rows nor what is made of them pass through Spark's driver: workers write it
        beside the files, and it is read from there.

        Raises
        ------
        data.errors.DeliveryError
            If the workers cannot write, or write where this machine does not see it.
        """
        # A task holds about as many rows of a daily table as another does of the log.
        buckets = ceil(rows.height() / self._engine.task_rows)
        if not buckets:
            return made(rows.none())
        spark, draft = self._session, rows.files[0].with_name(f".fold-{uuid4().hex}")
        fold = partial(workers.folded, rows=rows, made=made, draft=draft)
        try:
            with one_sentence():
                spread = _kept_rows(spark, rows).repartition(buckets, *key)
                files = collected(run(spread, fold, FOLDED))["draft"].to_list()
            with _seen_from_here(draft.parent):
                return pl.read_parquet(files, glob=False) if files else made(rows.none())
        finally:
            for file in draft.parent.glob(f"*{draft.name}*"):  # also of tasks that were tried twice
                file.unlink(missing_ok=True)

    def _surveys(self, spark: Any, partitions: Sequence[Partition]) -> list[dict[str, Any]]:  # noqa: ANN401
        from pyspark.sql import functions as f  # noqa: PLC0415

        with one_sentence():
            parts = self._read(spark, partitions, Arrival.judged, survey.counted, _SURVEYS)
            found = parts.groupBy("file", "reason").agg(
                *(f.sum(name).alias(name) for name in ("rows", "machine", "ids")),
                f.min("first").alias("first"),
                f.max("last").alias("last"),
            )
            rows = collected(found)
        return [
            survey.told(rows.filter(file=place).rows(named=True))
            for place in range(len(partitions))
        ]

    def _make(self, spark: Any, due: Sequence[Due], named: Named) -> None:  # noqa: ANN401
        spans = {span.partition.name: span for one in due for span in (one.span, *one.others)}
        files = [spans[name] for name in sorted(spans)]
        partitions = [span.partition for span in files]
        with one_sentence():
            rows = self._read(spark, partitions, Arrival.valid, None, _EVENTS)
            with first_copies(spark, rows, files, due) as (kept, copies):
                events = named(nw.from_native(kept), also=("file",))
                drafts = self._drafts(events, due, copies)
        for ending, found in drafts.items():
            for place, one in enumerate(due):
                _settle(found.get(place), one.kept.file(ending))

    def _drafts(
        self, events: nw.LazyFrame[Any], due: Sequence[Due], copies: Mapping[int, int]
    ) -> dict[str, dict[int, Path]]:
        """Let the workers write every table; tell where, by ending and place."""
        held: dict[str, Any] = {}
        drafts: dict[str, dict[int, Path]] = {}
        try:
            for ending, table in self._tables.items():
                source = events if table.of is None else nw.from_native(held[table.of])
                frame = table.made(source, also=("file",)).to_native()
                if any(other.of == ending for other in self._tables.values()):
                    held[ending] = frame.persist()
                drafts[ending] = self._written(frame, ending, due, copies)
        finally:
            for frame in held.values():
                frame.unpersist()
        return drafts

    def _written(
        self,
        frame: Any,  # noqa: ANN401
        ending: str,
        due: Sequence[Due],
        copies: Mapping[int, int],
    ) -> dict[int, Path]:
        """Let the workers write a table beside where it belongs; tell where."""
        files = [one.kept.file(ending) for one in due]
        schema = pl.Schema(self._tables[ending].schema)
        write = partial(workers.drafted, files=files, schema=schema, copies=copies)
        drafts = collected(run(frame.repartition(len(due), "file"), write, DRAFTS))
        found = {place: Path(draft) for place, draft in drafts.rows()}
        for place in set(range(len(due))) - set(found):  # nobody had a row of it
            told = {"copies": str(copies.get(place, 0))}
            atomically(files[place], partial(schema.to_frame().write_parquet, metadata=told))
        return found

    def _read(
        self,
        spark: Any,  # noqa: ANN401
        partitions: Sequence[Partition],
        rows: Callable[[Arrival], pl.LazyFrame],
        then: Callable[[pl.LazyFrame], pl.LazyFrame] | None,
        schema: pl.Schema,
    ) -> Any:  # noqa: ANN401
        """Rows of partitions as Spark sees them, with the place of their partition as ``file``."""
        slices = [
            (place, offset, size)
            for place, partition in enumerate(partitions)
            for offset, size in _slices(partition, self._engine.task_rows)
        ]
        read = partial(
            workers.read,
            slices=slices,
            partitions=workers.packed(partitions),
            rows=rows,
            then=then,
            schema=schema,
        )
        # Each task is given one number: that of its slice.
        return run(spark.range(0, len(slices), 1, len(slices)), read, schema)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, _TOGETHER)), [])


def _slices(partition: Partition, rows: int) -> list[tuple[int, int | None]]:
    """Parts of a file that tasks read side by side; text has to be read from its beginning."""
    if partition.name.endswith((".csv", ".csv.gz")):
        return [(0, None)]
    return [(offset, rows) for offset in range(0, max(partition.seen(), 1), rows)]


def _kept_rows(spark: Any, rows: Rows) -> Any:  # noqa: ANN401
    """The rows of kept tables as Spark sees them; which accounts exist, the workers ask."""
    paths = (_GLOB.sub(r"\\\1", str(file.resolve())) for file in rows.files)
    read = spark.read.parquet(*(f"file://{path}" for path in paths)).select(*rows.schema)
    return read if rows.since is None else read.where(f"day >= date '{rows.since}'")


def _settle(draft: Path | None, file: Path) -> None:
    if draft is not None:
        with _seen_from_here(file.parent):
            draft.replace(file)


@contextmanager
def _seen_from_here(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DeliveryError(
            f"{folder}: Spark's workers wrote a table there that this machine does not see."
            " Let state name a folder that all of them share."
        ) from None
