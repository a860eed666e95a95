"""Diff of desired and live state: read live objects and compute the change of each."""

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

DiffAction: TypeAlias = Literal["create", "update", "none", "skip"]


@dataclass(frozen=True)
class ObjectDiff:
    """Change of one object, and what was known of it.

    Attributes
    ----------
    action : {"create", "update", "none", "skip"}
        ``skip`` is used for an object that a human deleted, or that closed before it was created.
    last_applied, in_flight : mapping
        Values of this record that the merge was based on.
    crm_id : str or None
        Record id at the target; None if it is to be created.
    adopted : bool
        A human created it.
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
        """True if the object is created or updated at the target."""
        return self.action in {"create", "update"}

    def to_planned_change(self) -> PlannedChange:
        """Return the change as it is shown to a reader."""
        row, merge = self.row, self.merge
        is_new = self.action == "create"
        return PlannedChange(
            row.kind, row.key, is_new, merge.before, merge.changes, merge.human_fields
        )


def read_live(
    call: RetryingCaller, target: CrmTarget, rows: Sequence[PendingObject], parent_ids: ParentIds
) -> list[RemoteObject | None]:
    """Read the live objects of the rows, in the same order; all are of one kind.

    An account whose record is gone, for example after a merge of two, is matched again.
    """
    refs = [row.to_ref(*parent_ids.get_ids(row)) for row in rows]
    live = list(call(target.read, refs))
    missing = [
        i for i, row in enumerate(rows) if row.kind == "account" and row.crm_id and not live[i]
    ]
    if missing:
        rematched = call(target.read, [replace(refs[i], crm_id=None) for i in missing])
        for i, remote in zip(missing, rematched, strict=True):
            live[i] = remote
    return live


def compute_diffs(
    target: CrmTarget,
    rows: Sequence[PendingObject],
    live: Sequence[RemoteObject | None],
    find_owners: Callable[[Sequence[str]], Mapping[str, str]],
) -> list[ObjectDiff]:
    """Compute the change of each object, given the live objects.

    ``find_owners`` returns, for record ids, our key of those that already have one: a record that
    a human created is adopted under one key only.
    """
    adoptable_ids = [
        remote.crm_id for remote in live if remote is not None and not remote.created_by_us
    ]
    owner_keys = dict(find_owners(adoptable_ids)) if adoptable_ids else {}
    diffs = []
    for row, remote in zip(rows, live, strict=True):
        is_free = (
            remote is None
            or remote.created_by_us
            or owner_keys.setdefault(remote.crm_id, row.key) == row.key
        )
        diffs.append(_diff_object(target, row, remote if is_free else None))
    return diffs


def _diff_object(target: CrmTarget, row: PendingObject, live: RemoteObject | None) -> ObjectDiff:
    desired = target.normalize(row.kind, row.fields)
    if live is not None:
        # After a merge of two records, the state of the old record does not apply.
        is_same_record = row.crm_id in {None, live.crm_id}
        last_applied, in_flight = (row.last_applied, row.in_flight) if is_same_record else ({}, {})
        merge = three_way_merge(desired, live.fields, last_applied, in_flight)
        action: DiffAction = "update" if merge.changes else "none"
        return ObjectDiff(
            row,
            action,
            merge,
            last_applied,
            in_flight,
            live.crm_id,
            row.adopted or not live.created_by_us,
        )
    # A missing account is matched or created again; opportunities and tasks are deleted on purpose.
    was_deleted = row.crm_id is not None and row.kind != "account"
    if was_deleted or not should_create(row.fields):
        unchanged = MergeResult({}, {}, (), row.last_applied)
        return ObjectDiff(row, "skip", unchanged, row.last_applied, {}, row.crm_id, row.adopted)
    # A new record starts empty; the last-applied values of an earlier one do not apply.
    return ObjectDiff(row, "create", three_way_merge(desired, {}, {}, {}), {}, row.in_flight)
