"""Protocol between the sender and a CRM: object references, changes, results and errors.

A target is a thin adapter. It reads the live values of our fields, writes the changes that it is
given, and reports a result for each row. What to write, which human edits to keep, and when to
retry or give up is decided once for all CRMs, in :mod:`serving.delivery.reconcile`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    "RateLimiter",
    "Rejected",
    "RemoteObject",
    "RetryableError",
    "Value",
    "WriteResult",
    "describe_exception",
    "extract_first_line",
    "parse_retry_after",
    "write_accepted",
]

Kind = Literal["account", "opportunity", "task"]
KINDS: tuple[Kind, ...] = ("account", "opportunity", "task")  # parents first
# JSON values; a date is ISO text, and several sentences are one text with line breaks.
Value: TypeAlias = str | int | float | bool | None
Fields: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class ObjectRef:
    """Reference to one CRM object.

    Attributes
    ----------
    kind : {"account", "opportunity", "task"}
        Type of the object.
    key : str
        Our external key, unique at the target: the account id for an account,
        ``account:limit:episode`` for an opportunity, and that key plus the action for a task.
    account_id : str
        Account that the object belongs to.
    limit : str or None
        Limit that the account is reaching; only for opportunities and tasks.
    crm_id : str or None
        Record id at the target, once known.
    account_crm_id, opportunity_crm_id : str or None
        Record ids of the parent account and opportunity, once known.
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
    """Object as it exists at the target.

    Attributes
    ----------
    crm_id : str
        Record id at the target.
    fields : mapping of str to Value
        Live values of the fields that we write, under our names; an empty field is None.
    created_by_us : bool
        False for an open expansion opportunity that a human created, which is to be adopted.
    """

    crm_id: str
    fields: Fields
    created_by_us: bool = True


@dataclass(frozen=True)
class FieldChange:
    """Fields to set on one object; the object is created if ``ref.crm_id`` is None.

    Creation must be idempotent: the same key sent twice creates one object.
    """

    ref: ObjectRef
    fields: Fields


@dataclass(frozen=True)
class Applied:
    """Result of a change that the target has accepted."""

    crm_id: str


@dataclass(frozen=True)
class Rejected:
    """Result of a change that the target will never accept as it is, with the target's message."""

    reason: str


WriteResult: TypeAlias = Applied | Rejected


class RetryableError(Exception):
    """Temporary failure: lost connection, lock, rate limit, server error.

    ``retry_after_seconds`` is the wait that the server asked for, if any.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BatchRejectedError(Exception):
    """The whole call was rejected because of its content; nothing was written."""


class AccessDeniedError(Exception):
    """The operation is not allowed: invalid key, missing permission or missing field.

    Retrying does not help; the message states what the CRM administrator must do.
    """


@dataclass(frozen=True)
class RateLimit:
    """Limits of a target: rows per call, and calls within a time window in seconds."""

    rows_per_call: int = 100
    max_calls: int | None = None
    window_seconds: float = 1.0


class RateLimiter:
    """Sliding window over the times of the last calls, in seconds of any monotonic clock.

    Record a call after its response: a server counts it from when the request arrives.
    """

    def __init__(self, rate_limit: RateLimit) -> None:
        self._rate_limit = rate_limit
        self._call_times: deque[float] = deque(maxlen=rate_limit.max_calls or 0)

    def compute_wait(self, now: float) -> float:
        """Return the seconds until the limit allows another call."""
        if self._rate_limit.max_calls is None or len(self._call_times) < self._rate_limit.max_calls:
            return 0.0
        return max(0.0, self._call_times[0] + self._rate_limit.window_seconds - now)

    def record_call(self, now: float) -> None:
        """Record the time of a call."""
        self._call_times.append(now)


@dataclass(frozen=True)
class PreflightCheck:
    """One pre-flight check: its subject, whether it passed, and what to do if it did not."""

    subject: str
    passed: bool
    message: str
    examples: tuple[str, ...] = ()

    @classmethod
    def fail(cls, subject: str, message: str, examples: Sequence[str]) -> PreflightCheck:
        """Return a failed check with the first five examples."""
        return cls(subject, False, message, tuple(examples[:5]))


@dataclass(frozen=True, order=True)
class HumanTouch:
    """Human activity on an account: a task of ours completed, or an opportunity of ours moved."""

    account_id: str
    touched_on: date
    activity: str


class CrmTarget(Protocol):
    """A CRM. Every method may raise :class:`RetryableError` or :class:`AccessDeniedError`."""

    @property
    def name(self) -> str:
        """Name of the target in the settings, the database and the commands."""

    @property
    def rate_limit(self) -> RateLimit:
        """Rate limit and batch size of the target."""

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Return the values as :meth:`read` would return them: rounded, truncated, mapped.

        Fields that this target does not hold are left out. Idempotent: normalizing twice changes
        nothing more.
        """

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Return the live objects in the order of the refs, None where there is no object.

        All refs are of one kind, one to ``rate_limit.rows_per_call`` of them. If an opportunity is
        not found by its key, an open expansion opportunity that a human created at the account for
        the same limit is returned, with ``created_by_us`` False. An account without ``crm_id`` is
        matched to a record.
        """

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Set fields and return one result per change, in the same order.

        All changes are of one kind, one to ``rate_limit.rows_per_call`` of them. May also raise
        :class:`BatchRejectedError`, after which nothing was written.
        """

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Check permissions, fields and account matching without writing."""

    def provision(self) -> list[str]:
        """Create missing fields, groups, unique keys and pipeline; idempotent.

        Returns a line for each thing that was created; none if nothing was missing.
        """

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Return the accounts on which humans were active, from a day on."""

    def close(self) -> None:
        """Close the connections."""


def write_accepted(
    changes: Sequence[FieldChange],
    find_rejection: Callable[[FieldChange], Rejected | None],
    write: Callable[[Sequence[FieldChange]], Sequence[WriteResult]],
) -> list[WriteResult]:
    """Write the changes without a rejection, if any, and return all results in order."""
    rejections = [find_rejection(change) for change in changes]
    accepted = [index for index, rejection in enumerate(rejections) if rejection is None]
    results = write([changes[index] for index in accepted]) if accepted else []
    written = dict(zip(accepted, results, strict=True))
    return [rejection or written[index] for index, rejection in enumerate(rejections)]


def parse_retry_after(text: str | None) -> float | None:
    """Return a ``Retry-After`` header in seconds, or None if it is missing or a date.

    Examples
    --------
    >>> parse_retry_after("0.25"), parse_retry_after("Fri, 31 Dec 2027 23:59:59 GMT")
    (0.25, None)
    """
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def extract_first_line(message: object) -> str:
    """Return the first line of a message, at most 300 characters."""
    return str(message).strip().partition("\n")[0][:300]


def describe_exception(error: Exception) -> str:
    """Return the first line of an exception's message, or its class name."""
    return extract_first_line(error) or type(error).__name__
