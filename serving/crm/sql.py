"""The embedded CRM: tables in one SQL database that a BI tool can read.

``accounts`` holds what is true now, one row per account; ``scores`` every list ever written;
``runs`` how each came about. One run is one transaction: all of it is there, or none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from data.errors import DeliveryError

if TYPE_CHECKING:
    from serving.score import Scored

__all__ = ["FIELDS", "Crm", "Written", "connect", "place"]

_METADATA: Final = sa.MetaData()
# What a CSM can see on the account; the README describes them.
_TYPES: Final[Mapping[str, Any]] = {
    "rank": sa.Integer,
    "name": sa.String,
    "csm": sa.String,
    "expansion_signal": sa.String,
    "probability": sa.Float,
    "low": sa.Float,
    "high": sa.Float,
    "band": sa.String,
    "readiness_date": sa.Date,
    "expected_date": sa.Date,
    "expected_early": sa.Date,
    "expected_late": sa.Date,
    "probability_180d": sa.Float,
    "expected_arr": sa.Float,
    "churn_probability": sa.Float,
    "limit": sa.String,
    "tier": sa.Integer,
    "motion": sa.String,
    "signals": sa.JSON,
    "active_seats": sa.Integer,
    "licensed_seats": sa.Integer,
    "seat_utilization": sa.Float,
    "margin": sa.Float,
    "base": sa.Float,
    "contributions": sa.JSON,
    "model": sa.String,
    "note": sa.String,
}
FIELDS: Final = tuple(_TYPES)


def _columns() -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=True) for name, kind in _TYPES.items()]


_RUNS = sa.Table(
    "runs",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
)
_ACCOUNTS = sa.Table(
    "accounts",
    _METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("as_of", sa.Date, nullable=False, index=True),
    *_columns(),
)
_SCORES = sa.Table(
    "scores",
    _METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("as_of", sa.Date, primary_key=True),
    *_columns(),
)
_NEWEST: Final = sa.select(sa.func.max(_ACCOUNTS.c.as_of))


@dataclass(frozen=True)
class Written:
    """Accounts on the list, accounts with the reason why not, and those beside a newer list."""

    listed: int
    unlisted: int
    newer: int


class Crm:
    """The embedded CRM behind one database connection pool."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def write(
        self, scored: Scored, as_of: date, *, record: Mapping[str, Any], finished_at: datetime
    ) -> Written:
        """Write a list and its run record, in one transaction.

        Safe to repeat: a second run for one as-of replaces the first, and beside a newer list an
        older one is kept among the scores only. An account that is not on the list has no
        figures, but the reason why.

        Parameters
        ----------
        scored : serving.score.Scored
            The list.
        as_of : datetime.date
            Its as-of.
        record : mapping
            JSON values: data window, counts, quarantine.
        finished_at : datetime.datetime
            The clock, UTC.

        Returns
        -------
        Written
            Counts of accounts.

        Raises
        ------
        data.errors.DeliveryError
            If the database refuses; nothing is written then.
        """
        rows = _rows(scored, as_of)
        with _told(), self._engine.begin() as connection:
            # The deletes come first: they take the write lock before anything is compared.
            connection.execute(sa.delete(_SCORES).where(_SCORES.c.as_of == as_of))
            _insert(connection, _SCORES, rows)
            newest = connection.scalar(_NEWEST)
            if newest is None or newest <= as_of:
                gone = _gone(connection, scored, as_of)
                # Should a newer list have come this moment, its rows stay and ours are refused.
                connection.execute(sa.delete(_ACCOUNTS).where(_ACCOUNTS.c.as_of <= as_of))
                _insert(connection, _ACCOUNTS, rows)
                _insert(connection, _ACCOUNTS, gone)
                written = Written(len(rows), len(gone), 0)
            else:
                written = Written(0, 0, len(rows))
            connection.execute(
                sa.insert(_RUNS).values(
                    as_of=as_of,
                    finished_at=finished_at,
                    model=rows[0]["model"],
                    record=dict(record),
                )
            )
        return written

    def newest(self) -> date | None:
        """As-of of the list that is in force, or None before the first run."""
        with _told(), self._engine.connect() as connection:
            newest: date | None = connection.scalar(_NEWEST)
        return newest

    def listed(self) -> list[dict[str, Any]]:
        """Every account on the list in force, by rank."""
        query = sa.select(_ACCOUNTS).where(_ACCOUNTS.c.rank.is_not(None)).order_by(_ACCOUNTS.c.rank)
        with _told(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def account(self, name: str) -> dict[str, Any] | None:
        """One account in full, by its id or its name, or None."""
        by_id, by_name = _ACCOUNTS.c.account_id == name, _ACCOUNTS.c.name == name
        any_case = sa.func.lower(_ACCOUNTS.c.name) == name.lower()
        # A name may be another account's id, and SQLite lowers A to Z only.
        closest = sa.case((by_id, 0), (by_name, 1), else_=2)
        query = (
            sa.select(_ACCOUNTS)
            .where(sa.or_(by_id, by_name, any_case))
            .order_by(closest, _ACCOUNTS.c.account_id)
        )
        with _told(), self._engine.connect() as connection:
            found = connection.execute(query).mappings().first()
        return dict(found) if found else None

    def past(self, account_id: str) -> list[dict[str, Any]]:
        """Rank and probability of an account on every list, oldest first."""
        query = (
            sa.select(_SCORES.c.as_of, _SCORES.c.rank, _SCORES.c.probability)
            .where(_SCORES.c.account_id == account_id)
            .order_by(_SCORES.c.as_of)
        )
        with _told(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def last_run(self, as_of: date | None = None) -> dict[str, Any] | None:
        """The record of the last run, of all or of one as-of; None where there was none."""
        query = sa.select(_RUNS).order_by(_RUNS.c.id.desc())
        if as_of is not None:
            query = query.where(_RUNS.c.as_of == as_of)
        with _told(), self._engine.connect() as connection:
            found = connection.execute(query).mappings().first()
        return dict(found) if found else None


def connect(url: str) -> Crm:
    """Open the embedded CRM, making its tables where they are missing.

    Raises
    ------
    data.errors.DeliveryError
        If the database cannot be reached.
    """
    with _told():
        engine = sa.create_engine(url)
        _make_folder(engine.url)
        _METADATA.create_all(engine)
    return Crm(engine)


def place(url: str) -> str:
    """Say where the embedded CRM is, without the password."""
    return sa.make_url(url).render_as_string(hide_password=True)


def _make_folder(url: sa.URL) -> None:
    """SQLite makes its file, but not the folder of it; what cannot be made, it tells itself."""
    file = url.database or ":memory:"
    if url.get_backend_name() == "sqlite" and not file.startswith((":", "file:")):
        with suppress(OSError):
            Path(file).parent.mkdir(parents=True, exist_ok=True)


class _told:  # noqa: N801 - reads as a verb: ``with _told():``
    """Turn a database's complaint into one sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError):
            first = str(error.orig).strip().partition("\n")[0]
            raise DeliveryError(
                f"the CRM database refused: {first}; nothing of this run was written. Mend it and"
                " run again."
            ) from error
        if isinstance(error, NoSuchModuleError | ModuleNotFoundError | sa.exc.ArgumentError):
            raise DeliveryError(
                f"crm.url names a database we have no driver for ({error}); for PostgreSQL:"
                " pip install '.[postgres]'."
            ) from error


def _rows(scored: Scored, as_of: date) -> list[dict[str, Any]]:
    names = [name for name in FIELDS if name in scored.accounts.columns]
    rows = scored.accounts.select("account_id", *names).with_columns(as_of=pl.lit(as_of))
    listed = rows.rows(named=True)
    for row in listed:
        row["contributions"] = json.loads(row["contributions"])
    return listed


def _gone(connection: sa.Connection, scored: Scored, as_of: date) -> list[dict[str, Any]]:
    """The accounts that are not on the list, blank, with the reason; no old number stands."""
    listed = set(scored.accounts["account_id"])
    standing = sa.select(_ACCOUNTS.c.account_id, _ACCOUNTS.c.name, _ACCOUNTS.c.csm)
    gone = {
        row["account_id"]: {**row, "note": "unknown account"}
        for row in connection.execute(standing.order_by(_ACCOUNTS.c.account_id)).mappings()
        if row["account_id"] not in listed
    }
    for row in scored.left.select("account_id", "name", "csm", "reason").iter_rows(named=True):
        known = {name: row[name] for name in ("account_id", "name", "csm")}
        gone[row["account_id"]] = {**known, "note": row["reason"]}
    return [{**row, "as_of": as_of} for row in gone.values()]


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)
