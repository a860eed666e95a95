"""The one thing that Narwhals has no word for: the ``or`` of bits over a group.

A set of hours or days is kept as bits, so that an hour counts once however many rows tell of it,
and in however many files.
"""

from collections.abc import Sequence
from typing import Any, Literal

import narwhals as nw

__all__ = ["bit_from_position", "group_with_bit_or"]

AggregateSpec = tuple[Literal["sum", "min", "max", "or"], str]


def bit_from_position(position: str) -> nw.Expr:
    """Return the number whose only set bit is at the place a column names, from 0 to 30."""
    return (nw.lit(2) ** nw.col(position)).cast(nw.Int32)


def group_with_bit_or(
    rows: nw.LazyFrame[Any], keys: Sequence[str], **aggregates: AggregateSpec
) -> nw.LazyFrame[Any]:
    """Group rows on the engine they live on.

    Parameters
    ----------
    rows : narwhals.LazyFrame
        Over Polars or Spark.
    keys : sequence of str
        Columns to group by.
    **aggregates : tuple of str
        New column = how, and of which column; nulls are passed over.

    Returns
    -------
    narwhals.LazyFrame
        On the same engine, in no order.

    Raises
    ------
    TypeError
        If the rows live on another engine.
    """
    native: Any = rows.to_native()
    if rows.implementation.is_polars():
        import polars as pl  # noqa: PLC0415

        words = {"or": "bitwise_or"}
        made = [
            getattr(pl.col(column), words.get(how, how))().alias(name)
            for name, (how, column) in aggregates.items()
        ]
        polars: nw.LazyFrame[Any] = nw.from_native(native.group_by(*keys).agg(made))
        return polars
    if rows.implementation.is_pyspark():
        from pyspark.sql import functions  # noqa: PLC0415 - an extra

        words = {"or": "bit_or"}
        made = [
            getattr(functions, words.get(how, how))(column).alias(name)
            for name, (how, column) in aggregates.items()
        ]
        spark: nw.LazyFrame[Any] = nw.from_native(native.groupBy(*keys).agg(*made))
        return spark
    raise TypeError(f"no group-by of bits on {rows.implementation}")
