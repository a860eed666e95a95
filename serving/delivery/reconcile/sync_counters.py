"""Counts of one sender's work, as they come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from serving.delivery.crm.base import Kind
from serving.delivery.reconcile.diff import ObjectDiff
from serving.delivery.reconcile.retry import RetryingCaller
from serving.delivery.reconcile.summary import SyncSummary

__all__ = ["SyncCounters"]


@dataclass
class SyncCounters:
    """What has been done so far.

    Attributes
    ----------
    processed : int
        Rows that need not be looked at again.
    blocked : int
        Rows that could not be settled in the last pass: refused, waiting, or failing.
    human_touches : int or None
        Accounts that humans have dealt with; None where the CRM has not told.
    consecutive_rejections : int
        Rows that were refused one by one since the last one was taken.
    """

    created: Counter[Kind] = field(default_factory=Counter)
    updated: Counter[Kind] = field(default_factory=Counter)
    unchanged: int = 0
    fields: int = 0
    adopted: int = 0
    human_fields: int = 0
    rejected: int = 0
    waiting_for_parent: int = 0
    deleted_in_crm: int = 0
    processed: int = 0
    blocked: int = 0
    consecutive_rejections: int = 0
    human_touches: int | None = None

    @property
    def written(self) -> int:
        """Objects that were made or changed."""
        return self.created.total() + self.updated.total()

    def add(self, diff: ObjectDiff) -> None:
        """Count what was done about one object."""
        self.processed += 1
        self.human_fields += len(diff.merge.human_fields)
        self.adopted += diff.adopted and not diff.row.adopted
        self.fields += len(diff.merge.changes)
        if diff.action == "make":
            self.created[diff.row.kind] += 1
        elif diff.action == "change":
            self.updated[diff.row.kind] += 1
        elif diff.action == "leave" and diff.row.crm_id:
            self.deleted_in_crm += 1
        else:
            self.unchanged += 1

    def to_summary(
        self, call: RetryingCaller, *, pending: int, stop_reason: str | None
    ) -> SyncSummary:
        """Say it; ``pending`` rows are still to be sent, those that wait included."""
        return SyncSummary(
            made=dict(self.created),
            changed=dict(self.updated),
            unchanged=self.unchanged,
            fields=self.fields,
            adopted=self.adopted,
            theirs=self.human_fields,
            rejected=self.rejected,
            waiting=self.waiting_for_parent,
            gone=self.deleted_in_crm,
            left=max(pending - self.waiting_for_parent, 0),
            requests=call.requests,
            failures=call.failures,
            worked=self.human_touches,
            words=stop_reason,
        )
