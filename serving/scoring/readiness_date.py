"""Readiness date: the day to contact an account from, and how long it is held."""

from datetime import date
from typing import Final

import polars as pl

from data.config.settings import Scoring
from features.subscription_timeline import UTC_DATETIME
from training.evaluation import probability_bands

__all__ = ["compute_readiness_dates", "hold_readiness_dates"]

_TIER_1_DAYS: Final = 14


def compute_readiness_dates(as_of: date, rules: Scoring) -> pl.Expr:
    """Compute the day to contact from; null where the expected date is too uncertain.

    The expected date less the lead time, but not before the as-of; at tier 1 within two weeks,
    even with a wide interval or without a date. Reads ``tier``, ``expected_date``,
    ``interval_days`` and ``probability_180d``.
    """
    days_left = (pl.col("expected_date") - as_of).dt.total_days()
    lead = pl.max_horizontal(days_left - rules.lead_days, 0)
    is_tier_1 = pl.col("tier").eq(1).fill_null(value=False)
    is_likely = pl.col("probability_180d") >= rules.date_min_probability
    is_certain = pl.col("interval_days") <= rules.date_width_days
    days = (
        pl.when(is_tier_1)
        .then(pl.min_horizontal(lead, _TIER_1_DAYS))
        .when(is_likely & is_certain)
        .then(lead)
    )
    return pl.lit(as_of) + pl.duration(days=days)


def hold_readiness_dates(
    rows: pl.DataFrame, previous_dates: pl.DataFrame | None, as_of: date
) -> pl.Series:
    """Hold the communicated readiness date until the account's situation changes.

    Without events, an expected date recedes by one day per day and is never reached, and tier 1
    comes and goes with a single active user. So the last communicated date stays, or moves
    earlier, while tier 1 lasts or the probability band is not lower than before, until a purchase
    becomes known.

    Reads ``band``, ``tier``, ``readiness_date`` and ``last_increase_known_at`` of the rows; the
    previous dates are those of
    :func:`serving.scoring.list_history.load_last_communicated_dates`. The dates are in the order of
    the rows, none before the as-of; null where neither the old nor the new date exists.
    """
    if previous_dates is None:
        return rows["readiness_date"]
    # A stored band may be unknown, such as one of a release with other bands; it holds no date.
    band = pl.col("band").cast(pl.Enum(probability_bands.list_bands()), strict=False)
    columns = ("account_id", "tier", "readiness_date")
    joined = rows.select(*columns, "last_increase_known_at", band).join(
        previous_dates.select(*columns, "as_of", band),
        on="account_id",
        how="left",
        maintain_order="left",
        suffix="_previous",
    )
    current, previous_date = pl.col("readiness_date"), pl.col("readiness_date_previous")
    urgent = pl.col("tier").eq(1) & pl.col("tier_previous").eq(1)
    as_likely = pl.col("band") >= pl.col("band_previous")
    # A purchase known before the previous as-of was already taken into account.
    bought = pl.col("last_increase_known_at") >= pl.col("as_of").cast(UTC_DATETIME)
    is_held = urgent.fill_null(value=False) | as_likely.fill_null(value=False)
    is_held &= ~bought.fill_null(value=False) & previous_date.is_not_null()
    earliest = pl.min_horizontal(current, pl.max_horizontal(previous_date, pl.lit(as_of)))
    dates = pl.when(is_held).then(earliest).otherwise(current)
    return joined.select(readiness_date=dates)["readiness_date"]
