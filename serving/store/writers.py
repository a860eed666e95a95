"""Write a ranked list to the database: the run, and one score row per account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.store.engine import PreEncodedJson
from serving.store.queries import is_on_previous_list
from serving.store.schema import ACCOUNT_DETAILS, LIST_INDEX, RUNS, SCORE_COLUMNS, SCORES
from serving.store.upsert import bulk_insert

__all__ = [
    "find_unlisted_accounts",
    "insert_run",
    "replace_account_details",
    "replace_list_index",
    "replace_scores",
]

_NAME_COLUMNS: Final = ("account_id", "name", "csm")


def insert_run(
    connection: sa.Connection,
    as_of: date,
    *,
    model: str,
    record: Mapping[str, Any],
    finished_at: datetime,
) -> int:
    """Insert a run and return its id."""
    values = {"as_of": as_of, "finished_at": finished_at, "model": model, "record": dict(record)}
    number: int = connection.execute(
        sa.insert(RUNS).values(values).returning(RUNS.c.id)
    ).scalar_one()
    return number


def find_unlisted_accounts(
    connection: sa.Connection, listed_rows: pl.DataFrame, not_listed: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """Return accounts that are not on a list, with the reason, including those gone since the last.

    ``not_listed`` has ``account_id``, ``name``, ``csm`` and ``reason``; the result has ``note``
    instead of ``reason``, ordered by account.
    """
    names = sa.select(*(SCORES.c[name] for name in _NAME_COLUMNS))
    previous = map(tuple, connection.execute(names.where(is_on_previous_list(as_of))))
    known_reasons = not_listed.select(*_NAME_COLUMNS, note="reason").cast(pl.String)
    missing = (
        pl.DataFrame(list(previous), schema=dict.fromkeys(_NAME_COLUMNS, pl.String), orient="row")
        .join(listed_rows, on="account_id", how="anti")
        .join(known_reasons, on="account_id", how="anti")
        .with_columns(note=pl.lit("unknown account"))
    )
    return pl.concat([known_reasons, missing]).sort("account_id")


def replace_scores(
    connection: sa.Connection, listed_rows: pl.DataFrame, not_listed: pl.DataFrame, as_of: date
) -> None:
    """Replace the score rows of every account as of a day.

    ``not_listed`` comes from :func:`find_unlisted_accounts`.
    """
    connection.execute(sa.delete(SCORES).where(SCORES.c.as_of == as_of))
    day = pl.lit(as_of).alias("as_of")
    names = [name for name in SCORE_COLUMNS if name in listed_rows.columns]
    scores = listed_rows.select("account_id", *names).with_columns(day)
    bulk_insert(connection, SCORES, map(_encode_contributions, scores.iter_rows(named=True)))
    bulk_insert(connection, SCORES, not_listed.with_columns(day).iter_rows(named=True))


def replace_list_index(
    connection: sa.Connection, listed_rows: pl.DataFrame, details: pl.DataFrame | None, as_of: date
) -> None:
    """Replace the list index, by which the page filters and sorts."""
    connection.execute(sa.delete(LIST_INDEX))
    names = [column.name for column in LIST_INDEX.c if column.name in listed_rows.columns]
    rows = listed_rows.select(*names).with_columns(as_of=pl.lit(as_of))
    if details is not None:
        segments = details.select("account_id", "segment")
        rows = rows.join(segments, on="account_id", how="left", maintain_order="left")
    bulk_insert(connection, LIST_INDEX, rows.iter_rows(named=True))


def replace_account_details(
    connection: sa.Connection, details: pl.DataFrame | None, as_of: date
) -> None:
    """Replace the details that the page shows of each account."""
    connection.execute(sa.delete(ACCOUNT_DETAILS))
    if details is not None:
        rows = details.with_columns(pl.lit(as_of).alias("as_of")).iter_rows(named=True)
        encoded_rows = ({**row, "payload": PreEncodedJson(row["payload"])} for row in rows)
        bulk_insert(connection, ACCOUNT_DETAILS, encoded_rows)


def _encode_contributions(row: dict[str, Any]) -> dict[str, Any]:
    row["contributions"] = PreEncodedJson(row["contributions"])
    return row
