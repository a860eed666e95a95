"""Summary of a sync run: the counts of a sender or of a dry run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from serving.delivery.crm.base import Kind
from serving.delivery.reconcile.diff import ObjectDiff

__all__ = ["SyncSummary"]


@dataclass
class SyncSummary:
    """Result of one sync run; it counts while the run goes on.

    Attributes
    ----------
    created, updated : dict of str to int
        Kind → objects created, and objects with changed fields.
    unchanged : int
        Objects that were already in sync.
    fields : int
        Values written.
    adopted : int
        Objects created by a human that we update from now on.
    human_fields : int
        Fields kept because a human has set them.
    rejected : int
        Objects that the target rejected, stored with its message.
    waiting_for_parent : int
        Objects whose account or opportunity does not exist at the target yet.
    deleted_in_crm : int
        Objects that a human deleted, which are not created again.
    remaining : int
        Objects still to be sent, beyond the cap or the deadline of this run.
    requests, failures : int
        Calls to the target, and those that failed with a retryable error.
    human_touches : int or None
        New human touches pulled; None if the CRM did not respond.
    stop_reason : str or None
        Reason for stopping early, if it did.
    """

    created: dict[Kind, int] = field(default_factory=dict)
    updated: dict[Kind, int] = field(default_factory=dict)
    unchanged: int = 0
    fields: int = 0
    adopted: int = 0
    human_fields: int = 0
    rejected: int = 0
    waiting_for_parent: int = 0
    deleted_in_crm: int = 0
    remaining: int = 0
    requests: int = 0
    failures: int = 0
    human_touches: int | None = None
    stop_reason: str | None = None

    @property
    def written(self) -> int:
        """Objects that were created or updated."""
        return sum(self.created.values()) + sum(self.updated.values())

    @property
    def processed(self) -> int:
        """Objects that need no further pass."""
        return self.written + self.unchanged + self.deleted_in_crm + self.rejected

    def add(self, diff: ObjectDiff) -> None:
        """Count the change of one object."""
        kind = diff.row.kind
        self.human_fields += len(diff.merge.human_fields)
        self.adopted += diff.adopted and not diff.row.adopted
        self.fields += len(diff.merge.changes)
        if diff.action == "create":
            self.created[kind] = self.created.get(kind, 0) + 1
        elif diff.action == "update":
            self.updated[kind] = self.updated.get(kind, 0) + 1
        elif diff.action == "skip" and diff.row.crm_id:
            self.deleted_in_crm += 1
        else:
            self.unchanged += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)
