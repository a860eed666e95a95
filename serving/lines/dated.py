"""The days of a line: when an expansion is expected, and from when to talk."""

from datetime import date, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Scoring
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


def held(lines: pl.DataFrame, before: pl.DataFrame | None, as_of: date) -> pl.Series:
    """The readiness dates, where one that was named at tier 1 stays for as long as tier 1 lasts.

    Else "within two weeks" would begin anew with every list.

    Parameters
    ----------
    lines : polars.DataFrame
        ``account_id``, ``tier``, ``readiness_date``.
    before : polars.DataFrame or None
        The list before, with the same columns.
    as_of : datetime.date
        The day of the list: no date is before it.

    Returns
    -------
    polars.Series of datetime.date
        In the order of the lines.
    """
    now = pl.col("readiness_date")
    if before is None:
        return lines["readiness_date"]
    first = before.filter(pl.col("tier") == 1).select("account_id", then="readiness_date")
    named = pl.max_horizontal(pl.col("then"), pl.when(pl.col("then").is_not_null()).then(as_of))
    kept = pl.when(pl.col("tier") == 1).then(pl.min_horizontal(now, named)).otherwise(now)
    both = lines.join(first, on="account_id", how="left", maintain_order="left")
    return both.select(readiness_date=kept)["readiness_date"]


def _after(as_of: datetime, days: NDArray[np.float64]) -> pl.Series:
    """So many whole days after the as-of, as dates; nan is null."""
    offset = pl.DataFrame({"days": days}).select(pl.col("days").fill_nan(None).cast(pl.Int64))
    return offset.select(pl.lit(as_of.date()) + pl.duration(days="days")).to_series()
