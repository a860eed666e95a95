"""What is still to be sent: the rows of the outbox that differ from what was acknowledged last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from serving.delivery.crm.base import KINDS, Fields, Kind, ObjectRef
from serving.delivery.reconcile.three_way_merge import InFlight
from serving.store.schema import APPLIED_OBJECTS, DESIRED_OBJECTS, REJECTED_OBJECTS

__all__ = [
    "ParentIds",
    "PendingObject",
    "Selection",
    "count_pending",
    "find_owner_keys",
    "load_parents",
    "next_page",
]

_KIND_ORDER: Final = sa.case(
    {kind: i for i, kind in enumerate(KINDS)}, value=DESIRED_OBJECTS.c.kind
)
_SEND_ORDER: Final = (DESIRED_OBJECTS.c.place, _KIND_ORDER, DESIRED_OBJECTS.c.key)
_MAX_KEYS_PER_QUERY: Final = 5_000  # a database takes so many parameters and some more


@dataclass(frozen=True)
class PendingObject:
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
    last_applied: Fields
    last_applied_hash: str | None  # the digest that was acknowledged last
    in_flight: InFlight
    human_fields: tuple[str, ...]
    adopted: bool
    was_rejected: bool  # at another digest, or before a retry

    @property
    def sort_key(self) -> tuple[int, int, str]:
        """Where it stands in the order of sending."""
        return self.place, KINDS.index(self.kind), self.key

    def to_ref(self, account_crm_id: str | None, opportunity_crm_id: str | None) -> ObjectRef:
        """Name it to a target."""
        return ObjectRef(
            self.kind,
            self.key,
            self.account_id,
            self.limit,
            self.crm_id,
            account_crm_id,
            opportunity_crm_id,
        )


@dataclass(frozen=True)
class Selection:
    """Which rows are meant: of one target, all or those that differ, of all runs or one."""

    target: str
    resync: bool = False
    run_id: int | None = None


def next_page(
    connection: sa.Connection, selection: Selection, after: tuple[int, int, str] | None, limit: int
) -> list[PendingObject]:
    """Give the next rows to be sent, by place, and parents first within one place."""
    query = _select_pending(selection, *_QUEUE_COLUMNS).order_by(*_SEND_ORDER).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*_SEND_ORDER) > sa.tuple_(*map(sa.literal, after)))
    return [_to_pending_object(found) for found in connection.execute(query).mappings()]


def count_pending(connection: sa.Connection, selection: Selection) -> int:
    """How many rows are still to be sent, those that wait for a parent included."""
    query = _select_pending(selection, DESIRED_OBJECTS.c.key).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(query)) or 0


@dataclass(frozen=True)
class ParentIds:
    """The target's names of what rows hang on; ``missing_opportunities`` opportunities do not stand there yet."""

    accounts: Mapping[str, str]
    opportunities: Mapping[str, str]
    missing_opportunities: frozenset[str]

    def get_ids(self, pending: PendingObject) -> tuple[str | None, str | None]:
        """The target's names of the row's account and opportunity."""
        if pending.kind == "account":
            return None, None
        return self.accounts.get(pending.account_id), self.opportunities.get(
            _get_opportunity_key(pending)
        )

    def has_parents(self, pending: PendingObject) -> bool:
        """Whether all that the row hangs on stands at the target."""
        if pending.kind == "account":
            return True
        return (
            pending.account_id in self.accounts
            and _get_opportunity_key(pending) not in self.missing_opportunities
        )


def load_parents(
    connection: sa.Connection,
    target: str,
    rows: Sequence[PendingObject],
    *,
    extra_accounts: Mapping[str, str] | None = None,
) -> ParentIds:
    """Look up what the rows hang on, as it is now; ``extra_accounts`` are accounts found, not yet kept."""
    accounts = {row.account_id for row in rows if row.kind != "account"}
    keys = {_get_opportunity_key(row) for row in rows if row.kind == "task"}
    account_rows = {
        found.key: found.crm_id
        for found in _load_parent_rows(connection, target, "account", accounts)
    }
    opportunity_rows = list(_load_parent_rows(connection, target, "opportunity", keys))
    return ParentIds(
        accounts={
            **(extra_accounts or {}),
            **{key: name for key, name in account_rows.items() if name},
        },
        opportunities={found.key: found.crm_id for found in opportunity_rows if found.crm_id},
        missing_opportunities=frozenset(
            found.key
            for found in opportunity_rows
            if not found.crm_id and found.settled != found.digest
        ),
    )


def find_owner_keys(
    connection: sa.Connection, target: str, kind: Kind, crm_ids: Iterable[str]
) -> dict[str, str]:
    """The target's name → our key, of the objects that carry one of ours already."""
    is_same_kind = (APPLIED_OBJECTS.c.target == target) & (APPLIED_OBJECTS.c.kind == kind)
    owners: dict[str, str] = {}
    for some in _chunk_keys(crm_ids):
        query = sa.select(APPLIED_OBJECTS.c.crm_id, APPLIED_OBJECTS.c.key)
        rows = connection.execute(query.where(is_same_kind, APPLIED_OBJECTS.c.crm_id.in_(some)))
        owners |= {row.crm_id: row.key for row in rows}
    return owners


_QUEUE_JOIN: Final = (
    DESIRED_OBJECTS.outerjoin(
        APPLIED_OBJECTS,
        sa.and_(
            *(
                DESIRED_OBJECTS.c[name] == APPLIED_OBJECTS.c[name]
                for name in ("target", "kind", "key")
            )
        ),
    )
).outerjoin(
    REJECTED_OBJECTS,
    sa.and_(
        *(DESIRED_OBJECTS.c[name] == REJECTED_OBJECTS.c[name] for name in ("target", "kind", "key"))
    ),
)
_QUEUE_COLUMNS: Final = (
    *DESIRED_OBJECTS.c,
    APPLIED_OBJECTS.c.crm_id,
    APPLIED_OBJECTS.c.fields.label("acknowledged"),
    APPLIED_OBJECTS.c.digest.label("settled"),
    APPLIED_OBJECTS.c.attempted,
    APPLIED_OBJECTS.c.theirs,
    APPLIED_OBJECTS.c.adopted,
    REJECTED_OBJECTS.c.digest.is_not(None).label("refused"),
)


def _select_pending(selection: Selection, *columns: Any) -> sa.Select[Any]:  # noqa: ANN401 - SQLAlchemy's own
    """Rows to be sent; never one of an older as-of than what stands at the target."""
    query = (
        sa.select(*columns)
        .select_from(_QUEUE_JOIN)
        .where(DESIRED_OBJECTS.c.target == selection.target)
    )
    query = query.where(
        APPLIED_OBJECTS.c.as_of.is_(None) | (DESIRED_OBJECTS.c.as_of >= APPLIED_OBJECTS.c.as_of)
    )
    if selection.run_id is not None:
        query = query.where(DESIRED_OBJECTS.c.run_id == selection.run_id)
    if selection.resync:
        return query
    return query.where(
        APPLIED_OBJECTS.c.digest.is_(None) | (APPLIED_OBJECTS.c.digest != DESIRED_OBJECTS.c.digest),
        REJECTED_OBJECTS.c.digest.is_(None)
        | (REJECTED_OBJECTS.c.digest != DESIRED_OBJECTS.c.digest),
    )


def _to_pending_object(row: Mapping[Any, Any]) -> PendingObject:
    values = {name: row[name] for name in DESIRED_OBJECTS.c.keys() if name != "target"}  # noqa: SIM118
    return PendingObject(
        **values,
        crm_id=row["crm_id"],
        last_applied=row["acknowledged"] or {},
        last_applied_hash=row["settled"],
        in_flight=row["attempted"] or {},
        human_fields=tuple(row["theirs"] or ()),
        adopted=bool(row["adopted"]),
        was_rejected=bool(row["refused"]),
    )


def _get_opportunity_key(pending: PendingObject) -> str:
    """The key of the opportunity that a task belongs to: its own, less what is to be done."""
    return pending.key.rpartition(":")[0] if pending.kind == "task" else ""


def _load_parent_rows(
    connection: sa.Connection, target: str, kind: Kind, keys: Iterable[str]
) -> Iterator[Any]:
    query = (
        sa.select(
            DESIRED_OBJECTS.c.key,
            DESIRED_OBJECTS.c.digest,
            APPLIED_OBJECTS.c.crm_id,
            APPLIED_OBJECTS.c.digest.label("settled"),
        )
        .select_from(_QUEUE_JOIN)
        .where(DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.kind == kind)
    )
    for some in _chunk_keys(keys):
        yield from connection.execute(query.where(DESIRED_OBJECTS.c.key.in_(some)))


def _chunk_keys(keys: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(sorted(keys))
    while chunk := list(islice(remaining, _MAX_KEYS_PER_QUERY)):
        yield chunk
