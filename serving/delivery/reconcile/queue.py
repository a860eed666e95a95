"""Queue of objects to send: desired objects that differ from what was applied last."""

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
    "load_next_page",
    "load_parents",
]

_KIND_ORDER: Final = sa.case(
    {kind: i for i, kind in enumerate(KINDS)}, value=DESIRED_OBJECTS.c.kind
)
_SEND_ORDER: Final = (DESIRED_OBJECTS.c.priority, _KIND_ORDER, DESIRED_OBJECTS.c.key)
_MAX_KEYS_PER_QUERY: Final = 5_000  # databases limit the parameters of a statement


@dataclass(frozen=True)
class PendingObject:
    """One desired object with its delivery state."""

    kind: Kind
    key: str
    account_id: str
    limit: str | None
    as_of: date
    run_id: int
    priority: int
    fields: Fields
    content_hash: str
    crm_id: str | None
    last_applied: Fields
    last_applied_hash: str | None
    in_flight: InFlight
    human_fields: tuple[str, ...]
    adopted: bool
    was_rejected: bool  # with other content, or before a retry

    @property
    def sort_key(self) -> tuple[int, int, str]:
        """Position in the send order."""
        return self.priority, KINDS.index(self.kind), self.key

    def to_ref(self, account_crm_id: str | None, opportunity_crm_id: str | None) -> ObjectRef:
        """Return the reference to the object for a target."""
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
    """Objects to select: of one target, all or only those that differ, of all runs or one."""

    target: str
    resync: bool = False
    run_id: int | None = None


def load_next_page(
    connection: sa.Connection, selection: Selection, after: tuple[int, int, str] | None, limit: int
) -> list[PendingObject]:
    """Return the next objects to send, by priority, and parents first within one priority."""
    query = _select_pending(selection, *_QUEUE_COLUMNS).order_by(*_SEND_ORDER).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*_SEND_ORDER) > sa.tuple_(*map(sa.literal, after)))
    return [_to_pending_object(row) for row in connection.execute(query).mappings()]


def count_pending(connection: sa.Connection, selection: Selection) -> int:
    """Return the number of objects to send, including those that wait for a parent."""
    query = _select_pending(selection, DESIRED_OBJECTS.c.key).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(query)) or 0


@dataclass(frozen=True)
class ParentIds:
    """Record ids of parent objects; ``missing_opportunities`` do not exist at the target yet."""

    accounts: Mapping[str, str]
    opportunities: Mapping[str, str]
    missing_opportunities: frozenset[str]

    def get_ids(self, pending: PendingObject) -> tuple[str | None, str | None]:
        """Return the record ids of the object's account and opportunity."""
        if pending.kind == "account":
            return None, None
        opportunity_key = _get_opportunity_key(pending)
        return self.accounts.get(pending.account_id), self.opportunities.get(opportunity_key)

    def has_parents(self, pending: PendingObject) -> bool:
        """Return True if all parents of the object exist at the target."""
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
    """Load the current record ids of the parents; ``extra_accounts`` are not stored yet."""
    accounts = {row.account_id for row in rows if row.kind != "account"}
    keys = {_get_opportunity_key(row) for row in rows if row.kind == "task"}
    account_ids = {
        row.key: row.crm_id
        for row in _load_parent_rows(connection, target, "account", accounts)
        if row.crm_id
    }
    opportunity_rows = list(_load_parent_rows(connection, target, "opportunity", keys))
    return ParentIds(
        accounts={**(extra_accounts or {}), **account_ids},
        opportunities={row.key: row.crm_id for row in opportunity_rows if row.crm_id},
        missing_opportunities=frozenset(
            row.key
            for row in opportunity_rows
            if not row.crm_id and row.last_applied_hash != row.content_hash
        ),
    )


def find_owner_keys(
    connection: sa.Connection, target: str, kind: Kind, crm_ids: Iterable[str]
) -> dict[str, str]:
    """Return record id → our key, for the records that already have one of our keys."""
    is_same_kind = (APPLIED_OBJECTS.c.target == target) & (APPLIED_OBJECTS.c.kind == kind)
    owners: dict[str, str] = {}
    for chunk in _chunk_keys(crm_ids):
        query = sa.select(APPLIED_OBJECTS.c.crm_id, APPLIED_OBJECTS.c.key)
        rows = connection.execute(query.where(is_same_kind, APPLIED_OBJECTS.c.crm_id.in_(chunk)))
        owners |= {row.crm_id: row.key for row in rows}
    return owners


def _is_same_object(table: sa.Table) -> sa.ColumnElement[bool]:
    names = ("target", "kind", "key")
    return sa.and_(*(DESIRED_OBJECTS.c[name] == table.c[name] for name in names))


_QUEUE_JOIN: Final = DESIRED_OBJECTS.outerjoin(
    APPLIED_OBJECTS, _is_same_object(APPLIED_OBJECTS)
).outerjoin(REJECTED_OBJECTS, _is_same_object(REJECTED_OBJECTS))
_QUEUE_COLUMNS: Final = (
    *DESIRED_OBJECTS.c,
    APPLIED_OBJECTS.c.crm_id,
    APPLIED_OBJECTS.c.fields.label("last_applied"),
    APPLIED_OBJECTS.c.content_hash.label("last_applied_hash"),
    APPLIED_OBJECTS.c.in_flight,
    APPLIED_OBJECTS.c.human_fields,
    APPLIED_OBJECTS.c.adopted,
    REJECTED_OBJECTS.c.content_hash.is_not(None).label("was_rejected"),
)


def _select_pending(selection: Selection, *columns: Any) -> sa.Select[Any]:  # noqa: ANN401
    """Select the rows to send; never one with an older as-of than the applied one."""
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
        APPLIED_OBJECTS.c.content_hash.is_(None)
        | (APPLIED_OBJECTS.c.content_hash != DESIRED_OBJECTS.c.content_hash),
        REJECTED_OBJECTS.c.content_hash.is_(None)
        | (REJECTED_OBJECTS.c.content_hash != DESIRED_OBJECTS.c.content_hash),
    )


def _to_pending_object(row: Mapping[Any, Any]) -> PendingObject:
    values = {name: row[name] for name in DESIRED_OBJECTS.c.keys() if name != "target"}  # noqa: SIM118
    return PendingObject(
        **values,
        crm_id=row["crm_id"],
        last_applied=row["last_applied"] or {},
        last_applied_hash=row["last_applied_hash"],
        in_flight=row["in_flight"] or {},
        human_fields=tuple(row["human_fields"] or ()),
        adopted=bool(row["adopted"]),
        was_rejected=bool(row["was_rejected"]),
    )


def _get_opportunity_key(pending: PendingObject) -> str:
    """Return the opportunity key of a task: its own key without the action."""
    return pending.key.rpartition(":")[0] if pending.kind == "task" else ""


def _load_parent_rows(
    connection: sa.Connection, target: str, kind: Kind, keys: Iterable[str]
) -> Iterator[Any]:
    query = (
        sa.select(
            DESIRED_OBJECTS.c.key,
            DESIRED_OBJECTS.c.content_hash,
            APPLIED_OBJECTS.c.crm_id,
            APPLIED_OBJECTS.c.content_hash.label("last_applied_hash"),
        )
        .select_from(_QUEUE_JOIN)
        .where(DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.kind == kind)
    )
    for chunk in _chunk_keys(keys):
        yield from connection.execute(query.where(DESIRED_OBJECTS.c.key.in_(chunk)))


def _chunk_keys(keys: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(sorted(keys))
    while chunk := list(islice(remaining, _MAX_KEYS_PER_QUERY)):
        yield chunk
