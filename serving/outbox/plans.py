"""Read what stands at a target, and plan what is to be done about each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from serving.crm.target import Fields, Found, Target
from serving.outbox.calls import Calls
from serving.outbox.merge import Attempted, Decision, decide
from serving.outbox.objects import is_to_be_made
from serving.outbox.pending import Parents, Row
from serving.outbox.sent import Planned

__all__ = ["Plan", "drawn", "read"]

Todo: TypeAlias = Literal["make", "change", "nothing", "leave"]


@dataclass(frozen=True)
class Plan:
    """What is to be done about one row, and what is known of its object.

    Attributes
    ----------
    todo : {"make", "change", "nothing", "leave"}
        ``leave`` is said of what a human deleted, and of what ended before it was made.
    acknowledged, attempted : mapping
        What we knew of this very object when we decided.
    crm_id : str or None
        The target's name of the object; None where it is to be made.
    adopted : bool
        A human made it.
    """

    row: Row
    todo: Todo
    decision: Decision
    acknowledged: Fields
    attempted: Attempted
    crm_id: str | None = None
    adopted: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether the target has to be asked for a write."""
        return self.todo in {"make", "change"}

    def told(self) -> Planned:
        """Say it to a reader."""
        row, decision = self.row, self.decision
        made = self.todo == "make"
        return Planned(row.kind, row.key, made, decision.before, decision.write, decision.theirs)


def read(call: Calls, target: Target, rows: Sequence[Row], above: Parents) -> list[Found | None]:
    """Read the objects of the rows, in their order; all are of one kind.

    An account that is no longer where we knew it, say as two were merged, is matched anew.
    """
    refs = [row.ref(*above.of(row)) for row in rows]
    found = list(call(target.read, refs))
    moved = [
        i for i, row in enumerate(rows) if row.kind == "account" and row.crm_id and not found[i]
    ]
    if moved:
        anew = call(target.read, [replace(refs[i], crm_id=None) for i in moved])
        for i, now in zip(moved, anew, strict=True):
            found[i] = now
    return found


def drawn(
    target: Target,
    rows: Sequence[Row],
    found: Sequence[Found | None],
    owners: Callable[[Sequence[str]], Mapping[str, str]],
) -> list[Plan]:
    """Plan what is to be done about each row, given what stands there.

    ``owners`` gives, for the target's names of objects, our key of those that carry one already:
    what a human made is adopted under one key only.
    """
    others = [now.crm_id for now in found if now is not None and not now.ours]
    taken = dict(owners(others)) if others else {}
    plans = []
    for row, now in zip(rows, found, strict=True):
        is_free = now is None or now.ours or taken.setdefault(now.crm_id, row.key) == row.key
        plans.append(_plan(target, row, now if is_free else None))
    return plans


def _plan(target: Target, row: Row, now: Found | None) -> Plan:
    wanted = target.shape(row.kind, row.fields)
    if now is not None:
        # Of another record than before, as when two were merged, we know nothing.
        knows = row.crm_id in {None, now.crm_id}
        last, sent = (row.acknowledged, row.attempted) if knows else ({}, {})
        decision = decide(wanted, now.fields, last, sent)
        todo: Todo = "change" if decision.write else "nothing"
        return Plan(row, todo, decision, last, sent, now.crm_id, row.adopted or not now.ours)
    # An account that is gone is matched or made anew; the other two a human deletes knowingly.
    was_deleted = row.crm_id is not None and row.kind != "account"
    if was_deleted or not is_to_be_made(row.fields):
        stays = Decision({}, {}, (), row.acknowledged)
        return Plan(row, "leave", stays, row.acknowledged, {}, row.crm_id, row.adopted)
    # It is made from nothing: what was acknowledged of an earlier one does not count.
    return Plan(row, "make", decide(wanted, {}, {}, {}), {}, row.attempted)
