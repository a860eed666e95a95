"""The days of a line: when an expansion is expected, and from when to talk."""

from datetime import date, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Scoring
from training import bands
from training.readiness import Dates

__all__ = ["expected", "held", "readiness"]

_TIER_1_DAYS: Final = 14


def expected(dates: Dates, as_of: datetime) -> dict[str, pl.Series]:
    """Median and 80 % interval of the expected day, given that it comes within 180 days."""
    named = {
        "expected_early": dates.early,
        "expected_date": dates.median,
        "expected_late": dates.late,
    }
    return {name: _after(as_of, np.floor(days)) for name, days in named.items()}


def readiness(dates: Dates, as_of: datetime, tier: pl.Series, rules: Scoring) -> pl.Series:
    """The day from which to talk; null where the expected date is too uncertain to name one.

    The expected date less the lead time, never before the as-of; at tier 1 within two weeks,
    however wide the interval.
    """
    first = tier.eq(1).fill_null(value=False).to_numpy()
    lead = np.maximum(np.floor(dates.median) - rules.lead_days, 0)
    days = np.where(first, np.minimum(lead, _TIER_1_DAYS), lead)
    likely = dates.within >= rules.date_min_probability
    told = first | (likely & (dates.width <= rules.date_width_days))
    return _after(as_of, np.where(told, days, np.nan))


def held(
    lines: pl.DataFrame, snapshots: pl.DataFrame, before: pl.DataFrame | None, as_of: date
) -> pl.Series:
    """The readiness dates, where one that was named stays until the account gives a reason.

    While nothing happens, an expected day recedes by a day a day, and whoever waits for it waits
    for ever; and tier 1 comes and goes with a single active user. So the date that the list before
    named stays, or comes nearer, while tier 1 lasts or the chance is in no lower band than it was,
    until the account has expanded.

    Parameters
    ----------
    lines : polars.DataFrame
        ``account_id``, ``probability``, ``tier``, ``readiness_date``.
    snapshots : polars.DataFrame
        The same accounts' rows of a :class:`features.panel.Panel`.
    before : polars.DataFrame or None
        The list before, with the columns of the lines and ``as_of``.
    as_of : datetime.date
        The day of the list: no date is before it.

    Returns
    -------
    polars.Series of datetime.date
        In the order of the lines; null where neither list names one.
    """
    if before is None:
        return lines["readiness_date"]
    facts = ("account_id", "tier", "readiness_date")
    then = before.select(*facts, "as_of", place=bands.places(before["probability"]))
    both = (
        lines.select(*facts, place=bands.places(lines["probability"]))
        .join(then, on="account_id", how="left", maintain_order="left", suffix="_then")
        .join(
            snapshots.select("account_id", "days_since_expansion"),
            on="account_id",
            how="left",
            maintain_order="left",
        )
    )
    now, named = pl.col("readiness_date"), pl.col("readiness_date_then")
    urgent = pl.col("tier").eq(1) & pl.col("tier_then").eq(1)
    as_likely = pl.col("place") >= pl.col("place_then")
    since_days = (pl.lit(as_of) - pl.col("as_of")).dt.total_days()
    expanded = pl.col("days_since_expansion") <= since_days
    stays = urgent.fill_null(value=False) | as_likely.fill_null(value=False)
    stays &= ~expanded.fill_null(value=False) & named.is_not_null()
    earliest = pl.min_horizontal(now, pl.max_horizontal(named, pl.lit(as_of)))
    kept = pl.when(stays).then(earliest).otherwise(now)
    return both.select(readiness_date=kept)["readiness_date"]


def _after(as_of: datetime, days: NDArray[np.float64]) -> pl.Series:
    """So many whole days after the as-of, as dates; nan is null."""
    offset = pl.DataFrame({"days": days}).select(pl.col("days").fill_nan(None).cast(pl.Int64))
    return offset.select(pl.lit(as_of.date()) + pl.duration(days="days")).to_series()
