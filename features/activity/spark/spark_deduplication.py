"""Events without their copies, told by Spark as :mod:`features.activity.deduplication` tells them here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from data import schemas
from features.activity.deduplication import PartitionSpan
from features.activity.spark.jobs import collect_small
from features.activity.tasks import BuildTask

__all__ = ["drop_duplicate_events"]

_COLUMNS: Final = schemas.EventSchema.column_names()


@contextmanager
def drop_duplicate_events(
    spark: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    files: Sequence[PartitionSpan],
    due: Sequence[BuildTask],
) -> Iterator[tuple[Any, Mapping[int, int]]]:
    """The events that are due without their copies, and how many of these there were.

    The rule is that of :func:`features.activity.deduplication.drop_duplicate_events`; ``file`` is now the place among
    those that are due.
    """
    targets = _build_targets(spark, files, due)
    mine = rows.join(targets.select("at", "target"), rows["file"] == targets["at"])
    if not any(one.has_ids for one in due):
        yield _select_target(mine), {}
        return
    repeated = _find_repeated_hashes(rows).persist()
    ranked = _rank_copies(rows, repeated, targets).persist()
    try:
        if not repeated.count():
            yield _select_target(mine), {}
            return
        copies = collect_small(ranked.filter("rank > 1").groupBy("target").count())
        once = mine.withColumn("number", _hash_event_id()).join(repeated, "number", "left_anti")
        kept = _select_target(once).unionByName(_select_target(ranked.filter("rank = 1")))
        yield kept, dict(copies.rows())
    finally:
        ranked.unpersist()
        repeated.unpersist()


def _build_targets(spark: Any, files: Sequence[PartitionSpan], due: Sequence[BuildTask]) -> Any:  # noqa: ANN401
    """Which of the files are due, and when they open and close."""
    from pyspark.sql import functions as f  # noqa: PLC0415

    places = {one.span.partition.name: place for place, one in enumerate(due)}
    rows = [
        (at, places[span.partition.name], span.first, span.last)
        for at, span in enumerate(files)
        if span.partition.name in places
    ]
    columns = "at int, target int, opens timestamp, closes timestamp"
    return f.broadcast(spark.createDataFrame(rows, columns))


def _hash_event_id() -> Any:  # noqa: ANN401
    from pyspark.sql import functions as f  # noqa: PLC0415

    return f.when(f.col("event_id").isNotNull(), f.xxhash64("event_id"))


def _find_repeated_hashes(rows: Any) -> Any:  # noqa: ANN401
    """Hashes find the candidates by numbers; whether they are copies, the ids themselves say."""
    numbers = rows.select(_hash_event_id().alias("number")).dropna()
    return numbers.groupBy("number").count().filter("count > 1").select("number")


def _rank_copies(rows: Any, repeated: Any, targets: Any) -> Any:  # noqa: ANN401
    """Of each id the rows of each target, ranked among all rows in the target's span of time."""
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as f  # noqa: PLC0415

    twice = rows.withColumn("number", _hash_event_id()).join(repeated, "number", "left_semi")
    near = twice.join(targets, f.col("timestamp").between(f.col("opens"), f.col("closes")))
    # Ordered by content and only then by file, so neither row nor file order decides.
    content = [f.col(name).asc_nulls_first() for name in _COLUMNS if name != "event_id"]
    order = (f.greatest("timestamp", "known_at"), *content, "file")
    rank = f.row_number().over(Window.partitionBy("target", "event_id").orderBy(*order))
    return near.withColumn("rank", rank).filter("file = at")


def _select_target(rows: Any) -> Any:  # noqa: ANN401
    return rows.select("target", *_COLUMNS).withColumnRenamed("target", "file")
