"""The simple rankings a model must beat: single columns and rules, each as a score."""

import polars as pl

__all__ = ["DAYS_TO_LIMIT", "RANKINGS", "scores"]

_NEVER_DAYS = 10_000.0

# In a straight line, at the pace of the last three months.
DAYS_TO_LIMIT = pl.min_horizontal("seat_days_to_ceiling", "usage_days_to_limit")
RANKINGS: dict[str, pl.Expr] = {
    "seat utilisation": pl.col("seat_utilization"),
    "most active users": pl.col("active_users_30d"),
    "rule: utilisation at least 80 %": (pl.col("seat_utilization") >= 0.8).cast(pl.Float64),
    "most events": pl.col("events_30d"),
    "days to limit": -DAYS_TO_LIMIT,
}


def scores(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Score every snapshot by every simple ranking; higher comes first, unknown comes last."""
    return snapshots.select(
        "account_id",
        "as_of",
        *(score.fill_null(-_NEVER_DAYS).alias(name) for name, score in RANKINGS.items()),
    )
