"""What a sender tells of its work, in counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from serving.delivery.crm.base import Fields, Kind

__all__ = ["PlannedChange", "SyncSummary"]


@dataclass(frozen=True)
class PlannedChange:
    """What is to become of one object, field by field.

    Attributes
    ----------
    made : bool
        It does not stand at the target yet.
    before, after : mapping of str to Value
        Of the fields that are to be written: what stands there, and what will.
    theirs : tuple of str
        Fields that a human has set, which stay as they are.
    """

    kind: Kind
    key: str
    made: bool
    before: Fields
    after: Fields
    theirs: tuple[str, ...] = ()


@dataclass(frozen=True)
class SyncSummary:
    """What came of one time that a sender went to work.

    Attributes
    ----------
    made, changed : mapping of str to int
        Kind → objects made, and objects of which fields were set.
    unchanged : int
        Objects at which nothing was left to write.
    fields : int
        Values written.
    adopted : int
        Objects of a human's making that are filled from now on.
    theirs : int
        Fields that stay as a human set them.
    rejected : int
        Objects that the target refused, kept with its words.
    waiting : int
        Objects whose account or opportunity does not stand at the target yet.
    gone : int
        Objects that a human deleted, which stay deleted.
    left : int
        Objects that are still to be sent: beyond the cap or the time of this run.
    requests, failures : int
        Calls made to the target, and those of them that failed for a while.
    worked : int or None
        Accounts that humans have dealt with, new to us; None where the CRM did not tell.
    words : str or None
        Why it stopped early, where it did.
    """

    made: Mapping[Kind, int] = field(default_factory=dict)
    changed: Mapping[Kind, int] = field(default_factory=dict)
    unchanged: int = 0
    fields: int = 0
    adopted: int = 0
    theirs: int = 0
    rejected: int = 0
    waiting: int = 0
    gone: int = 0
    left: int = 0
    requests: int = 0
    failures: int = 0
    worked: int | None = None
    words: str | None = None

    @property
    def written(self) -> int:
        """Objects that were made or changed."""
        return sum(self.made.values()) + sum(self.changed.values())

    def __repr__(self) -> str:
        return (
            f"Sent({self.written:,} objects, {self.fields:,} fields; {self.rejected:,} rejected,"
            f" {self.waiting:,} waiting, {self.left:,} left)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Say it in JSON values."""
        return asdict(self)
