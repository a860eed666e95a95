"""What the sender asks of a CRM, and what a CRM may answer: one target is one implementation.

A target is a thin door. It reads the present values of our fields, writes what it is told to, and
says row by row what became of it. What to write, what to leave to a human, when to try again and
when to give up is decided once for all of them, in :mod:`serving.delivery`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol, TypeAlias

__all__ = [
    "KINDS",
    "AccessDeniedError",
    "Applied",
    "BatchRejectedError",
    "CrmTarget",
    "FieldChange",
    "Fields",
    "HumanTouch",
    "Kind",
    "ObjectRef",
    "PreflightCheck",
    "RateLimit",
    "Rejected",
    "RemoteObject",
    "RetryableError",
    "Value",
    "WriteResult",
]

Kind = Literal["account", "opportunity", "task"]
KINDS: tuple[Kind, ...] = ("account", "opportunity", "task")  # parents first
# What JSON knows; a day is an ISO date, and several sentences are one text with line ends.
Value: TypeAlias = str | int | float | bool | None
Fields: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class ObjectRef:
    """Which object is meant.

    Attributes
    ----------
    kind : {"account", "opportunity", "task"}
        What it is.
    key : str
        Our own name of it, unique at the target: the account's id, ``account:limit:episode`` of an
        opportunity, the same with what is to be done of a task.
    account_id : str
        The account it is about.
    limit : str or None
        What the account runs into, of an opportunity and its tasks.
    crm_id : str or None
        The target's own name of it, once known.
    account_crm_id, opportunity_crm_id : str or None
        The target's names of what it hangs on, once known.
    """

    kind: Kind
    key: str
    account_id: str
    limit: str | None = None
    crm_id: str | None = None
    account_crm_id: str | None = None
    opportunity_crm_id: str | None = None


@dataclass(frozen=True)
class RemoteObject:
    """An object as it stands at the target.

    Attributes
    ----------
    crm_id : str
        The target's own name of it.
    fields : mapping of str to Value
        Present values of the fields we write, under our names; an empty one is None.
    created_by_us : bool
        False where a human made it: an open expansion opportunity of the account, to be adopted.
    """

    crm_id: str
    fields: Fields
    created_by_us: bool = True


@dataclass(frozen=True)
class FieldChange:
    """Fields to set on one object, which is made where ``ref.crm_id`` is None.

    Making must be safe to repeat: the same key twice gives one object.
    """

    ref: ObjectRef
    fields: Fields


@dataclass(frozen=True)
class Applied:
    """The target has taken the change."""

    crm_id: str


@dataclass(frozen=True)
class Rejected:
    """The target will never take this row as it is, and says why in its own words."""

    reason: str


WriteResult: TypeAlias = Applied | Rejected


class RetryableError(Exception):  # noqa: N818 - named as what it is: it may work later
    """It may work later: a lost connection, a lock, a rate limit, a server in trouble.

    ``retry_after_seconds`` is what the server asked us to wait, where it did.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BatchRejectedError(Exception):  # noqa: N818
    """The call was refused as a whole for what is in it; nothing of it was written."""


class AccessDeniedError(Exception):  # noqa: N818
    """We may not do this at all: a key that is not valid, a permission or a field that is missing.

    Trying again is of no use; the words say what the CRM's owner must do.
    """


@dataclass(frozen=True)
class RateLimit:
    """How fast a target may be asked: rows in one call, and calls within a number of seconds."""

    rows_per_call: int = 100
    max_calls: int | None = None
    window_seconds: float = 1.0


@dataclass(frozen=True)
class PreflightCheck:
    """One line of a pre-flight: what was looked at, whether it is well, what to do if not."""

    subject: str
    passed: bool
    message: str
    examples: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class HumanTouch:
    """A human has dealt with the account: a task of ours done, an opportunity of ours moved."""

    account_id: str
    touched_on: date
    activity: str


class CrmTarget(Protocol):
    """A CRM. Every method may raise :class:`RetryableError`, :class:`AccessDeniedError`."""

    @property
    def name(self) -> str:
        """The name of the target in the settings, the outbox, and the commands."""

    @property
    def rate_limit(self) -> RateLimit:
        """How fast it may be asked."""

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as :meth:`read` would give them back: rounded, cut to length, mapped.

        Fields that this target does not carry are left out. Shaping twice changes nothing more.
        """

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Give what stands at the target, in the order of the refs; None: nothing does.

        All refs are of one kind and at most ``pace.rows_per_call``. For an opportunity that is not
        there by its key, an open expansion opportunity that a human made at the account for the
        same limit is found, with ``ours`` False. For an account without ``crm_id``, the record
        that matches the account.
        """

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Set fields, and say of each change, in their order, what became of it.

        All changes are of one kind and at most ``pace.rows_per_call``. May also raise
        :class:`BatchRejectedError`, after which nothing was written.
        """

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Look, without writing, at permissions, fields, and which accounts match no record."""

    def provision(self) -> list[str]:
        """Make fields, groups, unique keys and pipeline where they are missing; can be repeated.

        Returns a line for each thing that was made; none where all was there.
        """

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Tell which accounts humans have dealt with, from a day on."""

    def close(self) -> None:
        """Let go of connections."""
