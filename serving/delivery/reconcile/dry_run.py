"""Dry run: compute what sending would change, without writing anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import AccessDeniedError, CrmTarget
from serving.delivery.desired.account_fields import DesiredObject, hash_fields
from serving.delivery.reconcile import diff, queue
from serving.delivery.reconcile.diff import ObjectDiff, PlannedChange
from serving.delivery.reconcile.queue import PendingObject, Selection
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import SyncSummary

__all__ = ["build_pending_objects", "preview_changes"]

_PAGE_SIZE: Final = 5_000


def preview_changes(
    engine: sa.Engine,
    target: CrmTarget,
    *,
    rows: Sequence[PendingObject] | None = None,
    resync: bool = False,
    on_change: Callable[[PlannedChange], None] = lambda _: None,
    budget_seconds: float = 1800.0,
) -> SyncSummary:
    """Compute what sending would do, object by object, with the same counts.

    ``rows`` are the objects to send, by default those in the queue; the other parameters are those
    of :func:`serving.delivery.reconcile.sender.send_pending`.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies access, or does not respond.
    """
    deadline = time.monotonic() + budget_seconds
    call = RetryingCaller(target.rate_limit, deadline, time.monotonic, time.sleep)
    pages = _iter_pages(engine, Selection(target.name, resync)) if rows is None else iter([rows])
    summary, found_accounts = SyncSummary(), dict[str, str]()  # account → record id
    try:
        for page in pages:
            for batch_rows in queue.iter_batches(page, target.rate_limit.rows_per_call):
                for each in _diff_batch(engine, target, call, batch_rows, found_accounts):
                    summary.add(each)
                    if each.row.kind == "account" and each.crm_id:
                        found_accounts[each.row.account_id] = each.crm_id
                    if each.needs_write:
                        on_change(each.to_planned_change())
    except AccessDeniedError as error:
        raise DeliveryError(str(error)) from error
    except (RetriesExhaustedError, DeadlineExceededError) as error:
        raise DeliveryError(f"the CRM {target.name!r} does not respond: {error}.") from error
    summary.requests, summary.failures = call.requests, call.failures
    return summary


def _iter_pages(engine: sa.Engine, selection: Selection) -> Iterator[Sequence[PendingObject]]:
    after = None
    while True:
        with store.read_transaction(engine) as connection:
            page = queue.load_next_page(connection, selection, after, _PAGE_SIZE)
        if not page:
            return
        yield page
        after = page[-1].sort_key


def _diff_batch(
    engine: sa.Engine,
    target: CrmTarget,
    call: RetryingCaller,
    rows: Sequence[PendingObject],
    found_accounts: Mapping[str, str],
) -> list[ObjectDiff]:
    with store.read_transaction(engine) as connection:
        parent_ids = queue.load_parents(
            connection, target.name, rows, extra_accounts=found_accounts
        )
    return diff.diff_objects(engine, target, call, rows, parent_ids)


def build_pending_objects(
    connection: sa.Connection, target: str, objects: Iterable[DesiredObject], as_of: date
) -> list[PendingObject]:
    """Return the desired objects that would be sent: those that differ from what was applied."""
    states = queue.load_delivery_states(connection, target)
    pending = []
    for desired in objects:
        state = states.get((desired.kind, desired.key), {})
        content_hash = hash_fields(desired.fields)
        if content_hash in {state.get("last_applied_hash"), state.get("rejected_hash")}:
            continue
        row = {name: getattr(desired, name) for name in desired.__slots__}
        row |= {"as_of": as_of, "run_id": 0, "content_hash": content_hash}
        pending.append(queue.build_pending_object(row, state))
    return sorted(pending, key=lambda row: row.sort_key)
