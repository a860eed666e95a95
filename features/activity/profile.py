"""What a first pass over a partition tells: its span, and what is wrong with its rows."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

__all__ = ["PROFILE_SCHEMA", "profile_plan", "profile_to_json"]

# One row per reason, and one without reason for the valid rows.
PROFILE_SCHEMA: Final = pl.Schema(
    {
        "reason": pl.String(),
        "rows": pl.Int64(),
        "machine": pl.Int64(),
        "first": pl.Datetime("us", "UTC"),
        "last": pl.Datetime("us", "UTC"),
        "ids": pl.Int64(),
    }
)


def profile_plan(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Count judged rows by the reason for which they are in quarantine.

    Parameters
    ----------
    rows : polars.LazyFrame
        From :meth:`data.ingest.table_loader.Partition.with_reject_reason`.

    Returns
    -------
    polars.LazyFrame
        Under ``SCHEMA``; the counts of parts of a partition may be added up.
    """
    return (
        rows.group_by("reason")
        .agg(
            rows=pl.len(),
            machine=pl.col("user_id").is_null().sum(),
            first=pl.col("timestamp").min(),
            last=pl.col("timestamp").max(),
            ids=pl.col("event_id").count(),
        )
        .cast(PROFILE_SCHEMA)
    )


def profile_to_json(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Say of a whole partition what is kept about it, in words that JSON has."""
    found = {row["reason"]: row for row in rows}
    valid = found.pop(None, None)
    faults = {reason: row["rows"] for reason, row in sorted(found.items())}
    sound = valid["rows"] if valid else 0
    return {
        "seen": sound + sum(faults.values()),
        "machine": valid["machine"] if valid else 0,
        "faults": faults,
        "first": valid["first"].isoformat() if valid else None,
        "last": valid["last"].isoformat() if valid else None,
        "has_ids": bool(valid and valid["ids"]),
    }
