"""Spark jobs in Arrow batches, and collection of small results."""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from features.activity.spark.session import suppress_pandas_check
from features.activity.spark.worker import ARROW_TYPES

__all__ = ["collect_small", "map_in_arrow"]


def map_in_arrow(
    frame: Any,  # noqa: ANN401
    work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pl.Schema,
) -> Any:  # noqa: ANN401
    """Map a frame's Arrow batches on the workers to batches of a schema."""
    ddl = ", ".join(f"`{name}` {ARROW_TYPES[kind][0]}" for name, kind in schema.items())
    with suppress_pandas_check():
        return frame.mapInArrow(work, ddl)


def collect_small(frame: Any) -> pl.DataFrame:  # noqa: ANN401
    """Collect a small Spark frame."""
    return pl.DataFrame(pl.from_arrow(frame.toArrow()))
