"""Queue of objects to send: desired objects that differ from what was applied last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from serving.delivery.crm.base import KINDS, Fields, Kind, ObjectRef
from serving.delivery.reconcile.three_way_merge import InFlight
from serving.store.schema import APPLIED_OBJECTS, DESIRED_OBJECTS, REJECTED_OBJECTS
from serving.store.upsert import iter_chunks

__all__ = [
    "ParentIds",
    "PendingObject",
    "Selection",
    "build_pending_object",
    "count_pending",
    "find_owner_keys",
    "iter_batches",
    "load_delivery_states",
    "load_next_page",
    "load_parents",
    "match_object",
    "select_objects",
]

_KIND_ORDER: Final = sa.case(
    {kind: i for i, kind in enumerate(KINDS)}, value=DESIRED_OBJECTS.c.kind
)
_SEND_ORDER: Final = (DESIRED_OBJECTS.c.priority, _KIND_ORDER, DESIRED_OBJECTS.c.key)


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

    @property
    def opportunity_key(self) -> str:
        """Opportunity key of a task: its own key without the action."""
        return self.key.rpartition(":")[0] if self.kind == "task" else ""


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
    query = _select_pending(selection, *DESIRED_OBJECTS.c, *_STATE_COLUMNS)
    query = query.order_by(*_SEND_ORDER).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*_SEND_ORDER) > sa.tuple_(*map(sa.literal, after)))
    return [build_pending_object(row, row) for row in connection.execute(query).mappings()]


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

    def to_ref(self, pending: PendingObject) -> ObjectRef:
        """Return the reference to an object, with the record ids of its parents."""
        is_child = pending.kind != "account"
        return ObjectRef(
            pending.kind,
            pending.key,
            pending.account_id,
            pending.limit,
            pending.crm_id,
            self.accounts.get(pending.account_id) if is_child else None,
            self.opportunities.get(pending.opportunity_key) if is_child else None,
        )

    def has_parents(self, pending: PendingObject) -> bool:
        """Return True if all parents of the object exist at the target."""
        if pending.kind == "account":
            return True
        return (
            pending.account_id in self.accounts
            and pending.opportunity_key not in self.missing_opportunities
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
    keys = {row.opportunity_key for row in rows if row.kind == "task"}
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
    for chunk in iter_chunks(sorted(crm_ids)):
        query = sa.select(APPLIED_OBJECTS.c.crm_id, APPLIED_OBJECTS.c.key)
        rows = connection.execute(query.where(is_same_kind, APPLIED_OBJECTS.c.crm_id.in_(chunk)))
        owners |= {row.crm_id: row.key for row in rows}
    return owners


def match_object(table: sa.Table, target: str, kind: Kind, key: str) -> sa.ColumnElement[bool]:
    """Return the condition that a row of a table belongs to one object."""
    return (table.c.target == target) & (table.c.kind == kind) & (table.c.key == key)


def select_objects(target: str, *columns: Any) -> sa.Select[Any]:  # noqa: ANN401 - of any table
    """Select the desired objects of a target, with what was applied and what was rejected."""
    return sa.select(*columns).select_from(_OBJECTS).where(DESIRED_OBJECTS.c.target == target)


def load_delivery_states(
    connection: sa.Connection, target: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return (kind, key) → what was applied and rejected, for :func:`build_pending_object`.

    Every rejected object has a row in ``applied_objects``, since its values were in flight before.
    """
    is_same = _is_same_object(APPLIED_OBJECTS, REJECTED_OBJECTS)
    query = (
        sa.select(APPLIED_OBJECTS.c.kind, APPLIED_OBJECTS.c.key, *_STATE_COLUMNS)
        .select_from(APPLIED_OBJECTS.outerjoin(REJECTED_OBJECTS, is_same))
        .where(APPLIED_OBJECTS.c.target == target)
    )
    return {(row["kind"], row["key"]): {**row} for row in connection.execute(query).mappings()}


def build_pending_object(desired: Mapping[Any, Any], state: Mapping[Any, Any]) -> PendingObject:
    """Build a pending object from a row of ``desired_objects`` and its delivery state."""
    names = [column.name for column in DESIRED_OBJECTS.c if column.name != "target"]
    return PendingObject(
        **{name: desired[name] for name in names},
        crm_id=state.get("crm_id"),
        last_applied=state.get("last_applied") or {},
        last_applied_hash=state.get("last_applied_hash"),
        in_flight=state.get("in_flight") or {},
        human_fields=tuple(state.get("human_fields") or ()),
        adopted=bool(state.get("adopted")),
        was_rejected=state.get("rejected_hash") is not None,
    )


def iter_batches(page: Sequence[PendingObject], size: int) -> Iterator[list[PendingObject]]:
    """Yield batches of at most ``size`` objects of one kind, parents first."""
    for kind in KINDS:
        rows = [row for row in page if row.kind == kind]
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _is_same_object(left: sa.Table, right: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(*(left.c[name] == right.c[name] for name in ("target", "kind", "key")))


_OBJECTS: Final = DESIRED_OBJECTS.outerjoin(
    APPLIED_OBJECTS, _is_same_object(DESIRED_OBJECTS, APPLIED_OBJECTS)
).outerjoin(REJECTED_OBJECTS, _is_same_object(DESIRED_OBJECTS, REJECTED_OBJECTS))
_STATE_COLUMNS: Final = (
    APPLIED_OBJECTS.c.crm_id,
    APPLIED_OBJECTS.c.fields.label("last_applied"),
    APPLIED_OBJECTS.c.content_hash.label("last_applied_hash"),
    APPLIED_OBJECTS.c.in_flight,
    APPLIED_OBJECTS.c.human_fields,
    APPLIED_OBJECTS.c.adopted,
    REJECTED_OBJECTS.c.content_hash.label("rejected_hash"),
)


def _select_pending(selection: Selection, *columns: Any) -> sa.Select[Any]:  # noqa: ANN401
    """Select the rows to send; never one with an older as-of than the applied one."""
    desired, applied, rejected = DESIRED_OBJECTS.c, APPLIED_OBJECTS.c, REJECTED_OBJECTS.c
    query = select_objects(selection.target, *columns).where(
        applied.as_of.is_(None) | (desired.as_of >= applied.as_of)
    )
    if selection.run_id is not None:
        query = query.where(desired.run_id == selection.run_id)
    if selection.resync:
        return query
    return query.where(
        applied.content_hash.is_(None) | (applied.content_hash != desired.content_hash),
        rejected.content_hash.is_(None) | (rejected.content_hash != desired.content_hash),
    )


def _load_parent_rows(
    connection: sa.Connection, target: str, kind: Kind, keys: Iterable[str]
) -> Iterator[Any]:
    query = select_objects(
        target,
        DESIRED_OBJECTS.c.key,
        DESIRED_OBJECTS.c.content_hash,
        APPLIED_OBJECTS.c.crm_id,
        APPLIED_OBJECTS.c.content_hash.label("last_applied_hash"),
    ).where(DESIRED_OBJECTS.c.kind == kind)
    for chunk in iter_chunks(sorted(keys)):
        yield from connection.execute(query.where(DESIRED_OBJECTS.c.key.in_(chunk)))
