"""Calendar: budgets close and renew on fixed dates."""

import polars as pl

from features.catalogue.feature import Feature

FEATURES = (
    Feature(
        name="days_to_quarter_end",
        family="calendar",
        unit="days",
        value=(
            pl.col("as_of").dt.offset_by("1q").dt.truncate("1q") - pl.col("as_of")
        ).dt.total_days(),
        signal_group="quarter_end",
    ),
    Feature(
        name="days_to_year_end",
        family="calendar",
        unit="days",
        value=pl.col("year_end_days"),
        signal_group="year_end",
    ),
    Feature(
        name="month_of_year",
        family="calendar",
        unit="1 to 12",
        value=pl.col("as_of").dt.month(),
        signal_group="month",
    ),
)
