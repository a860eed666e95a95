"""Alert override: treat an account with an open utilization alert as tier 1."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import polars as pl

__all__ = ["apply_alerts"]

_MOTION_BY_LIMIT: Final = {"seats": "seat add", "usage": "volume upgrade"}
_CONTACT_WITHIN: Final = timedelta(days=14)  # the same as at tier 1


def apply_alerts(
    rows: pl.DataFrame, alerted_limits: Mapping[str, str], as_of: date
) -> pl.DataFrame:
    """Apply open alerts as if a tier 1 rule had fired.

    Accounts on a plateau are unchanged: high and flat utilization is no reason to sell.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``tier``, ``limit``, ``motion``, ``readiness_date``.
    alerted_limits : mapping of str to str
        Account → limit, ``seats`` or ``usage``.
    as_of : datetime.date
        The day of the rows; the readiness date is at most two weeks later.
    """
    if not alerted_limits:
        return rows
    alerted_limit = pl.col("account_id").replace_strict(
        dict(alerted_limits), default=None, return_dtype=pl.String
    )
    applies = alerted_limit.is_not_null() & pl.col("motion").ne("consolidate")
    motion = alerted_limit.replace_strict(_MOTION_BY_LIMIT, default=None, return_dtype=pl.String)
    soon = pl.min_horizontal("readiness_date", pl.lit(as_of + _CONTACT_WITHIN))
    return rows.with_columns(
        tier=pl.when(applies).then(1).otherwise("tier").cast(pl.Int32),
        limit=pl.when(applies).then(alerted_limit).otherwise("limit"),
        motion=pl.when(applies).then(motion).otherwise("motion"),
        readiness_date=pl.when(applies).then(soon).otherwise("readiness_date"),
    )
