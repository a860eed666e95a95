"""An account that fills up between two lists: what a signal makes of its line."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import polars as pl

__all__ = ["decided"]

_MOTIONS: Final = {"seats": "seat add", "usage": "volume upgrade"}
_WITHIN: Final = timedelta(days=14)  # as at tier 1


def decided(lines: pl.DataFrame, pressed: Mapping[str, str], as_of: date) -> pl.DataFrame:
    """Act on a signal as on a rule of tier 1: the limit is all but reached.

    A plateau stays one: high and flat is no crossing to sell on.

    Parameters
    ----------
    lines : polars.DataFrame
        ``account_id``, ``tier``, ``limit``, ``motion``, ``readiness_date``.
    pressed : mapping of str to str
        Account → limit, ``seats`` or ``usage``.
    as_of : datetime.date
        The day of the lines; from then on, within two weeks, is the time to talk.
    """
    if not pressed:
        return lines
    signal = pl.col("account_id").replace_strict(
        dict(pressed), default=None, return_dtype=pl.String
    )
    acts = signal.is_not_null() & pl.col("motion").ne("consolidate")
    motion = signal.replace_strict(_MOTIONS, default=None, return_dtype=pl.String)
    soon = pl.min_horizontal("readiness_date", pl.lit(as_of + _WITHIN))
    return lines.with_columns(
        tier=pl.when(acts).then(1).otherwise("tier").cast(pl.Int32),
        limit=pl.when(acts).then(signal).otherwise("limit"),
        motion=pl.when(acts).then(motion).otherwise("motion"),
        readiness_date=pl.when(acts).then(soon).otherwise("readiness_date"),
    )
