"""Malformed rows added to valid tables; quarantine must restore the valid table."""

from typing import Final

import polars as pl

from data.simulator.account_state import Generator

__all__ = ["CORRUPTIONS", "corrupt_rows"]

_UTC_DATETIME: Final = pl.Datetime("us", "UTC")
_NULL_TIME: Final = pl.lit(None, _UTC_DATETIME)
_NULL_TEXT: Final = pl.lit(None, pl.String)
_EPOCH: Final = pl.lit(0).cast(_UTC_DATETIME)  # 1970-01-01: the clock was not set
# Far enough to be in the future whenever the log is read.
_CENTURY: Final = pl.duration(days=36_525)

# Corruptions by table: each one invalidates one column of a copy of a valid row.
CORRUPTIONS: Final[dict[str, tuple[pl.Expr, ...]]] = {
    "events": (
        _NULL_TEXT.alias("account_id"),
        pl.lit("").alias("account_id"),
        pl.lit("acc_unknown").alias("account_id"),
        _NULL_TIME.alias("timestamp"),
        _EPOCH.alias("timestamp"),
        pl.col("timestamp") + _CENTURY,
        (-pl.col("quantity") - 1).alias("quantity"),
    ),
    "subscriptions": (
        _NULL_TEXT.alias("account_id"),
        pl.lit("acc_unknown").alias("account_id"),
        pl.lit(-5.0).alias("licensed_seats"),
        pl.lit("active").alias("status"),
        _NULL_TIME.alias("effective_date"),
    ),
    "accounts": (_NULL_TEXT.alias("account_id"),),
    "users": (
        _NULL_TEXT.alias("user_id"),
        pl.lit("").alias("account_id"),
    ),
}


def corrupt_rows(table: str, frame: pl.DataFrame, share: float, rng: Generator) -> pl.DataFrame:
    """Append malformed copies of a share of the rows, by kind of corruption."""
    mean_count = share * len(frame) / len(CORRUPTIONS[table])
    parts = [frame]
    for corruption in CORRUPTIONS[table]:
        copies = frame[rng.integers(0, len(frame), rng.poisson(mean_count))]
        parts.append(copies.with_columns(corruption))
    return pl.concat(parts)
