"""Expected expansion date and readiness date (contact from) of a list row."""

from datetime import date, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import Scoring
from features.subscription_timeline import UTC_DATETIME
from training.evaluation import probability_bands
from training.model.event_date import EventDateEstimate

__all__ = ["build_event_date_columns", "compute_readiness_dates", "hold_readiness_dates"]

_TIER_1_DAYS: Final = 14


def build_event_date_columns(dates: EventDateEstimate, as_of: datetime) -> dict[str, pl.Series]:
    """Return median and 80 % interval of the expansion date, given expansion within 180 days."""
    days_by_column = {
        "expected_early": dates.early,
        "expected_date": dates.median,
        "expected_late": dates.late,
    }
    return {name: _add_days(as_of, np.floor(days)) for name, days in days_by_column.items()}


def compute_readiness_dates(
    dates: EventDateEstimate, as_of: datetime, tier: pl.Series, rules: Scoring
) -> pl.Series:
    """Compute the day to contact from; null where the expected date is too uncertain.

    The expected date less the lead time, but not before the as-of; at tier 1 within two weeks,
    even with a wide interval.
    """
    is_tier_1 = tier.eq(1).fill_null(value=False).to_numpy()
    lead = np.maximum(np.floor(dates.median) - rules.lead_days, 0)
    days = np.where(is_tier_1, np.minimum(lead, _TIER_1_DAYS), lead)
    likely = dates.probability_180d >= rules.date_min_probability
    has_date = is_tier_1 | (likely & (dates.width <= rules.date_width_days))
    return _add_days(as_of, np.where(has_date, days, np.nan))


def hold_readiness_dates(
    rows: pl.DataFrame,
    previous_dates: pl.DataFrame | None,
    last_increases: pl.DataFrame,
    as_of: date,
) -> pl.Series:
    """Hold the communicated readiness date until the account's situation changes.

    Without events, an expected date recedes by one day per day and is never reached, and tier 1
    comes and goes with a single active user. So the last communicated date stays, or moves
    earlier, while tier 1 lasts or the probability band is not lower than before, until a purchase
    becomes known.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``probability``, ``tier``, ``readiness_date``.
    previous_dates : polars.DataFrame or None
        Last communicated dates
        (:func:`serving.scoring.previous_dates.load_last_communicated_dates`).
    last_increases : polars.DataFrame
        When an increase of each account became known last.
    as_of : datetime.date
        The day of the list; no date is before it.

    Returns
    -------
    polars.Series of datetime.date
        In the order of the rows; null where neither the old nor the new date exists.
    """
    if previous_dates is None:
        return rows["readiness_date"]
    columns = ("account_id", "tier", "readiness_date")
    previous = previous_dates.select(
        *columns,
        "as_of",
        band_index=probability_bands.assign_band_index(previous_dates["probability"]),
    )
    joined = (
        rows.select(*columns, band_index=probability_bands.assign_band_index(rows["probability"]))
        .join(previous, on="account_id", how="left", maintain_order="left", suffix="_previous")
        .join(last_increases, on="account_id", how="left", maintain_order="left")
    )
    current, previous_date = pl.col("readiness_date"), pl.col("readiness_date_previous")
    urgent = pl.col("tier").eq(1) & pl.col("tier_previous").eq(1)
    as_likely = pl.col("band_index") >= pl.col("band_index_previous")
    # A purchase known before the previous as-of was already taken into account.
    bought = pl.col("last_increase_known_at") >= pl.col("as_of").cast(UTC_DATETIME)
    is_held = urgent.fill_null(value=False) | as_likely.fill_null(value=False)
    is_held &= ~bought.fill_null(value=False) & previous_date.is_not_null()
    earliest = pl.min_horizontal(current, pl.max_horizontal(previous_date, pl.lit(as_of)))
    dates = pl.when(is_held).then(earliest).otherwise(current)
    return joined.select(readiness_date=dates)["readiness_date"]


def _add_days(as_of: datetime, days: NDArray[np.float64]) -> pl.Series:
    """Add whole days to the as-of; nan becomes null."""
    offset = pl.DataFrame({"days": days}).select(pl.col("days").fill_nan(None).cast(pl.Int64))
    return offset.select(pl.lit(as_of.date()) + pl.duration(days="days")).to_series()
