"""Snapshots may come as a pandas frame, as data scientists keep them; inside they are Polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["select_columns"]


def select_columns(snapshots: pl.DataFrame | pd.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Take the columns that are wanted from a Polars or a pandas frame; NaN is missing.

    Parameters
    ----------
    snapshots : polars.DataFrame or pandas.DataFrame
        Any columns, among them those that are wanted.
    columns : sequence of str
        Wanted, in this order.

    Returns
    -------
    polars.DataFrame
        As many rows, in the same order.

    Examples
    --------
    >>> import pandas as pd
    >>> select_columns(pd.DataFrame({"mrr": [90.0, float("nan")], "plan_rank": [1.0, 2.0]}), ["mrr"]).rows()
    [(90.0,), (None,)]
    """
    if isinstance(snapshots, pl.DataFrame):
        return snapshots.select(columns)
    return pl.from_pandas(snapshots[list(columns)])
