"""Read what stands at a target, and plan what is to be done about each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from serving.delivery.crm.base import CrmTarget, Fields, RemoteObject
from serving.delivery.crm.fields import should_create
from serving.delivery.reconcile.queue import ParentIds, PendingObject
from serving.delivery.reconcile.retry import RetryingCaller
from serving.delivery.reconcile.summary import PlannedChange
from serving.delivery.reconcile.three_way_merge import InFlight, MergeResult, three_way_merge

__all__ = ["ObjectDiff", "compute_diffs", "read_live"]

DiffAction: TypeAlias = Literal["make", "change", "nothing", "leave"]


@dataclass(frozen=True)
class ObjectDiff:
    """What is to be done about one row, and what is known of its object.

    Attributes
    ----------
    action : {"make", "change", "nothing", "leave"}
        ``leave`` is said of what a human deleted, and of what ended before it was made.
    last_applied, in_flight : mapping
        What we knew of this very object when we decided.
    crm_id : str or None
        The target's name of the object; None where it is to be made.
    adopted : bool
        A human made it.
    """

    row: PendingObject
    action: DiffAction
    merge: MergeResult
    last_applied: Fields
    in_flight: InFlight
    crm_id: str | None = None
    adopted: bool = False

    @property
    def needs_write(self) -> bool:
        """Whether the target has to be asked for a write."""
        return self.action in {"make", "change"}

    def to_planned_change(self) -> PlannedChange:
        """Say it to a reader."""
        row, decision = self.row, self.merge
        made = self.action == "make"
        return PlannedChange(
            row.kind, row.key, made, decision.before, decision.changes, decision.human_fields
        )


def read_live(
    call: RetryingCaller, target: CrmTarget, rows: Sequence[PendingObject], parent_ids: ParentIds
) -> list[RemoteObject | None]:
    """Read the objects of the rows, in their order; all are of one kind.

    An account that is no longer where we knew it, say as two were merged, is matched anew.
    """
    refs = [row.to_ref(*parent_ids.get_ids(row)) for row in rows]
    live = list(call(target.read, refs))
    missing = [
        i for i, row in enumerate(rows) if row.kind == "account" and row.crm_id and not live[i]
    ]
    if missing:
        rematched = call(target.read, [replace(refs[i], crm_id=None) for i in missing])
        for i, now in zip(missing, rematched, strict=True):
            live[i] = now
    return live


def compute_diffs(
    target: CrmTarget,
    rows: Sequence[PendingObject],
    live: Sequence[RemoteObject | None],
    find_owners: Callable[[Sequence[str]], Mapping[str, str]],
) -> list[ObjectDiff]:
    """Plan what is to be done about each row, given what stands there.

    ``find_owners`` gives, for the target's names of objects, our key of those that carry one already:
    what a human made is adopted under one key only.
    """
    adoptable_ids = [now.crm_id for now in live if now is not None and not now.created_by_us]
    owner_keys = dict(find_owners(adoptable_ids)) if adoptable_ids else {}
    diffs = []
    for row, now in zip(rows, live, strict=True):
        is_free = (
            now is None
            or now.created_by_us
            or owner_keys.setdefault(now.crm_id, row.key) == row.key
        )
        diffs.append(_diff_object(target, row, now if is_free else None))
    return diffs


def _diff_object(target: CrmTarget, row: PendingObject, live: RemoteObject | None) -> ObjectDiff:
    desired = target.normalize(row.kind, row.fields)
    if live is not None:
        # Of another record than before, as when two were merged, we know nothing.
        is_same_record = row.crm_id in {None, live.crm_id}
        last_applied, in_flight = (row.last_applied, row.in_flight) if is_same_record else ({}, {})
        merge = three_way_merge(desired, live.fields, last_applied, in_flight)
        action: DiffAction = "change" if merge.changes else "nothing"
        return ObjectDiff(
            row,
            action,
            merge,
            last_applied,
            in_flight,
            live.crm_id,
            row.adopted or not live.created_by_us,
        )
    # An account that is gone is matched or made anew; the other two a human deletes knowingly.
    was_deleted = row.crm_id is not None and row.kind != "account"
    if was_deleted or not should_create(row.fields):
        unchanged = MergeResult({}, {}, (), row.last_applied)
        return ObjectDiff(row, "leave", unchanged, row.last_applied, {}, row.crm_id, row.adopted)
    # It is made from nothing: what was acknowledged of an earlier one does not count.
    return ObjectDiff(row, "make", three_way_merge(desired, {}, {}, {}), {}, row.in_flight)
