"""Calendar: budgets are spent and renewed on dates."""

import polars as pl

from features.feature import Feature, Signal

SIGNALS = {
    "quarter_end": Signal(
        "the quarter ends in {{ people(days_to_quarter_end, 'day') }}", ("days_to_quarter_end",)
    ),
    "year_end": Signal(
        "the year ends in {{ people(days_to_year_end, 'day') }}", ("days_to_year_end",)
    ),
    "month": Signal("it is month {{ n(month_of_year) }} of the year", ("month_of_year",)),
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
    Feature(
        name="month_of_year",
        family="calendar",
        unit="1 to 12",
        value=pl.col("as_of").dt.month(),
        signal="month",
    ),
)
