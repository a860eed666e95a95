"""Running counters of one sync run."""

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
    """Counts so far.

    Attributes
    ----------
    processed : int
        Objects that need no further pass.
    blocked : int
        Objects not processed in the last pass: rejected, waiting, or failing.
    human_touches : int or None
        New human touches pulled; None if the CRM did not respond.
    consecutive_rejections : int
        Objects rejected one by one since the last success.
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
        """Objects that were created or updated."""
        return self.created.total() + self.updated.total()

    def add(self, diff: ObjectDiff) -> None:
        """Count the change of one object."""
        self.processed += 1
        self.human_fields += len(diff.merge.human_fields)
        self.adopted += diff.adopted and not diff.row.adopted
        self.fields += len(diff.merge.changes)
        if diff.action == "create":
            self.created[diff.row.kind] += 1
        elif diff.action == "update":
            self.updated[diff.row.kind] += 1
        elif diff.action == "skip" and diff.row.crm_id:
            self.deleted_in_crm += 1
        else:
            self.unchanged += 1

    def to_summary(
        self, call: RetryingCaller, *, pending: int, stop_reason: str | None
    ) -> SyncSummary:
        """Return the summary; ``pending`` includes the objects that wait for a parent."""
        return SyncSummary(
            created=dict(self.created),
            updated=dict(self.updated),
            unchanged=self.unchanged,
            fields=self.fields,
            adopted=self.adopted,
            human_fields=self.human_fields,
            rejected=self.rejected,
            waiting_for_parent=self.waiting_for_parent,
            deleted_in_crm=self.deleted_in_crm,
            remaining=max(pending - self.waiting_for_parent, 0),
            requests=call.requests,
            failures=call.failures,
            human_touches=self.human_touches,
            stop_reason=stop_reason,
        )
