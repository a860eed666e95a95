"""Who comes first: on the whole list, in a CSM's own book, and who is within this week's time."""

from typing import Final

import polars as pl

from data.config.settings import MotionMinutes
from serving.scoring import playbook

__all__ = ["REVENUE_RANKINGS", "rank_accounts"]

REVENUE_RANKINGS: Final = {
    "expected_arr": "by expected ARR",
    "expected_arr_per_minute": "by expected ARR per minute of work",
}


def rank_accounts(
    rows: pl.DataFrame, *, by: str, minutes: MotionMinutes, weekly_capacity: int
) -> pl.DataFrame:
    """Put the accounts in order, and say who is within this week's time.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``csm`` (null: nobody's, a book of its own), ``standing`` (a number, higher
        comes first), ``probability``, ``expected_arr``, ``motion``, ``ask``.
    by : {"probability", "expected_arr", "expected_arr_per_minute"}
        What comes first. Of equals the first by account; who has no expected ARR comes last, by
        ``standing``. Where there is no probability at all, ``standing`` decides.
    minutes : data.config.settings.Minutes
        Of a CSM, per motion.
    weekly_capacity : int
        Accounts that one CSM can work in a week.

    Returns
    -------
    polars.DataFrame
        In order, with ``rank`` (1, 2, …), ``book_rank`` (likewise in each book) and ``this_week``:
        the first so many of each book of whom an ask is made; without ``standing``.
    """
    key = pl.lit(None, dtype=pl.Float64)
    if by != "probability":
        key = pl.col("expected_arr")
    if by == "expected_arr_per_minute":
        key = key / playbook.motion_minutes(pl.col("motion"), minutes)
    # Among those who have a key, standing plays no part.
    keyed = rows.with_columns(key=key).with_columns(
        standing=pl.when(pl.col("key").is_null()).then("standing")
    )
    outreach_count = pl.col("ask").cast(pl.Int64).cum_sum().over("csm")
    return (
        keyed.sort("key", "standing", "account_id", descending=[True, True, False], nulls_last=True)
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
        .with_columns(
            book_rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("csm"),
            this_week=pl.col("ask") & (outreach_count <= weekly_capacity),
        )
        .drop("key", "standing")
    )
