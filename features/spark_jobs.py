"""Work given to Spark's tasks, and small answers brought back."""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from features.spark_session import no_pandas_asked
from features.workers import KINDS

__all__ = ["collected", "run"]


def run(
    frame: Any,  # noqa: ANN401
    work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pl.Schema,
) -> Any:  # noqa: ANN401
    """Let tasks make batches of a schema from batches of a frame."""
    ddl = ", ".join(f"`{name}` {KINDS[kind][0]}" for name, kind in schema.items())
    with no_pandas_asked():
        return frame.mapInArrow(work, ddl)


def collected(frame: Any) -> pl.DataFrame:  # noqa: ANN401
    """A small answer of Spark's."""
    return pl.DataFrame(pl.from_arrow(frame.toArrow()))
