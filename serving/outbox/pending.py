"""What is still to be sent: the rows of the outbox that differ from what was acknowledged last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from serving.crm.target import KINDS, Fields, Kind, Ref
from serving.outbox.merge import Attempted
from serving.state.schema import DELIVERED, OUTBOX, REJECTED

__all__ = ["Parents", "Row", "Scope", "count", "parents", "same_object", "window"]

_PARENTS_FIRST: Final = sa.case({kind: i for i, kind in enumerate(KINDS)}, value=OUTBOX.c.kind)
_ORDER: Final = (OUTBOX.c.place, _PARENTS_FIRST, OUTBOX.c.key)
_KEYS_AT_ONCE: Final = 5_000  # a database takes so many parameters and some more


@dataclass(frozen=True)
class Row:
    """One object of the outbox, beside what is known of its delivery."""

    kind: Kind
    key: str
    account_id: str
    limit: str | None
    as_of: date
    run_id: int
    place: int
    fields: Fields
    digest: str
    crm_id: str | None
    acknowledged: Fields
    settled: str | None  # the digest that was acknowledged last
    attempted: Attempted
    theirs: tuple[str, ...]
    adopted: bool
    refused: bool  # at another digest, or before a retry

    @property
    def position(self) -> tuple[int, int, str]:
        """Where it stands in the order of sending."""
        return self.place, KINDS.index(self.kind), self.key

    def ref(self, account_crm_id: str | None, opportunity_crm_id: str | None) -> Ref:
        """Name it to a target."""
        return Ref(
            self.kind,
            self.key,
            self.account_id,
            self.limit,
            self.crm_id,
            account_crm_id,
            opportunity_crm_id,
        )


@dataclass(frozen=True)
class Scope:
    """Which rows are meant: of one target, all or those that differ, of all runs or one."""

    target: str
    full: bool = False
    run_id: int | None = None


def window(
    connection: sa.Connection, scope: Scope, after: tuple[int, int, str] | None, rows: int
) -> list[Row]:
    """Give the next rows to be sent, by place, and parents first within one place."""
    query = _differing(scope, *_COLUMNS).order_by(*_ORDER).limit(rows)
    if after is not None:
        query = query.where(sa.tuple_(*_ORDER) > sa.tuple_(*map(sa.literal, after)))
    return [_row(found) for found in connection.execute(query).mappings()]


def count(connection: sa.Connection, scope: Scope) -> int:
    """How many rows are still to be sent, those that wait for a parent included."""
    query = _differing(scope, OUTBOX.c.key).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(query)) or 0


@dataclass(frozen=True)
class Parents:
    """The target's names of what rows hang on; ``awaited`` opportunities do not stand there yet."""

    accounts: Mapping[str, str]
    opportunities: Mapping[str, str]
    awaited: frozenset[str]

    def of(self, row: Row) -> tuple[str | None, str | None]:
        """The target's names of the row's account and opportunity."""
        if row.kind == "account":
            return None, None
        return self.accounts.get(row.account_id), self.opportunities.get(_opportunity(row))

    def has(self, row: Row) -> bool:
        """Whether all that the row hangs on stands at the target."""
        if row.kind == "account":
            return True
        return row.account_id in self.accounts and _opportunity(row) not in self.awaited


def parents(
    connection: sa.Connection,
    target: str,
    rows: Sequence[Row],
    *,
    beside: Mapping[str, str] | None = None,
) -> Parents:
    """Look up what the rows hang on, as it is now; ``beside`` are accounts found, not yet kept."""
    accounts = {row.account_id for row in rows if row.kind != "account"}
    keys = {_opportunity(row) for row in rows if row.kind == "task"}
    known = {
        found.key: found.crm_id for found in _standing(connection, target, "account", accounts)
    }
    above = list(_standing(connection, target, "opportunity", keys))
    return Parents(
        accounts={**(beside or {}), **{key: name for key, name in known.items() if name}},
        opportunities={found.key: found.crm_id for found in above if found.crm_id},
        awaited=frozenset(
            found.key for found in above if not found.crm_id and found.settled != found.digest
        ),
    )


def same_object(
    connection: sa.Connection, target: str, kind: Kind, crm_ids: Iterable[str]
) -> dict[str, str]:
    """The target's name → our key, of the objects that carry one of ours already."""
    there = (DELIVERED.c.target == target) & (DELIVERED.c.kind == kind)
    found: dict[str, str] = {}
    for some in _parts(crm_ids):
        query = sa.select(DELIVERED.c.crm_id, DELIVERED.c.key)
        rows = connection.execute(query.where(there, DELIVERED.c.crm_id.in_(some)))
        found |= {row.crm_id: row.key for row in rows}
    return found


_BESIDE: Final = (
    OUTBOX.outerjoin(
        DELIVERED,
        sa.and_(*(OUTBOX.c[name] == DELIVERED.c[name] for name in ("target", "kind", "key"))),
    )
).outerjoin(
    REJECTED,
    sa.and_(*(OUTBOX.c[name] == REJECTED.c[name] for name in ("target", "kind", "key"))),
)
_COLUMNS: Final = (
    *OUTBOX.c,
    DELIVERED.c.crm_id,
    DELIVERED.c.fields.label("acknowledged"),
    DELIVERED.c.digest.label("settled"),
    DELIVERED.c.attempted,
    DELIVERED.c.theirs,
    DELIVERED.c.adopted,
    REJECTED.c.digest.is_not(None).label("refused"),
)


def _differing(scope: Scope, *columns: Any) -> sa.Select[Any]:  # noqa: ANN401 - SQLAlchemy's own
    """Rows to be sent; never one of an older as-of than what stands at the target."""
    query = sa.select(*columns).select_from(_BESIDE).where(OUTBOX.c.target == scope.target)
    query = query.where(DELIVERED.c.as_of.is_(None) | (OUTBOX.c.as_of >= DELIVERED.c.as_of))
    if scope.run_id is not None:
        query = query.where(OUTBOX.c.run_id == scope.run_id)
    if scope.full:
        return query
    return query.where(
        DELIVERED.c.digest.is_(None) | (DELIVERED.c.digest != OUTBOX.c.digest),
        REJECTED.c.digest.is_(None) | (REJECTED.c.digest != OUTBOX.c.digest),
    )


def _row(found: Mapping[Any, Any]) -> Row:
    values = {name: found[name] for name in OUTBOX.c.keys() if name != "target"}  # noqa: SIM118
    return Row(
        **values,
        crm_id=found["crm_id"],
        acknowledged=found["acknowledged"] or {},
        settled=found["settled"],
        attempted=found["attempted"] or {},
        theirs=tuple(found["theirs"] or ()),
        adopted=bool(found["adopted"]),
        refused=bool(found["refused"]),
    )


def _opportunity(row: Row) -> str:
    """The key of the opportunity that a task belongs to: its own, less what is to be done."""
    return row.key.rpartition(":")[0] if row.kind == "task" else ""


def _standing(
    connection: sa.Connection, target: str, kind: Kind, keys: Iterable[str]
) -> Iterator[Any]:
    query = (
        sa.select(
            OUTBOX.c.key,
            OUTBOX.c.digest,
            DELIVERED.c.crm_id,
            DELIVERED.c.digest.label("settled"),
        )
        .select_from(_BESIDE)
        .where(OUTBOX.c.target == target, OUTBOX.c.kind == kind)
    )
    for some in _parts(keys):
        yield from connection.execute(query.where(OUTBOX.c.key.in_(some)))


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    left = iter(sorted(keys))
    while some := list(islice(left, _KEYS_AT_ONCE)):
        yield some
