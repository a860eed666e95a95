"""Tables small enough to hold: checked at once, freed of repeats and of rows that contradict."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from data import contracts, instants
from data.arrival import Arrival
from data.files import reading

__all__ = ["among", "check", "counts", "refuse_zoneless"]

NO_SEATS: Final = "licensed_seats of 0 read as no seats sold"


def check(
    table: str, arrivals: Sequence[tuple[str, Arrival]], known: pl.Series | None, max_share: float
) -> contracts.Checked:
    """Bring a small table under contract.

    Rows that are equal in every column we keep count once. Rows that contradict each other about
    one key all leave the table, because nothing tells which of them is right.

    Parameters
    ----------
    table : str
        One of ``contracts.TABLES``.
    arrivals : sequence of (str, Arrival)
        Its files, by name.
    known : polars.Series or None
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
    if not arrivals:
        return contracts.Checked(contracts.TABLES[table].create_empty(), {}, 0)
    quarantine: dict[str, int] = {}
    parts = []
    for name, arrival in arrivals:
        judged = arrival if known is None else among(arrival, known)
        with reading(f"{table}: {name}"):
            parts.append(judged.valid().collect())
            found = counts(judged)
        refuse_zoneless(table, found)
        quarantine = {why: quarantine.get(why, 0) + found.get(why, 0) for why in quarantine | found}
    rows = pl.concat(parts, how="diagonal_relaxed")
    seen = rows.height + sum(quarantine.values())
    rows, repeats = _settle(table, rows)
    quarantine |= repeats
    contracts.refuse_if_too_dirty(table, seen, quarantine, max_share)
    rows, notes = _without_zero_seats(rows) if table == "subscriptions" else (rows, {})
    return contracts.Checked(_sorted(table, rows), quarantine, seen, notes)


def among(arrival: Arrival, known: pl.Series) -> Arrival:
    """Judge the rows also by whether their account exists."""
    return arrival.also(contracts.UNKNOWN_ACCOUNT, ~pl.col("account_id").is_in(known.implode()))


def counts(arrival: Arrival) -> dict[str, int]:
    """Reason → rows, sorted by reason."""
    found = arrival.reasons().collect(engine="streaming")
    return dict(sorted(found.iter_rows()))


def refuse_zoneless(table: str, found: Mapping[str, int]) -> None:
    """Refuse a table when some of its times could mean any instant."""
    for why in found:
        if why.endswith(instants.NO_ZONE):
            raise instants.zoneless(table, why.split()[0])


def _settle(table: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    distinct = rows.unique()
    out = {contracts.REPEATED: rows.height - distinct.height}
    for key in contracts.TABLES[table].primary_key():
        single = distinct.filter(~pl.col(key).is_duplicated())
        out[f"{contracts.CONFLICTING} {key}"] = distinct.height - single.height
        distinct = single
    return distinct, {why: number for why, number in out.items() if number}


def _without_zero_seats(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """A contract without seats is one that does not sell them, not one that is always full."""
    none_sold = pl.col("licensed_seats") == 0
    number = rows.select(none_sold.sum()).item()
    amended = rows.with_columns(pl.when(~none_sold).then("licensed_seats").alias("licensed_seats"))
    return amended, {NO_SEATS: number} if number else {}


def _sorted(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    if keys := contracts.TABLES[table].primary_key():
        return rows.sort(keys)
    first = ["account_id", "effective_date", "known_at"]
    return rows.sort(*first, *(name for name in rows.columns if name not in first))
