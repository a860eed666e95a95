"""What Salesforce complains of, sorted by what is to be done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from simple_salesforce.exceptions import SalesforceError

from serving.crm.target import BatchRefused, Denied, Transient

__all__ = ["denied", "fault", "is_locked", "signed_out", "words"]

_SIGNED_OUT: Final = "INVALID_SESSION_ID"
_OVER_LIMIT: Final = "REQUEST_LIMIT_EXCEEDED"
_LOCKED: Final = "UNABLE_TO_LOCK_ROW"
_PASSING: Final = {
    _LOCKED,
    "SERVER_UNAVAILABLE",
    "QUERY_TIMEOUT",
    "REQUEST_RUNNING_TOO_LONG",
    "UNKNOWN_EXCEPTION",
}
# A field that is not there, or that we may not see.
_FIELD: Final = {
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "INVALID_TYPE",
    "INVALID_TYPE_FOR_OPERATION",
    "NOT_FOUND",
}
# Of one row, but it will be the same with the next.
_DENIED: Final = {
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "INVALID_TYPE_FOR_OPERATION",
    "STORAGE_LIMIT_EXCEEDED",
}
_BUSY: Final = (408, 429, 420)


def signed_out(error: SalesforceError) -> bool:
    """Whether the session has run out."""
    return error.status == 401 and _SIGNED_OUT in _codes(error.content)


def fault(error: SalesforceError, after_seconds: float | None) -> Exception:
    """Say what a refused call means for who wants to send."""
    status, codes, told = error.status, _codes(error.content), _told(error.content)
    if status == 300:
        return BatchRefused("several records have the same external id; clear it in all but one")
    if status == 401:
        return Denied(
            f"Salesforce does not know our session ({told}); fetch a new token, or let us log in"
            " with crm.salesforce.client_id and client_secret"
        )
    if _OVER_LIMIT in codes:
        return _over_limit(told, after_seconds)
    if status >= 500 or status in _BUSY or codes & _PASSING:
        return Transient(f"Salesforce answered {status}: {told}", after_seconds)
    return _refusal(status, codes, told)


def _refusal(status: int, codes: set[str], told: str) -> Exception:
    if codes & _FIELD:
        return Denied(
            f"Salesforce has no such field or object, or hides it from us ({told}); run expansion"
            " crm setup, and give our user the permission set"
        )
    if status in {403, 404, 414, 431}:
        return Denied(f"Salesforce denies it: {told}")
    return BatchRefused(told)


def is_locked(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody else was at work on a row, also where a trigger only says so."""
    return any(
        error.get("statusCode") in _PASSING or _LOCKED in str(error.get("message"))
        for error in errors
    )


def denied(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is not the row that is refused, but we."""
    return any(error.get("statusCode") in _DENIED for error in errors)


def words(errors: Sequence[Mapping[str, Any]]) -> str:
    """Give a row's errors in Salesforce's words.

    Examples
    --------
    >>> words([{"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Name"]}])
    'STRING_TOO_LONG: too long (Name)'
    """
    return "; ".join(_row(error) for error in errors) or "Salesforce gave no reason"


def _row(error: Mapping[str, Any]) -> str:
    said = f"{error.get('statusCode')}: {_first_line(error.get('message'))}"
    fields = ", ".join(map(str, error.get("fields") or ()))
    return f"{said} ({fields})" if fields else said


def _over_limit(told: str, after_seconds: float | None) -> Exception:
    if "concurrent" in told.lower():  # too many long calls at this moment
        return Transient(f"Salesforce is busy: {told}", after_seconds)
    return Denied(
        f"Salesforce takes no more requests in these 24 hours ({told}); the next run goes on"
    )


def _codes(content: Any) -> set[str]:  # noqa: ANN401 - any JSON
    return {str(item.get("errorCode")) for item in _items(content)}


def _told(content: Any) -> str:  # noqa: ANN401 - any JSON
    items = _items(content)
    if not items:
        return _first_line(content) or "no reason given"
    return "; ".join(
        f"{item.get('errorCode')}: {_first_line(item.get('message'))}" for item in items
    )


def _items(content: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - any JSON
    items = content if isinstance(content, list) else [content]
    return [item for item in items if isinstance(item, Mapping) and "errorCode" in item]


def _first_line(text: object) -> str:
    """The line that tells most: in a query's complaint, the last one."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    telling = [line for line in lines if not set(line) <= {"^"}]
    return (telling[-1] if telling else "")[:300]
