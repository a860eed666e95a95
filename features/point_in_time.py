"""Point-in-time filter: the only place that decides which rows were known at an as-of."""

from datetime import datetime
from typing import TypeVar

import polars as pl

__all__ = ["known_before"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def known_before(rows: Frame, as_of: datetime) -> Frame:
    """Keep rows known strictly before ``as_of``."""
    return rows.filter(pl.col("known") < as_of)
