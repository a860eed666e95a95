"""Notes on rows with little evidence: new accounts, little use, missing features."""

from typing import Final

import polars as pl

from data.config.settings import Scoring
from features.catalogue import FEATURE_NAMES
from serving.scoring.text.ui_strings import UiStrings

__all__ = ["describe_low_evidence"]

_MIN_TENURE_DAYS: Final = 90  # younger customers have a short history
_MIN_EVENTS: Final = 10  # in the last 30 days
_MISSING_SHARE: Final = 0.1  # of the expected features; noted from here on
_EXPECTED_COVERAGE: Final = 0.5  # a feature that most accounts have is expected


def describe_low_evidence(rows: pl.DataFrame, rules: Scoring, strings: UiStrings) -> pl.Series:
    """Return a note where history is thin, or on an account that is listed last.

    Parameters
    ----------
    rows : polars.DataFrame
        Features of a :class:`features.panel.Panel`, ``probability``, ``expected_arr``.

    Returns
    -------
    polars.Series of str
        One sentence or null, in the order of the rows: the account is new, hardly used, lacks many
        features that most accounts have, or is ranked by expected ARR without revenue on file.
    """
    expected_features = [
        name for name in FEATURE_NAMES if rows[name].null_count() < _EXPECTED_COVERAGE * rows.height
    ]
    no_revenue = pl.col("expected_arr").is_null() & pl.col("probability").is_not_null()
    missing = pl.sum_horizontal(pl.col(name).is_null() for name in expected_features)
    expected_count = len(expected_features)
    note = (
        pl.when(no_revenue & pl.lit(rules.rank_by != "probability"))
        .then(strings.format_expr("no_revenue"))
        .when(pl.col("tenure_days") < _MIN_TENURE_DAYS)
        .then(
            strings.format_expr(
                "new_customer", days=strings.pluralize(pl.col("tenure_days"), "day")
            )
        )
        .when(pl.col("events_30d") == 0)
        .then(strings.format_expr("no_usage"))
        .when(pl.col("events_30d") < _MIN_EVENTS)
        .then(
            strings.format_expr(
                "little_usage", events=strings.pluralize(pl.col("events_30d"), "event")
            )
        )
        .when(missing >= _MISSING_SHARE * expected_count)
        .then(
            strings.format_expr(
                "missing_features", missing=missing, expected=pl.lit(expected_count)
            )
        )
    )
    return rows.select(note=note)["note"]
