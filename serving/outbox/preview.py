"""What sending would change: reads at the target, and writes nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import state
from serving.crm.target import KINDS, Denied, Found, Target
from serving.outbox import pending, plans
from serving.outbox.calls import Calls, Exhausted, OutOfTime
from serving.outbox.pending import Row, Scope
from serving.outbox.sent import Planned, Sent
from serving.outbox.tally import Tally

__all__ = ["preview"]

_ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class _Looking:
    """What one preview works with; ``accounts`` are those it has found, by our id."""

    engine: sa.Engine
    target: Target
    call: Calls
    tell: Callable[[Planned], None]
    tally: Tally = field(default_factory=Tally)
    accounts: dict[str, str] = field(default_factory=dict)


def preview(
    engine: sa.Engine,
    target: Target,
    *,
    rows: Sequence[Row] | None = None,
    full: bool = False,
    tell: Callable[[Planned], None] = lambda _: None,
    budget_seconds: float = 1800.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Tell what sending would do, object by object, in the counts that sending would give.

    Parameters
    ----------
    engine, target, full, tell, budget_seconds, clock, sleep
        As of :func:`serving.outbox.sender.send`.
    rows : sequence of Row, optional
        What is to be sent; else what stands in the outbox.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies us, or does not answer.
    """
    call = Calls(target.pace, clock() + budget_seconds, clock, sleep)
    look = _Looking(engine, target, call, tell)
    windows = _windows(engine, Scope(target.name, full)) if rows is None else iter([rows])
    try:
        for window in windows:
            for kind in KINDS:
                mine = [row for row in window if row.kind == kind]
                for start in range(0, len(mine), target.pace.rows_per_call):
                    _look(look, mine[start : start + target.pace.rows_per_call])
    except Denied as error:
        raise DeliveryError(str(error)) from error
    except (Exhausted, OutOfTime) as error:
        raise DeliveryError(f"the CRM {target.name!r} does not answer: {error}.") from error
    return look.tally.sent(call, pending=0, words=None)


def _windows(engine: sa.Engine, scope: Scope) -> Iterator[Sequence[Row]]:
    after = None
    while True:
        with state.reading(engine) as connection:
            window = pending.window(connection, scope, after, _ROWS_AT_ONCE)
        if not window:
            return
        yield window
        after = window[-1].position


def _look(look: _Looking, rows: Sequence[Row]) -> None:
    """What hangs on an account that does not stand there yet is not there either."""
    with state.reading(look.engine) as connection:
        above = pending.parents(connection, look.target.name, rows, beside=look.accounts)
    found: dict[str, Found | None] = {}
    known = [row for row in rows if row.kind == "account" or row.account_id in above.accounts]
    if known:
        told = plans.read(look.call, look.target, known, above)
        found = {row.key: now for row, now in zip(known, told, strict=True)}
    standing = [found.get(row.key) for row in rows]
    for plan in plans.drawn(look.target, rows, standing, lambda ids: _owners(look, rows, ids)):
        look.tally.take(plan)
        if plan.row.kind == "account" and plan.crm_id:
            look.accounts[plan.row.account_id] = plan.crm_id
        if plan.is_busy:
            look.tell(plan.told())


def _owners(look: _Looking, rows: Sequence[Row], crm_ids: Sequence[str]) -> dict[str, str]:
    with state.reading(look.engine) as connection:
        return pending.same_object(connection, look.target.name, rows[0].kind, crm_ids)
