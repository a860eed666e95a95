"""Deliver one batch: read, decide, say what is being sent, send it, say what was acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import state
from serving.crm.target import Accepted, BatchRefused, Change, Kind, Target
from serving.outbox import acknowledged, pending, plans
from serving.outbox.calls import Calls, Exhausted
from serving.outbox.lease import Lease, Lost
from serving.outbox.pending import Parents, Row
from serving.outbox.plans import Plan
from serving.outbox.sent import Planned
from serving.outbox.tally import Tally

__all__ = ["Work", "deliver"]

Item = TypeVar("Item")
# So many rows refused one by one, with none taken in between: it is not the rows.
_REFUSED_IN_A_ROW: Final = 50


@dataclass(frozen=True)
class Work:
    """What one sender works with."""

    engine: sa.Engine
    target: Target
    call: Calls
    lease: Lease
    send_id: int
    now: datetime
    tell: Callable[[Planned], None]
    tally: Tally = field(default_factory=Tally)


def deliver(work: Work, rows: Sequence[Row]) -> None:
    """Deliver rows of one kind; what became of them stands in the tally.

    Where a target fails at them again and again, they are tried in halves: one of them may be why.

    Raises
    ------
    serving.outbox.calls.OutOfTime, serving.outbox.lease.Lost
        If the sender has to stop.
    data.errors.DeliveryError
        If the target refuses everything, or the database does.
    serving.crm.target.Denied
        If the target denies us.
    """
    with state.reading(work.engine) as connection:
        above = pending.parents(connection, work.target.name, rows)
    ready = [row for row in rows if above.has(row)]
    work.tally.waiting += len(rows) - len(ready)
    if ready:
        _deliver(work, ready, above)


def _deliver(work: Work, rows: Sequence[Row], above: Parents) -> None:
    try:
        found = plans.read(work.call, work.target, rows, above)
    except Exhausted:
        _halve(rows, lambda some: _deliver(work, some, above))
        return
    drawn = plans.drawn(work.target, rows, found, lambda ids: _owners(work, rows[0].kind, ids))
    busy = [plan for plan in drawn if plan.is_busy]
    for plan in busy:
        work.tell(plan.told())
    _announce(work, busy, [plan for plan in drawn if not plan.is_busy])
    if busy:
        _write(work, busy, above)


def _announce(work: Work, busy: Sequence[Plan], idle: Sequence[Plan]) -> None:
    """Commit what is about to be sent, and what turns out to stand there already."""
    stand = [(plan, plan.crm_id) for plan in idle]
    with state.writing(work.engine) as connection:
        work.lease.renew(connection)
        acknowledged.attempt(connection, work.target.name, busy)
        acknowledged.acknowledge(
            connection, work.target.name, stand, send_id=work.send_id, now=work.now
        )
    for plan in idle:
        work.tally.take(plan)


def _write(work: Work, busy: Sequence[Plan], above: Parents) -> None:
    changes = [
        Change(replace(plan.row.ref(*above.of(plan.row)), crm_id=plan.crm_id), plan.decision.write)
        for plan in busy
    ]
    try:
        answers = work.call(work.target.write, changes)
    except Exhausted:
        _halve(busy, lambda some: _write(work, some, above))
    except BatchRefused as refused:
        if not _halve(busy, lambda some: _write(work, some, above)):
            _keep(work, [], [(busy[0], str(refused))])
            _refuse_all(work, refused)
    else:
        pairs = list(zip(busy, answers, strict=True))
        taken = [(plan, told.crm_id) for plan, told in pairs if isinstance(told, Accepted)]
        refused_rows = [
            (plan, told.words) for plan, told in pairs if not isinstance(told, Accepted)
        ]
        _keep(work, taken, refused_rows)


def _keep(
    work: Work, taken: Sequence[tuple[Plan, str]], refused: Sequence[tuple[Plan, str]]
) -> None:
    """Commit what the target has answered, also where another sender has taken over since."""
    name = work.target.name
    with state.writing(work.engine) as connection:
        is_kept = work.lease.is_kept(connection)
        keep = acknowledged.acknowledge if is_kept else acknowledged.unsettle
        keep(connection, name, taken, send_id=work.send_id, now=work.now)
        if is_kept:
            acknowledged.reject(connection, name, refused, now=work.now)
    for plan, _ in taken:
        work.tally.take(plan)
        work.tally.refused_in_a_row = 0
    work.tally.rejected += len(refused)
    work.tally.settled += len(refused)
    if not is_kept:
        raise Lost("another sender has taken over")


def _halve(items: Sequence[Item], again: Callable[[Sequence[Item]], None]) -> bool:
    """Try two halves; False where there is one item alone."""
    if len(items) == 1:
        return False
    middle = len(items) // 2
    again(items[:middle])
    again(items[middle:])
    return True


def _refuse_all(work: Work, refused: BatchRefused) -> None:
    """Stop where the target takes nothing at all, before every row was asked about alone."""
    work.tally.refused_in_a_row += 1
    if work.tally.refused_in_a_row >= _REFUSED_IN_A_ROW:
        raise DeliveryError(
            f"the CRM {work.target.name!r} refused {_REFUSED_IN_A_ROW} objects in a row, the last"
            f" with: {refused}. Mend it, then run: expansion crm retry."
        ) from refused


def _owners(work: Work, kind: Kind, crm_ids: Sequence[str]) -> Mapping[str, str]:
    with state.reading(work.engine) as connection:
        return pending.same_object(connection, work.target.name, kind, crm_ids)
