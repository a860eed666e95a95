"""Work given to Spark's tasks, and small answers brought back."""

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
    """Let tasks make batches of a schema from batches of a frame."""
    ddl = ", ".join(f"`{name}` {ARROW_TYPES[kind][0]}" for name, kind in schema.items())
    with suppress_pandas_check():
        return frame.mapInArrow(work, ddl)


def collect_small(frame: Any) -> pl.DataFrame:  # noqa: ANN401
    """A small answer of Spark's."""
    return pl.DataFrame(pl.from_arrow(frame.toArrow()))
