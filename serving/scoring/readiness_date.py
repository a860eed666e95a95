"""The days of a line: when an expansion is expected, and from when to talk."""

from datetime import date, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import Scoring
from features.subscription_timeline import UTC_DATETIME
from training.evaluation import probability_bands
from training.model.event_date import EventDateEstimate

__all__ = ["compute_readiness_dates", "event_date_columns", "hold_readiness_dates"]

_TIER_1_DAYS: Final = 14


def event_date_columns(dates: EventDateEstimate, as_of: datetime) -> dict[str, pl.Series]:
    """Median and 80 % interval of the expected day, given that it comes within 180 days."""
    days_by_column = {
        "expected_early": dates.early,
        "expected_date": dates.median,
        "expected_late": dates.late,
    }
    return {name: _add_days(as_of, np.floor(days)) for name, days in days_by_column.items()}


def compute_readiness_dates(
    dates: EventDateEstimate, as_of: datetime, tier: pl.Series, rules: Scoring
) -> pl.Series:
    """The day from which to talk; null where the expected date is too uncertain to name one.

    The expected date less the lead time, never before the as-of; at tier 1 within two weeks,
    however wide the interval.
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
    """The readiness dates, where one that was named stays until the account gives a reason.

    While nothing happens, an expected day recedes by a day a day, and whoever waits for it waits
    for ever; and tier 1 comes and goes with a single active user. So the date that was named last
    stays, or comes nearer, while tier 1 lasts or the chance is in no lower band than it was, until
    it is heard that the account bought more.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``probability``, ``tier``, ``readiness_date``.
    previous_dates : polars.DataFrame or None
        What was said last of each account (:func:`serving.scoring.previous_dates.load_last_communicated_dates`).
    last_increases : polars.DataFrame
        When it was last heard that an account bought more (:func:`features.panel.subscription_terms.last_known_increase`).
    as_of : datetime.date
        The day of the list: no date is before it.

    Returns
    -------
    polars.Series of datetime.date
        In the order of the lines; null where no date is named, then or now.
    """
    if previous_dates is None:
        return rows["readiness_date"]
    columns = ("account_id", "tier", "readiness_date")
    previous = previous_dates.select(
        *columns, "as_of", place=probability_bands.assign_band_index(previous_dates["probability"])
    )
    joined = (
        rows.select(*columns, place=probability_bands.assign_band_index(rows["probability"]))
        .join(previous, on="account_id", how="left", maintain_order="left", suffix="_then")
        .join(last_increases, on="account_id", how="left", maintain_order="left")
    )
    now, named = pl.col("readiness_date"), pl.col("readiness_date_then")
    urgent = pl.col("tier").eq(1) & pl.col("tier_then").eq(1)
    as_likely = pl.col("place") >= pl.col("place_then")
    # What had been heard by the midnight of what was said, that took into account.
    bought = pl.col("heard") >= pl.col("as_of").cast(UTC_DATETIME)
    stays = urgent.fill_null(value=False) | as_likely.fill_null(value=False)
    stays &= ~bought.fill_null(value=False) & named.is_not_null()
    earliest = pl.min_horizontal(now, pl.max_horizontal(named, pl.lit(as_of)))
    dates = pl.when(stays).then(earliest).otherwise(now)
    return joined.select(readiness_date=dates)["readiness_date"]


def _add_days(as_of: datetime, days: NDArray[np.float64]) -> pl.Series:
    """So many whole days after the as-of, as dates; nan is null."""
    offset = pl.DataFrame({"days": days}).select(pl.col("days").fill_nan(None).cast(pl.Int64))
    return offset.select(pl.lit(as_of.date()) + pl.duration(days="days")).to_series()
