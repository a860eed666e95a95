"""Enter a list into the database: the run, and the line of every account on it or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.state.database import Encoded
from serving.state.schema import BOOKS, LINE, PORTRAITS, RUNS, SCORES

__all__ = ["books", "insert", "left_out", "lines", "newest_run", "portraits", "run"]

_ROWS_AT_ONCE: Final = 5_000
_NAMED: Final = ("account_id", "name", "csm")


def newest_run(connection: sa.Connection) -> date | None:
    """As-of of the list that is in force."""
    found: date | None = connection.scalar(sa.select(sa.func.max(RUNS.c.as_of)))
    return found


def run(
    connection: sa.Connection,
    as_of: date,
    *,
    model: str,
    record: Mapping[str, Any],
    finished_at: datetime,
) -> int:
    """Enter a run, and give its number."""
    values = {"as_of": as_of, "finished_at": finished_at, "model": model, "record": dict(record)}
    number: int = connection.execute(
        sa.insert(RUNS).values(values).returning(RUNS.c.id)
    ).scalar_one()
    return number


def left_out(
    connection: sa.Connection, listed: pl.DataFrame, left: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """Say who is not on a list, and why; also who stood on the last one and is known no more.

    Parameters
    ----------
    listed : polars.DataFrame
        Has ``account_id``.
    left : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``reason``.
    as_of : datetime.date
        Of the list.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``note``, by account.
    """
    last = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.as_of < as_of).scalar_subquery()
    query = sa.select(*(SCORES.c[name] for name in _NAMED)).where(SCORES.c.as_of == last)
    before = [tuple(row) for row in connection.execute(query)]
    told = left.select(*_NAMED, note="reason").cast(pl.String)
    gone = (
        pl.DataFrame(before, schema=dict.fromkeys(_NAMED, pl.String), orient="row")
        .join(listed, on="account_id", how="anti")
        .join(told, on="account_id", how="anti")
        .with_columns(note=pl.lit("unknown account"))
    )
    return pl.concat([told, gone]).sort("account_id")


def lines(connection: sa.Connection, listed: pl.DataFrame, left: pl.DataFrame, as_of: date) -> None:
    """Enter the line of every account as of a day, in place of those that were there.

    ``left`` is as :func:`left_out` gives it.
    """
    connection.execute(sa.delete(SCORES).where(SCORES.c.as_of == as_of))
    day = pl.lit(as_of).alias("as_of")
    names = [name for name in LINE if name in listed.columns]
    told = listed.select("account_id", *names).with_columns(day)
    insert(connection, SCORES, map(_marked, told.iter_rows(named=True)))
    insert(connection, SCORES, left.with_columns(day).iter_rows(named=True))


def books(
    connection: sa.Connection, listed: pl.DataFrame, drawn: pl.DataFrame | None, as_of: date
) -> None:
    """Enter what the page filters and orders by, in place of all that was there."""
    connection.execute(sa.delete(BOOKS))
    names = [column.name for column in BOOKS.c if column.name in listed.columns]
    rows = listed.select(*names).with_columns(as_of=pl.lit(as_of))
    if drawn is not None:
        segments = drawn.select("account_id", "segment")
        rows = rows.join(segments, on="account_id", how="left", maintain_order="left")
    insert(connection, BOOKS, rows.iter_rows(named=True))


def portraits(connection: sa.Connection, drawn: pl.DataFrame | None, as_of: date) -> None:
    """Enter what the page draws of each account, in place of all that was there."""
    connection.execute(sa.delete(PORTRAITS))
    if drawn is not None:
        rows = drawn.with_columns(pl.lit(as_of).alias("as_of")).iter_rows(named=True)
        told = ({**row, "told": Encoded(row["told"])} for row in rows)
        insert(connection, PORTRAITS, told)


def insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows, some thousands at once."""
    for part in _parts(rows):
        connection.execute(sa.insert(table), part)


def _marked(row: dict[str, Any]) -> dict[str, Any]:
    row["contributions"] = Encoded(row["contributions"])
    return row


def _parts(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while part := list(islice(left, _ROWS_AT_ONCE)):
        yield part
