"""Ranking: order of the list, rank in each CSM portfolio, and weekly capacity."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from serving.scoring import playbook

__all__ = ["REVENUE_RANKINGS", "rank_accounts"]

REVENUE_RANKINGS: Final = {
    "expected_arr": "by expected ARR",
    "expected_arr_per_minute": "by expected ARR per minute of work",
}


def rank_accounts(
    rows: pl.DataFrame, *, by: str, minutes: Mapping[str, float], weekly_capacity: int
) -> pl.DataFrame:
    """Rank the accounts and mark those within this week's capacity.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``csm`` (null: no CSM, a portfolio of its own), ``rank_key`` (higher comes
        first), ``probability``, ``expected_arr``, ``motion``, ``ask``.
    by : {"probability", "expected_arr", "expected_arr_per_minute"}
        Sort criterion; ties by account. Accounts without expected ARR come last, by ``rank_key``.
        Without any probability, ``rank_key`` decides.
    minutes : Minutes settings
        CSM minutes per motion.
    weekly_capacity : int
        Accounts that one CSM can work in a week.

    Returns
    -------
    polars.DataFrame
        In rank order, with ``rank`` (1, 2, …), ``portfolio_rank`` (the same within each portfolio)
        and ``in_weekly_capacity``: the first accounts of each portfolio with outreach allowed, up
        to the weekly capacity; without ``rank_key``.
    """
    key = pl.lit(None, dtype=pl.Float64)
    if by != "probability":
        key = pl.col("expected_arr")
    if by == "expected_arr_per_minute":
        key = key / playbook.motion_minutes(pl.col("motion"), minutes)
    # Among accounts with a key, the rank key is ignored.
    keyed = rows.with_columns(key=key).with_columns(
        rank_key=pl.when(pl.col("key").is_null()).then("rank_key")
    )
    outreach_count = pl.col("outreach_allowed").cast(pl.Int64).cum_sum().over("csm")
    return (
        keyed.sort("key", "rank_key", "account_id", descending=[True, True, False], nulls_last=True)
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
        .with_columns(
            portfolio_rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("csm"),
            in_weekly_capacity=pl.col("outreach_allowed") & (outreach_count <= weekly_capacity),
        )
        .drop("key", "rank_key")
    )
