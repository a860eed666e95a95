"""Malformed rows, added to sound tables: what is left after quarantine is the sound table again."""

from typing import Final

import polars as pl

from data.simulator.account_state import Generator

__all__ = ["CORRUPTIONS", "corrupt_rows"]

_INSTANT: Final = pl.Datetime("us", "UTC")
_NO_TIME: Final = pl.lit(None, _INSTANT)
_NO_TEXT: Final = pl.lit(None, pl.String)
_NEVER_SET: Final = pl.lit(0).cast(_INSTANT)  # what a clock shows that was never set: 1970
_CENTURY: Final = pl.duration(days=36_525)  # a future that is one whenever the log is read

# What can be wrong with a row, by table: each way spoils one column of a copy of a sound row.
CORRUPTIONS: Final[dict[str, tuple[pl.Expr, ...]]] = {
    "events": (
        _NO_TEXT.alias("account_id"),
        pl.lit("").alias("account_id"),
        pl.lit("acc_unknown").alias("account_id"),
        _NO_TIME.alias("timestamp"),
        _NEVER_SET.alias("timestamp"),
        pl.col("timestamp") + _CENTURY,
        (-pl.col("quantity") - 1).alias("quantity"),
    ),
    "subscriptions": (
        _NO_TEXT.alias("account_id"),
        pl.lit("acc_unknown").alias("account_id"),
        pl.lit(-5.0).alias("licensed_seats"),
        pl.lit("active").alias("status"),
        _NO_TIME.alias("effective_date"),
    ),
    "accounts": (_NO_TEXT.alias("account_id"),),
    "users": (
        _NO_TEXT.alias("user_id"),
        pl.lit("").alias("account_id"),
    ),
}


def corrupt_rows(table: str, frame: pl.DataFrame, share: float, rng: Generator) -> pl.DataFrame:
    """Add malformed copies of a share of the rows, at the end.

    Parameters
    ----------
    table : str
        Which contract to break: a key of ``SPOILERS``.
    frame : polars.DataFrame
        The sound rows.
    share : float
        Malformed rows per sound row; 0 adds none.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    polars.DataFrame
        The sound rows in their order, then the malformed ones, way by way.
    """
    ways = CORRUPTIONS[table]
    copies = [frame[rng.integers(0, len(frame), rng.poisson(share * len(frame) / len(ways)))]
              for _ in ways]  # fmt: skip
    return pl.concat([frame, *(c.with_columns(way) for c, way in zip(copies, ways, strict=True))])
