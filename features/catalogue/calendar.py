"""Calendar: budgets are spent and renewed on dates."""

import polars as pl

from features.feature import Feature

SIGNALS = {
    "quarter_end": "the quarter ends in {{ people(days_to_quarter_end, 'day') }}",
    "year_end": "the year ends in {{ people(days_to_year_end, 'day') }}",
}

FEATURES = (
    Feature(
        name="days_to_quarter_end",
        family="calendar",
        unit="days",
        value=(
            pl.col("as_of").dt.offset_by("1q").dt.truncate("1q") - pl.col("as_of")
        ).dt.total_days(),
        signal="quarter_end",
    ),
    Feature(
        name="days_to_year_end",
        family="calendar",
        unit="days",
        value=pl.col("year_end_days"),
        signal="year_end",
    ),
)
