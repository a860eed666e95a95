"""Partition profile from a first pass: time range, row counts and reject reasons."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

__all__ = ["PROFILE_SCHEMA", "build_profile_plan", "profile_to_json"]

# One row per reason, and one with a null reason for the valid rows.
PROFILE_SCHEMA: Final = pl.Schema(
    {
        "reason": pl.String(),
        "rows": pl.Int64(),
        "machine_events": pl.Int64(),
        "first": pl.Datetime("us", "UTC"),
        "last": pl.Datetime("us", "UTC"),
        "ids": pl.Int64(),
    }
)


def build_profile_plan(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Count rows by reject reason.

    Parameters
    ----------
    rows : polars.LazyFrame
        From :meth:`data.ingest.table_loader.Partition.with_reject_reason`.

    Returns
    -------
    polars.LazyFrame
        Under ``PROFILE_SCHEMA``; the counts of parts of a partition may be added up.
    """
    return (
        rows.group_by("reason")
        .agg(
            rows=pl.len(),
            machine_events=pl.col("user_id").is_null().sum(),
            first=pl.col("timestamp").min(),
            last=pl.col("timestamp").max(),
            ids=pl.col("event_id").count(),
        )
        .cast(PROFILE_SCHEMA)
    )


def profile_to_json(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a partition's profile as a JSON-serializable dictionary."""
    row_by_reason = {row["reason"]: row for row in rows}
    valid = row_by_reason.pop(None, None)
    reject_counts = {reason: row["rows"] for reason, row in sorted(row_by_reason.items())}
    valid_count = valid["rows"] if valid else 0
    return {
        "rows": valid_count + sum(reject_counts.values()),
        "machine_events": valid["machine_events"] if valid else 0,
        "reject_counts": reject_counts,
        "first": valid["first"].isoformat() if valid else None,
        "last": valid["last"].isoformat() if valid else None,
        "has_ids": bool(valid and valid["ids"]),
    }
