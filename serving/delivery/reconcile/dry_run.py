"""Dry run: compute what sending would change, without writing anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import KINDS, AccessDeniedError, CrmTarget, RemoteObject
from serving.delivery.desired.account_fields import DesiredObject, hash_fields
from serving.delivery.reconcile import diff, queue
from serving.delivery.reconcile.queue import PendingObject, Selection
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import PlannedChange, SyncSummary
from serving.delivery.reconcile.sync_counters import SyncCounters
from serving.store.schema import APPLIED_OBJECTS, REJECTED_OBJECTS

__all__ = ["build_pending_objects", "preview_changes"]

_PAGE_SIZE: Final = 5_000


@dataclass(frozen=True)
class _PreviewContext:
    """Resources and counters of one dry run; ``accounts`` are record ids found, by account id."""

    engine: sa.Engine
    target: CrmTarget
    call: RetryingCaller
    on_change: Callable[[PlannedChange], None]
    counters: SyncCounters = field(default_factory=SyncCounters)
    accounts: dict[str, str] = field(default_factory=dict)


def preview_changes(
    engine: sa.Engine,
    target: CrmTarget,
    *,
    rows: Sequence[PendingObject] | None = None,
    resync: bool = False,
    on_change: Callable[[PlannedChange], None] = lambda _: None,
    budget_seconds: float = 1800.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SyncSummary:
    """Compute what sending would do, object by object, with the same counts.

    Parameters
    ----------
    engine, target, resync, on_change, budget_seconds, clock, sleep
        As in :func:`serving.delivery.reconcile.sender.send_pending`.
    rows : sequence of PendingObject, optional
        Objects to send; by default those in the queue.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies access, or does not respond.
    """
    call = RetryingCaller(target.rate_limit, clock() + budget_seconds, clock, sleep)
    context = _PreviewContext(engine, target, call, on_change)
    pages = _iter_pages(engine, Selection(target.name, resync)) if rows is None else iter([rows])
    size = target.rate_limit.rows_per_call
    try:
        for page in pages:
            for kind in KINDS:
                of_kind = [row for row in page if row.kind == kind]
                for start in range(0, len(of_kind), size):
                    _preview_batch(context, of_kind[start : start + size])
    except AccessDeniedError as error:
        raise DeliveryError(str(error)) from error
    except (RetriesExhaustedError, DeadlineExceededError) as error:
        raise DeliveryError(f"the CRM {target.name!r} does not respond: {error}.") from error
    return context.counters.to_summary(call, pending=0, stop_reason=None)


def _iter_pages(engine: sa.Engine, selection: Selection) -> Iterator[Sequence[PendingObject]]:
    after = None
    while True:
        with store.read_transaction(engine) as connection:
            page = queue.load_next_page(connection, selection, after, _PAGE_SIZE)
        if not page:
            return
        yield page
        after = page[-1].sort_key


def _preview_batch(context: _PreviewContext, rows: Sequence[PendingObject]) -> None:
    """Preview one batch; children of an account that does not exist yet are not read."""
    with store.read_transaction(context.engine) as connection:
        parent_ids = queue.load_parents(
            connection, context.target.name, rows, extra_accounts=context.accounts
        )
    live_by_key: dict[str, RemoteObject | None] = {}
    readable = [
        row for row in rows if row.kind == "account" or row.account_id in parent_ids.accounts
    ]
    if readable:
        live = diff.read_live(context.call, context.target, readable, parent_ids)
        live_by_key = {row.key: remote for row, remote in zip(readable, live, strict=True)}
    live_objects = [live_by_key.get(row.key) for row in rows]
    for object_diff in diff.compute_diffs(
        context.target, rows, live_objects, lambda ids: _find_owners(context, rows, ids)
    ):
        context.counters.add(object_diff)
        if object_diff.row.kind == "account" and object_diff.crm_id:
            context.accounts[object_diff.row.account_id] = object_diff.crm_id
        if object_diff.needs_write:
            context.on_change(object_diff.to_planned_change())


def _find_owners(
    context: _PreviewContext, rows: Sequence[PendingObject], crm_ids: Sequence[str]
) -> dict[str, str]:
    with store.read_transaction(context.engine) as connection:
        return queue.find_owner_keys(connection, context.target.name, rows[0].kind, crm_ids)


def build_pending_objects(
    connection: sa.Connection, target: str, objects: Iterable[DesiredObject], as_of: date
) -> list[PendingObject]:
    """Return the objects that would be sent: those that differ from what was applied last.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        A connection for reading.
    target : str
        Name of the CRM.
    objects : iterable of DesiredObject
        The desired state.
    as_of : datetime.date
        As-of of the list.
    """
    applied = _load_by_object(connection, APPLIED_OBJECTS, target)
    rejected = _load_by_object(connection, REJECTED_OBJECTS, target)
    pending = []
    for desired in objects:
        key = (desired.kind, desired.key)
        row = _to_pending_object(desired, as_of, applied.get(key, {}), rejected.get(key))
        differs = row.last_applied_hash != row.content_hash
        if differs and rejected.get(key, {}).get("content_hash") != row.content_hash:
            pending.append(row)
    return sorted(pending, key=lambda row: row.sort_key)


def _load_by_object(
    connection: sa.Connection, table: sa.Table, target: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
    rows = connection.execute(sa.select(table).where(table.c.target == target)).mappings()
    return {(row["kind"], row["key"]): dict(row) for row in rows}


def _to_pending_object(
    desired: DesiredObject,
    as_of: date,
    applied: Mapping[str, Any],
    rejection: Mapping[str, Any] | None,
) -> PendingObject:
    return PendingObject(
        kind=desired.kind,
        key=desired.key,
        account_id=desired.account_id,
        limit=desired.limit,
        as_of=as_of,
        run_id=0,
        priority=desired.priority,
        fields=desired.fields,
        content_hash=hash_fields(desired.fields),
        crm_id=applied.get("crm_id"),
        last_applied=applied.get("fields") or {},
        last_applied_hash=applied.get("content_hash"),
        in_flight=applied.get("in_flight") or {},
        human_fields=tuple(applied.get("human_fields") or ()),
        adopted=bool(applied.get("adopted")),
        was_rejected=rejection is not None,
    )
