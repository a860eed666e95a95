"""Partition profile from a first pass, cached as JSON: time range, row counts, reject reasons."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from data import schemas
from data.ingest.files import translate_source_errors
from data.ingest.mapping import MappedTable
from data.ingest.table_loader import Partition
from data.io.atomic import atomic_write
from features.activity import cache
from features.activity.deduplication import PartitionSpan

__all__ = [
    "PROFILE_SCHEMA",
    "PartitionProfile",
    "build_profile_plan",
    "load_profiles",
    "profile_partition",
    "profile_to_json",
]

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


@dataclass(frozen=True)
class PartitionProfile:
    """Profile of a partition from one pass over its rows; no span without valid events."""

    file: Path
    row_count: int
    machine_events: int
    reject_counts: Mapping[str, int]
    has_ids: bool
    span: PartitionSpan | None

    @classmethod
    def from_json(
        cls, file: Path, partition: Partition, payload: Mapping[str, Any]
    ) -> "PartitionProfile":
        """Restore a profile from its cached form: see :func:`profile_to_json`."""
        span = None
        if payload["first"]:
            first, last = (datetime.fromisoformat(payload[end]) for end in ("first", "last"))
            span = PartitionSpan(partition, payload["rows"], first, last)
        return cls(
            file,
            payload["rows"],
            payload["machine_events"],
            payload["reject_counts"],
            payload["has_ids"],
            span,
        )


def load_profiles(
    partitions: Sequence[Partition],
    folder: Path,
    compute: Callable[[Sequence[Partition]], Iterable[dict[str, Any]]],
    *,
    rebuild: bool,
) -> list[PartitionProfile]:
    """Load the partitions' profiles from the cache folder, or compute and cache them."""
    files = [
        cache.CacheEntry(
            folder,
            cache.hash_strings(partition.name),
            "any",
            cache.hash_strings(partition.identity),
        ).file("profile.json")
        for partition in partitions
    ]
    payloads = [None if rebuild else _read_json(file) for file in files]
    # Future events depend on the current day, so such a profile is computed again.
    missing = [
        position
        for position, payload in enumerate(payloads)
        if not payload or schemas.FUTURE_TIMESTAMP in payload["reject_counts"]
    ]
    profiled = compute([partitions[position] for position in missing])
    for position, payload in zip(missing, profiled, strict=True):
        payloads[position] = payload
        atomic_write(files[position], partial(Path.write_text, data=json.dumps(payload)))
    return [
        PartitionProfile.from_json(file, partition, payload)
        for file, partition, payload in zip(files, partitions, payloads, strict=True)
        if payload
    ]


def profile_partition(partition: Partition) -> dict[str, Any]:
    """Read a partition once; return its profile as JSON values."""
    with translate_source_errors(partition.name):
        rows = build_profile_plan(partition.mapped).collect(engine="streaming")
    return profile_to_json(rows.rows(named=True))


def build_profile_plan(mapped: MappedTable) -> pl.LazyFrame:
    """Count rows by reject reason, under ``PROFILE_SCHEMA``; counts of parts may be added up."""
    return (
        mapped.with_reject_reason()
        .group_by("reason")
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
    """Return a partition's profile as JSON values."""
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


def _read_json(file: Path) -> dict[str, Any] | None:
    """Return a cached profile, or None if it is missing or damaged."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
