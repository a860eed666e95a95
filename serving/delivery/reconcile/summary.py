"""Summary of a sync run, and the planned change of one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from serving.delivery.crm.base import Fields, Kind

__all__ = ["PlannedChange", "SyncSummary"]


@dataclass(frozen=True)
class PlannedChange:
    """Change of one object, field by field.

    Attributes
    ----------
    is_new : bool
        It does not exist at the target yet.
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
class SyncSummary:
    """Result of one sync run.

    Attributes
    ----------
    created, updated : mapping of str to int
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

    created: Mapping[Kind, int] = field(default_factory=dict)
    updated: Mapping[Kind, int] = field(default_factory=dict)
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

    def __repr__(self) -> str:
        return (
            f"SyncSummary({self.written:,} objects, {self.fields:,} fields; {self.rejected:,}"
            f" rejected, {self.waiting_for_parent:,} waiting, {self.remaining:,} remaining)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)
