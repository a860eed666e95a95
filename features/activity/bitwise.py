"""Bitwise OR aggregation for Polars and Spark, which Narwhals does not provide.

A set of hours or days is stored as bits, so that an hour counts once however many rows or files
contain it.
"""

from collections.abc import Sequence
from typing import Any

import narwhals as nw

__all__ = ["bit_from_position", "group_with_bit_or"]


def bit_from_position(position: str) -> nw.Expr:
    """Return the number whose only set bit is at the position in a column, from 0 to 30."""
    return (nw.lit(2) ** nw.col(position)).cast(nw.Int32)


def group_with_bit_or(
    rows: nw.LazyFrame[Any], keys: Sequence[str], *, sums: Sequence[str], bits: Sequence[str]
) -> nw.LazyFrame[Any]:
    """Group rows on their own engine; sum some columns, and join the bits of others.

    Nulls are ignored; row order is unspecified.

    Raises
    ------
    TypeError
        If the rows are neither on Polars nor on Spark.
    """
    native: Any = rows.to_native()
    if rows.implementation.is_polars():
        import polars as pl  # noqa: PLC0415

        grouped = native.group_by(*keys).agg(pl.col(sums).sum(), pl.col(bits).bitwise_or())
    elif rows.implementation.is_pyspark():
        from pyspark.sql import functions  # noqa: PLC0415 - an extra

        grouped = native.groupBy(*keys).agg(
            *(functions.sum(name).alias(name) for name in sums),
            *(functions.bit_or(name).alias(name) for name in bits),
        )
    else:
        raise TypeError(f"no bitwise OR aggregation on {rows.implementation}")
    frame: nw.LazyFrame[Any] = nw.from_native(grouped)
    return frame
