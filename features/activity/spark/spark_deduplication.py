"""Event deduplication on Spark, by the rule of :mod:`features.activity.deduplication`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from data import schemas
from features.activity.deduplication import PartitionSpan
from features.activity.spark.session import collect_to_polars
from features.activity.tasks import BuildTask

__all__ = ["drop_duplicate_events"]

_COLUMNS: Final = schemas.EventSchema.column_names()


@contextmanager
def drop_duplicate_events(
    spark: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    files: Sequence[PartitionSpan],
    tasks: Sequence[BuildTask],
) -> Iterator[tuple[Any, Mapping[int, int]]]:
    """Yield the tasks' events without duplicates, and the number of duplicates per task.

    The rule is that of :func:`features.activity.deduplication.drop_duplicate_events`; ``file`` is
    now the position among the tasks.
    """
    targets = _build_targets(spark, files, tasks)
    own_rows = rows.join(targets.select("at", "target"), rows["file"] == targets["at"])
    if not any(task.has_ids for task in tasks):
        yield _select_target(own_rows), {}
        return
    repeated = _find_repeated_hashes(rows).persist()
    ranked = _rank_copies(rows, repeated, targets).persist()
    try:
        if not repeated.count():
            yield _select_target(own_rows), {}
            return
        duplicates = collect_to_polars(ranked.filter("rank > 1").groupBy("target").count())
        unique_rows = own_rows.withColumn("number", _hash_event_id()).join(
            repeated, "number", "left_anti"
        )
        deduplicated = _select_target(unique_rows).unionByName(
            _select_target(ranked.filter("rank = 1"))
        )
        yield deduplicated, dict(duplicates.rows())
    finally:
        ranked.unpersist()
        repeated.unpersist()


def _build_targets(spark: Any, files: Sequence[PartitionSpan], tasks: Sequence[BuildTask]) -> Any:  # noqa: ANN401
    """Return the files to be built, with their time ranges."""
    from pyspark.sql import functions as f  # noqa: PLC0415

    positions = {task.span.partition.name: position for position, task in enumerate(tasks)}
    rows = [
        (index, positions[span.partition.name], span.first, span.last)
        for index, span in enumerate(files)
        if span.partition.name in positions
    ]
    columns = "at int, target int, opens timestamp, closes timestamp"
    return f.broadcast(spark.createDataFrame(rows, columns))


def _hash_event_id() -> Any:  # noqa: ANN401
    from pyspark.sql import functions as f  # noqa: PLC0415

    return f.when(f.col("event_id").isNotNull(), f.xxhash64("event_id"))


def _find_repeated_hashes(rows: Any) -> Any:  # noqa: ANN401
    """Return hashes of event ids that repeat; the ids themselves decide whether rows are copies."""
    hashes = rows.select(_hash_event_id().alias("number")).dropna()
    return hashes.groupBy("number").count().filter("count > 1").select("number")


def _rank_copies(rows: Any, repeated: Any, targets: Any) -> Any:  # noqa: ANN401
    """Rank the rows of each event id and target among all rows in the target's time range."""
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as f  # noqa: PLC0415

    repeated_rows = rows.withColumn("number", _hash_event_id()).join(
        repeated, "number", "left_semi"
    )
    nearby = repeated_rows.join(
        targets, f.col("timestamp").between(f.col("opens"), f.col("closes"))
    )
    # Sorted by content and then by file, so that row order has no effect.
    content = [f.col(name).asc_nulls_first() for name in _COLUMNS if name != "event_id"]
    order = (f.greatest("timestamp", "known_at"), *content, "file")
    rank = f.row_number().over(Window.partitionBy("target", "event_id").orderBy(*order))
    return nearby.withColumn("rank", rank).filter("file = at")


def _select_target(rows: Any) -> Any:  # noqa: ANN401
    return rows.select("target", *_COLUMNS).withColumnRenamed("target", "file")
