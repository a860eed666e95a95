"""The embedded CRM: tables in one SQL database that a BI tool can read.

``accounts`` holds what is true now, one row per account; ``scores`` every list ever written;
``runs`` how each came about. One run is one transaction: all of it is there, or none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from data.errors import DeliveryError
from serving.score import Scored

__all__ = ["FIELDS", "Crm", "Written", "connect"]

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
    "readiness_date": sa.Date,
    "expected_date": sa.Date,
    "expected_early": sa.Date,
    "expected_late": sa.Date,
    "probability_180d": sa.Float,
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
_ids = sa.select(_ACCOUNTS.c.account_id)


@dataclass(frozen=True)
class Written:
    """What a run changed: accounts listed, blanked, and left alone because newer is there."""

    listed: int
    blanked: int
    newer: int


class Crm:
    """The embedded CRM behind one database connection pool."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def write(
        self, scored: Scored, as_of: date, *, record: Mapping[str, Any], finished_at: datetime
    ) -> Written:
        """Write a list and its run record, in one transaction.

        Safe to repeat: a second run for one as-of replaces the first, and an account that carries
        a newer as-of keeps it. An account that left the list is blanked, with the reason.

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
            blanked = self._blank(connection, scored, as_of)
            listed = [row["account_id"] for row in rows]
            _delete_older(connection, listed, as_of)
            newer = set(
                connection.scalars(
                    sa.select(_ACCOUNTS.c.account_id).where(_ACCOUNTS.c.as_of > as_of)
                )
            )
            _insert(connection, _ACCOUNTS, [r for r in rows if r["account_id"] not in newer])
            connection.execute(
                sa.insert(_RUNS).values(
                    as_of=as_of,
                    finished_at=finished_at,
                    model=rows[0]["model"],
                    record=dict(record),
                )
            )
        kept = len(newer.intersection(listed))
        return Written(len(rows) - kept, blanked, kept)

    def newest(self) -> date | None:
        """As-of of the list that is in force, or None before the first run."""
        with _told(), self._engine.connect() as connection:
            newest: date | None = connection.scalar(sa.select(sa.func.max(_ACCOUNTS.c.as_of)))
        return newest

    def listed(self) -> list[dict[str, Any]]:
        """Every account on the list in force, by rank."""
        query = sa.select(_ACCOUNTS).where(_ACCOUNTS.c.rank.is_not(None)).order_by(_ACCOUNTS.c.rank)
        with _told(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def account(self, name: str) -> dict[str, Any] | None:
        """One account in full, by its id or its name, or None."""
        either = sa.or_(
            _ACCOUNTS.c.account_id == name, sa.func.lower(_ACCOUNTS.c.name) == name.lower()
        )
        with _told(), self._engine.connect() as connection:
            found = (
                connection.execute(
                    sa.select(_ACCOUNTS).where(either).order_by(_ACCOUNTS.c.account_id)
                )
                .mappings()
                .first()
            )
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

    def last_run(self) -> dict[str, Any] | None:
        """The record of the last run, or None before the first."""
        query = sa.select(_RUNS).order_by(_RUNS.c.id.desc())
        with _told(), self._engine.connect() as connection:
            found = connection.execute(query).mappings().first()
        return dict(found) if found else None

    def _blank(self, connection: sa.Connection, scored: Scored, as_of: date) -> int:
        """Blank the accounts that are no longer on the list, so that no old number stands."""
        reasons = dict(scored.left.select("account_id", "reason").iter_rows())
        standing = connection.scalars(_ids.where(_ACCOUNTS.c.as_of <= as_of))
        gone = sorted(set(standing).difference(scored.accounts["account_id"]))
        _delete_older(connection, gone, as_of)
        blank = [
            {"account_id": account, "as_of": as_of, "note": reasons.get(account, "unknown account")}
            for account in gone
        ]
        _insert(connection, _ACCOUNTS, blank)
        return len(gone)


def connect(url: str) -> Crm:
    """Open the embedded CRM, making its tables where they are missing.

    Raises
    ------
    data.errors.DeliveryError
        If the database cannot be reached.
    """
    with _told():
        engine = sa.create_engine(url)
        _METADATA.create_all(engine)
    return Crm(engine)


class _told:  # noqa: N801 - reads as a verb: ``with _told():``
    """Turn a database's complaint into one sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError):
            first = str(error.orig).splitlines()[0]
            raise DeliveryError(
                f"the CRM database refused: {first}; nothing of this run was written. Mend it and"
                " run again."
            ) from error
        if isinstance(error, NoSuchModuleError | ModuleNotFoundError | sa.exc.ArgumentError):
            raise DeliveryError(
                f"crm.url names a database we have no driver for ({error}); for PostgreSQL:"
                " pip install 'expansion-propensity[postgres]'."
            ) from error


def _rows(scored: Scored, as_of: date) -> list[dict[str, Any]]:
    names = [name for name in FIELDS if name in scored.accounts.columns]
    rows = scored.accounts.select("account_id", *names).with_columns(as_of=pl.lit(as_of))
    listed = rows.rows(named=True)
    for row in listed:
        row["contributions"] = json.loads(row["contributions"])
    return listed


def _delete_older(connection: sa.Connection, accounts: list[str], as_of: date) -> None:
    older = sa.delete(_ACCOUNTS).where(
        _ACCOUNTS.c.as_of <= as_of, _ACCOUNTS.c.account_id == sa.bindparam("account")
    )
    if accounts:
        connection.execute(older, [{"account": account} for account in accounts])


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)
