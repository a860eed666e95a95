"""Tables small enough to hold: checked at once, freed of repeats and of rows that contradict."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from data import schemas
from data.ingest import timestamps
from data.ingest.files import source_errors
from data.ingest.mapping import MappedTable

__all__ = ["reject_counts", "reject_naive_timestamps", "require_known_accounts", "validate_table"]

ZERO_SEATS_NOTE: Final = "licensed_seats of 0 read as no seats sold"


def validate_table(
    table: str,
    mapped_tables: Sequence[tuple[str, MappedTable]],
    known_accounts: pl.Series | None,
    max_share: float,
) -> schemas.ValidatedTable:
    """Bring a small table under contract.

    Rows that are equal in every column we keep count once. Rows that contradict each other about
    one key all leave the table, because nothing tells which of them is right.

    Parameters
    ----------
    table : str
        One of ``contracts.TABLES``.
    mapped_tables : sequence of (str, Arrival)
        Its files, by name.
    known_accounts : polars.Series or None
        The accounts that exist; None for the accounts themselves.
    max_share : float
        Largest share of rows in quarantine, in [0, 1].

    Returns
    -------
    contracts.Checked
        Rows sorted by key, then by all columns.

    Raises
    ------
    ContractError
        If times have no zone, or too many rows break the contract.
    """
    if not mapped_tables:
        return schemas.ValidatedTable(schemas.TABLES[table].create_empty(), {}, 0)
    quarantine: dict[str, int] = {}
    parts = []
    for name, arrival in mapped_tables:
        judged = (
            arrival if known_accounts is None else require_known_accounts(arrival, known_accounts)
        )
        with source_errors(f"{table}: {name}"):
            parts.append(judged.valid_rows().collect())
            found = reject_counts(judged)
        reject_naive_timestamps(table, found)
        quarantine = {why: quarantine.get(why, 0) + found.get(why, 0) for why in quarantine | found}
    rows = pl.concat(parts, how="diagonal_relaxed")
    seen = rows.height + sum(quarantine.values())
    rows, repeats = _drop_duplicates(table, rows)
    quarantine |= repeats
    schemas.enforce_quarantine_limit(table, seen, quarantine, max_share)
    rows, notes = _null_zero_seats(rows) if table == "subscriptions" else (rows, {})
    return schemas.ValidatedTable(_sort_rows(table, rows), quarantine, seen, notes)


def require_known_accounts(mapped: MappedTable, known_accounts: pl.Series) -> MappedTable:
    """Judge the rows also by whether their account exists."""
    return mapped.with_rule(
        schemas.UNKNOWN_ACCOUNT, ~pl.col("account_id").is_in(known_accounts.implode())
    )


def reject_counts(mapped: MappedTable) -> dict[str, int]:
    """Reason → rows, sorted by reason."""
    found = mapped.reject_counts().collect(engine="streaming")
    return dict(sorted(found.iter_rows()))


def reject_naive_timestamps(table: str, rejects: Mapping[str, int]) -> None:
    """Refuse a table when some of its times could mean any instant."""
    for why in rejects:
        if why.endswith(timestamps.NO_TIME_ZONE):
            raise timestamps.naive_timestamp_error(table, why.split()[0])


def _drop_duplicates(table: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    distinct = rows.unique()
    out = {schemas.DUPLICATE_ROW: rows.height - distinct.height}
    for key in schemas.TABLES[table].primary_key():
        single = distinct.filter(~pl.col(key).is_duplicated())
        out[f"{schemas.CONFLICTING_ROWS} {key}"] = distinct.height - single.height
        distinct = single
    return distinct, {why: number for why, number in out.items() if number}


def _null_zero_seats(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """A contract without seats is one that does not sell them, not one that is always full."""
    none_sold = pl.col("licensed_seats") == 0
    number = rows.select(none_sold.sum()).item()
    amended = rows.with_columns(pl.when(~none_sold).then("licensed_seats").alias("licensed_seats"))
    return amended, {ZERO_SEATS_NOTE: number} if number else {}


def _sort_rows(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    if keys := schemas.TABLES[table].primary_key():
        return rows.sort(keys)
    first = ["account_id", "effective_date", "known_at"]
    return rows.sort(*first, *(name for name in rows.columns if name not in first))
