"""Bitwise OR aggregation for Polars and Spark, which Narwhals does not provide.

A set of hours or days is stored as bits, so that an hour counts once however many rows or files
contain it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import narwhals as nw

__all__ = ["bit_from_position", "group_with_bit_or"]

AggregateSpec = tuple[Literal["sum", "min", "max", "or"], str]


def bit_from_position(position: str) -> nw.Expr:
    """Return the number whose only set bit is at the position in a column, from 0 to 30."""
    return (nw.lit(2) ** nw.col(position)).cast(nw.Int32)


def group_with_bit_or(
    rows: nw.LazyFrame[Any], keys: Sequence[str], **aggregates: AggregateSpec
) -> nw.LazyFrame[Any]:
    """Group and aggregate rows on their own engine.

    Parameters
    ----------
    rows : narwhals.LazyFrame
        Over Polars or Spark.
    keys : sequence of str
        Columns to group by.
    **aggregates : tuple of str
        New column = (function, source column); nulls are ignored.

    Returns
    -------
    narwhals.LazyFrame
        On the same engine, row order unspecified.

    Raises
    ------
    TypeError
        If the rows are on another engine.
    """
    native: Any = rows.to_native()
    if rows.implementation.is_polars():
        import polars as pl  # noqa: PLC0415

        functions_by_name = {"or": "bitwise_or"}
        expressions = [
            getattr(pl.col(column), functions_by_name.get(function, function))().alias(name)
            for name, (function, column) in aggregates.items()
        ]
        polars_frame: nw.LazyFrame[Any] = nw.from_native(native.group_by(*keys).agg(expressions))
        return polars_frame
    if rows.implementation.is_pyspark():
        from pyspark.sql import functions  # noqa: PLC0415 - an extra

        functions_by_name = {"or": "bit_or"}
        expressions = [
            getattr(functions, functions_by_name.get(function, function))(column).alias(name)
            for name, (function, column) in aggregates.items()
        ]
        spark_frame: nw.LazyFrame[Any] = nw.from_native(native.groupBy(*keys).agg(*expressions))
        return spark_frame
    raise TypeError(f"no bitwise OR aggregation on {rows.implementation}")
