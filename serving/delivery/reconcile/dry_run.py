"""What sending would change: reads at the target, and writes nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import KINDS, AccessDeniedError, CrmTarget, RemoteObject
from serving.delivery.reconcile import diff, queue
from serving.delivery.reconcile.queue import PendingObject, Selection
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import PlannedChange, SyncSummary
from serving.delivery.reconcile.sync_counters import SyncCounters

__all__ = ["preview_changes"]

_PAGE_SIZE: Final = 5_000


@dataclass(frozen=True)
class _PreviewContext:
    """What one preview works with; ``accounts`` are those it has found, by our id."""

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
    """Tell what sending would do, object by object, in the counts that sending would give.

    Parameters
    ----------
    engine, target, full, tell, budget_seconds, clock, sleep
        As of :func:`serving.delivery.reconcile.sender.send_pending`.
    rows : sequence of Row, optional
        What is to be sent; else what stands in the outbox.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies us, or does not answer.
    """
    call = RetryingCaller(target.rate_limit, clock() + budget_seconds, clock, sleep)
    context = _PreviewContext(engine, target, call, on_change)
    windows = _iter_pages(engine, Selection(target.name, resync)) if rows is None else iter([rows])
    try:
        for window in windows:
            for kind in KINDS:
                mine = [row for row in window if row.kind == kind]
                for start in range(0, len(mine), target.rate_limit.rows_per_call):
                    _preview_batch(context, mine[start : start + target.rate_limit.rows_per_call])
    except AccessDeniedError as error:
        raise DeliveryError(str(error)) from error
    except (RetriesExhaustedError, DeadlineExceededError) as error:
        raise DeliveryError(f"the CRM {target.name!r} does not answer: {error}.") from error
    return context.counters.to_summary(call, pending=0, stop_reason=None)


def _iter_pages(engine: sa.Engine, selection: Selection) -> Iterator[Sequence[PendingObject]]:
    after = None
    while True:
        with store.read_transaction(engine) as connection:
            page = queue.next_page(connection, selection, after, _PAGE_SIZE)
        if not page:
            return
        yield page
        after = page[-1].sort_key


def _preview_batch(context: _PreviewContext, rows: Sequence[PendingObject]) -> None:
    """What hangs on an account that does not stand there yet is not there either."""
    with store.read_transaction(context.engine) as connection:
        parent_ids = queue.load_parents(
            connection, context.target.name, rows, extra_accounts=context.accounts
        )
    found: dict[str, RemoteObject | None] = {}
    readable = [
        row for row in rows if row.kind == "account" or row.account_id in parent_ids.accounts
    ]
    if readable:
        live = diff.read_live(context.call, context.target, readable, parent_ids)
        found = {row.key: now for row, now in zip(readable, live, strict=True)}
    live_objects = [found.get(row.key) for row in rows]
    for plan in diff.compute_diffs(
        context.target, rows, live_objects, lambda ids: _find_owners(context, rows, ids)
    ):
        context.counters.add(plan)
        if plan.row.kind == "account" and plan.crm_id:
            context.accounts[plan.row.account_id] = plan.crm_id
        if plan.needs_write:
            context.on_change(plan.to_planned_change())


def _find_owners(
    context: _PreviewContext, rows: Sequence[PendingObject], crm_ids: Sequence[str]
) -> dict[str, str]:
    with store.read_transaction(context.engine) as connection:
        return queue.find_owner_keys(connection, context.target.name, rows[0].kind, crm_ids)
