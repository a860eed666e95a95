"""Diff of desired and live state: read live objects and compute the change of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import sqlalchemy as sa

from serving import store
from serving.delivery.crm.base import CrmTarget, Fields, Kind, RemoteObject
from serving.delivery.crm.fields import should_create
from serving.delivery.reconcile import queue
from serving.delivery.reconcile.queue import ParentIds, PendingObject
from serving.delivery.reconcile.retry import RetryingCaller
from serving.delivery.reconcile.three_way_merge import InFlight, MergeResult, three_way_merge

__all__ = ["ObjectDiff", "PlannedChange", "diff_objects"]

DiffAction: TypeAlias = Literal["create", "update", "none", "skip"]


@dataclass(frozen=True)
class PlannedChange:
    """Change of one object as a reader sees it, field by field.

    Attributes
    ----------
    before, after : mapping of str to Value
        Live and new values of the fields to write.
    human_fields : tuple of str
        Fields that a human has set; they are kept.
    """

    kind: Kind
    key: str
    is_new: bool
    before: Fields
    after: Fields
    human_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectDiff:
    """Change of one object, and what was known of it.

    Attributes
    ----------
    action : {"create", "update", "none", "skip"}
        ``skip`` is used for an object that a human deleted, or that closed before it was created.
    last_applied, in_flight : mapping
        Values of this record that the merge was based on.
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
        row, merge, is_new = self.row, self.merge, self.action == "create"
        return PlannedChange(
            row.kind, row.key, is_new, merge.before, merge.changes, merge.human_fields
        )


def diff_objects(
    engine: sa.Engine,
    target: CrmTarget,
    call: RetryingCaller,
    rows: Sequence[PendingObject],
    parent_ids: ParentIds,
) -> list[ObjectDiff]:
    """Read the live objects of the rows, all of one kind, and compute the change of each.

    Children of an account that does not exist at the target yet are not read. A record that a
    human created is adopted under one key only.
    """
    readable = [
        row for row in rows if row.kind == "account" or row.account_id in parent_ids.accounts
    ]
    live = _read_live(call, target, readable, parent_ids) if readable else {}
    adoptable_ids = [
        remote.crm_id for remote in live.values() if remote and not remote.created_by_us
    ]
    owner_keys: dict[str, str] = {}
    if adoptable_ids:
        with store.read_transaction(engine) as connection:
            owner_keys = queue.find_owner_keys(connection, target.name, rows[0].kind, adoptable_ids)
    diffs = []
    for row in rows:
        remote = live.get(row.key)
        is_free = (
            remote is None
            or remote.created_by_us
            or owner_keys.setdefault(remote.crm_id, row.key) == row.key
        )
        diffs.append(_diff_object(target, row, remote if is_free else None))
    return diffs


def _read_live(
    call: RetryingCaller, target: CrmTarget, rows: Sequence[PendingObject], parent_ids: ParentIds
) -> dict[str, RemoteObject | None]:
    """Return the live object of each key.

    An account whose record is gone, for example after a merge of two, is matched again.
    """
    refs = [parent_ids.to_ref(row) for row in rows]
    live = {ref.key: remote for ref, remote in zip(refs, call(target.read, refs), strict=True)}
    gone = [
        replace(ref, crm_id=None)
        for ref in refs
        if ref.kind == "account" and ref.crm_id and not live[ref.key]
    ]
    if gone:
        matched_again = call(target.read, gone)
        live |= {ref.key: remote for ref, remote in zip(gone, matched_again, strict=True)}
    return live


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
