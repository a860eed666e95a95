"""The embedded CRM: tables in the one SQL database, which pages and BI tools read.

It is asked what any CRM is asked, so all that delivery promises can be seen here without one. What
the tables hold stands in :mod:`serving.crm.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from serving import state
from serving.crm import rows
from serving.crm.tables import ACCOUNTS, OPPORTUNITIES, TABLES, TASKS
from serving.crm.target import (
    Accepted,
    Answer,
    BatchRefused,
    Change,
    Denied,
    Fields,
    Finding,
    Found,
    Kind,
    Pace,
    Ref,
    Refused,
    Transient,
    Value,
    Worked,
)
from serving.outbox.objects import shape_fields

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["Sql", "target"]

# PostgreSQL: conflict, deadlock, lock, cancelled, no connection left; and classes of them: the
# connection, and a server that shuts down.
_LATER: Final = ("40001", "40P01", "55P03", "57014", "53300", "08", "57P")


def target(settings: Settings) -> Sql:
    """Open the embedded CRM of the settings.

    Raises
    ------
    data.errors.DeliveryError
        If its database cannot be opened.
    """
    return Sql(state.open(settings.crm_url))


class Sql:
    """The embedded CRM behind one connection pool: a :class:`serving.crm.target.Target`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"Sql({self._engine.url.render_as_string(hide_password=True)})"

    @property
    def name(self) -> str:
        """The name of the target."""
        return "sql"

    @property
    def pace(self) -> Pace:
        """How fast it may be asked: a thousand rows are one transaction of a few milliseconds."""
        return Pace(rows_per_call=1_000)

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as the tables give them back."""
        return shape_fields(kind, fields)

    def read(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give what stands there, or what a human opened at the account for that limit."""
        if not refs:
            return []
        kind = refs[0].kind
        with _sorted_out(), self._engine.connect() as connection:
            standing = rows.meant(connection, refs)
            if kind == "opportunity":
                standing = rows.or_adoptable(connection, refs, standing)
        return [None if row is None else _found(kind, row) for row in standing]

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        """Set fields in one transaction; a key that is there already is not made again."""
        if not changes:
            return []
        try:
            with _sorted_out(), self._writing() as connection:
                return _written(connection, changes)
        except BatchRefused as error:
            if len(changes) == 1:
                return [Refused(str(error))]
            raise

    def check(self, accounts: Sequence[Ref]) -> list[Finding]:
        """Look whether the tables can be written; accounts get their rows with the first list."""
        tables = self._can_be_written()
        there: set[str] = set()
        if tables.well:
            with _sorted_out(), self._engine.connect() as connection:
                there = set(connection.scalars(sa.select(ACCOUNTS.c.account_id)))
        without = [ref.key for ref in accounts if ref.key not in there]
        told = f"{len(accounts) - len(without):,} have a row, {len(without):,} get one"
        return [tables, Finding("accounts", well=True, words=told, examples=tuple(without[:3]))]

    def setup(self) -> list[str]:
        """Nothing is left to do: the tables were made when the database was opened."""
        return []

    def worked(self, since: date) -> list[Worked]:
        """Tell which tasks of ours humans did, and which opportunities they moved or closed."""
        moved = sa.func.coalesce(OPPORTUNITIES.c.closed_on, OPPORTUNITIES.c.moved_on)
        done = sa.select(
            TASKS.c.account_id, TASKS.c.done_on.label("day"), sa.literal("task done").label("how")
        ).where(TASKS.c.key.is_not(None), TASKS.c.done_on >= since)
        carried = sa.select(
            OPPORTUNITIES.c.account_id, moved, sa.literal("opportunity moved")
        ).where(moved >= since)
        both = sa.union(done, carried).order_by("account_id", "day", "how")
        with _sorted_out(), self._engine.connect() as connection:
            return [Worked(*row) for row in connection.execute(both)]

    def close(self) -> None:
        """Let go of connections."""
        self._engine.dispose()

    def _can_be_written(self) -> Finding:
        """Set nothing at no row, which needs the same rights as a write."""
        try:
            with _sorted_out(), self._writing() as connection:
                for table in TABLES.values():
                    connection.execute(sa.update(table).where(sa.false()).values(motion=None))
        except Denied as error:
            return Finding("tables", well=False, words=f"{error}; let us read and write them")
        return Finding("tables", well=True, words=", ".join(t.name for t in TABLES.values()))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(writes=True).begin() as connection:
            yield connection


def _found(kind: Kind, row: rows.Row) -> Found:
    if kind == "account":
        return Found(row["account_id"], rows.told(kind, row))
    return Found(str(row["id"]), rows.told(kind, row), ours=row["key"] is not None)


def _written(connection: sa.Connection, changes: Sequence[Change]) -> list[Answer]:
    kind = changes[0].ref.kind
    put = rows.put(connection, changes)
    if kind == "account":
        return [Accepted(row["account_id"]) for row in put]
    made = rows.ids_of(connection, TABLES[kind], [row["key"] for row in put if "id" not in row])
    return [Accepted(str(row["id"] if "id" in row else made[row["key"]])) for row in put]


@contextmanager
def _sorted_out() -> Iterator[None]:
    """Tell what may work later from what never will, and that from what is in the rows."""
    try:
        yield
    except OverflowError as error:
        raise BatchRefused(str(error)) from error
    except DBAPIError as error:
        words = str(error.orig).strip().partition("\n")[0]
        if _may_pass(error):
            raise Transient(words) from error
        if isinstance(error, DataError | IntegrityError):
            raise BatchRefused(words) from error
        raise Denied(f"the database refused: {words}") from error


def _may_pass(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return str(code).startswith(_LATER)
    words = str(error.orig)
    lost = "connect" in words and "unable to open" not in words
    return error.connection_invalidated or lost or "locked" in words or "busy" in words
