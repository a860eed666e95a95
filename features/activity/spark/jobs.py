"""Spark jobs in Arrow batches, and collection of small results."""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from features.activity.spark.session import suppress_pandas_check
from features.activity.spark.worker import ARROW_TYPES

__all__ = ["collect_to_polars", "map_in_arrow"]


def map_in_arrow(
    frame: Any,  # noqa: ANN401
    map_batches: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pl.Schema,
) -> Any:  # noqa: ANN401
    """Map a frame's Arrow batches on the workers to batches of a schema."""
    ddl = ", ".join(f"`{name}` {ARROW_TYPES[dtype][0]}" for name, dtype in schema.items())
    with suppress_pandas_check():
        return frame.mapInArrow(map_batches, ddl)


def collect_to_polars(frame: Any) -> pl.DataFrame:  # noqa: ANN401
    """Collect a small Spark frame."""
    return pl.DataFrame(pl.from_arrow(frame.toArrow()))
