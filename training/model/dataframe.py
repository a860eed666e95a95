"""Conversion of pandas snapshots to Polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["select_columns"]


def select_columns(snapshots: pl.DataFrame | pd.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Select columns from a Polars or pandas frame; NaN becomes null.

    Parameters
    ----------
    snapshots : polars.DataFrame or pandas.DataFrame
        Contains at least the selected columns.
    columns : sequence of str
        Selected columns, in this order.

    Returns
    -------
    polars.DataFrame
        The same rows in the same order.

    Examples
    --------
    >>> import pandas as pd
    >>> snapshots = pd.DataFrame({"mrr": [90.0, float("nan")], "plan_rank": [1.0, 2.0]})
    >>> select_columns(snapshots, ["mrr"]).rows()
    [(90.0,), (None,)]
    """
    if isinstance(snapshots, pl.DataFrame):
        return snapshots.select(columns)
    return pl.from_pandas(snapshots[list(columns)])
