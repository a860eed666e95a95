"""Validation of the small tables: deduplication, conflicting rows and the quarantine limit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from data import schemas
from data.ingest import timestamps
from data.ingest.files import translate_source_errors
from data.ingest.mapping import MappedTable, RawTable

__all__ = ["reject_naive_timestamps", "validate_table"]

ZERO_SEATS_NOTE: Final = "licensed_seats of 0 read as no seat limit"


def validate_table(
    table: str,
    mapped_tables: Sequence[tuple[RawTable, MappedTable]],
    known_accounts: pl.Series | None,
    max_share: float,
) -> schemas.ValidatedTable:
    """Validate and deduplicate the mapped files of a small table; sort its rows by key.

    Rows that are equal in every column count once. Rows that conflict on a key are all
    rejected, because the correct one is unknown. ``known_accounts`` is None for the accounts table
    itself, ``max_share`` the largest share of rows in quarantine.

    Raises ``ContractError`` if timestamps are naive, or too many rows are invalid.
    """
    if not mapped_tables:
        return schemas.ValidatedTable(schemas.TABLES[table].create_empty(), {}, 0)
    counts: Counter[str] = Counter()
    parts = []
    for raw, mapped in mapped_tables:
        known_rows = mapped
        if known_accounts is not None:
            is_unknown = ~pl.col("account_id").is_in(known_accounts.implode())
            known_rows = mapped.with_rule(schemas.UNKNOWN_ACCOUNT, is_unknown)
        with translate_source_errors(f"{table}: {raw.name}"):
            parts.append(known_rows.valid_rows().collect())
            rejects = known_rows.count_rejects()
        reject_naive_timestamps(table, rejects)
        counts.update(rejects)
    rows = pl.concat(parts, how="diagonal_relaxed")
    row_count = rows.height + counts.total()
    rows, duplicates = _drop_duplicates(table, rows)
    quarantine = {**counts, **duplicates}
    schemas.enforce_quarantine_limit(table, row_count, quarantine, max_share)
    rows, notes = _null_zero_seats(rows) if table == "subscriptions" else (rows, {})
    return schemas.ValidatedTable(_sort_rows(table, rows), quarantine, row_count, notes)


def reject_naive_timestamps(table: str, rejects: Mapping[str, int]) -> None:
    """Raise if any timestamp has no time zone."""
    for reason in rejects:
        if reason.endswith(timestamps.NO_TIME_ZONE):
            raise timestamps.naive_timestamp_error(table, reason.split()[0])


def _drop_duplicates(table: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    distinct = rows.unique()
    counts = {schemas.DUPLICATE_ROW: rows.height - distinct.height}
    for key in schemas.TABLES[table].primary_key():
        unique_rows = distinct.filter(~pl.col(key).is_duplicated())
        counts[f"{schemas.CONFLICTING_ROWS} {key}"] = distinct.height - unique_rows.height
        distinct = unique_rows
    return distinct, {reason: number for reason, number in counts.items() if number}


def _null_zero_seats(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Replace 0 licensed seats by null: the contract has no seat limit."""
    zero_seats = pl.col("licensed_seats") == 0
    count = rows.select(zero_seats.sum()).item()
    amended = rows.with_columns(pl.when(~zero_seats).then("licensed_seats").alias("licensed_seats"))
    return amended, {ZERO_SEATS_NOTE: count} if count else {}


def _sort_rows(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    if keys := schemas.TABLES[table].primary_key():
        return rows.sort(keys)
    leading = ["account_id", "effective_date", "known_at"]
    return rows.sort(*leading, *(name for name in rows.columns if name not in leading))
