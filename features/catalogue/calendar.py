"""Calendar: budgets close and renew on fixed dates."""

from functools import partial

import polars as pl

from features.catalogue.feature import Feature

_feature = partial(Feature, family="calendar")
_NEXT_QUARTER = pl.col("as_of").dt.offset_by("1q").dt.truncate("1q")

FEATURES = (
    _feature(
        "days_to_quarter_end",
        "days",
        (_NEXT_QUARTER - pl.col("as_of")).dt.total_days(),
        "quarter_end",
    ),
    _feature("days_to_year_end", "days", pl.col("year_end_days"), "year_end"),
    _feature("month_of_year", "1 to 12", pl.col("as_of").dt.month(), "month"),
)
