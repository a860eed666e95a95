"""Eligibility: accounts that get a snapshot, and the reason why others do not."""

from datetime import datetime

import polars as pl

from data.config.settings import MONTH_DAYS

__all__ = ["assign_exclusion_reasons"]


def assign_exclusion_reasons(
    accounts: pl.DataFrame, aggregates: pl.DataFrame, as_of: datetime, max_inactive_days: int
) -> pl.DataFrame:
    """Return each existing account's exclusion reason, or null if it is eligible."""
    is_inactive = pl.col("since_event_months").fill_null(10**6) >= max_inactive_days // MONTH_DAYS
    return (
        accounts.filter(pl.col("created_date") < as_of)
        .select("account_id")
        .join(aggregates, on="account_id", how="left")
        .select(
            "account_id",
            as_of=pl.lit(as_of.date()),
            reason=pl.when(pl.col("paid").is_null())
            .then(pl.lit("no contract in force"))
            .when(pl.col("trial"))
            .then(pl.lit("on trial"))
            .when(~pl.col("paid"))
            .then(pl.lit("contract ended"))
            .when(is_inactive)
            .then(pl.lit(f"no event in {max_inactive_days} days")),
        )
    )
