"""Map Salesforce error responses to the errors of :mod:`serving.delivery.crm.base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from simple_salesforce.exceptions import SalesforceError

from serving.delivery.crm.base import AccessDeniedError, BatchRejectedError, RetryableError

__all__ = ["format_errors", "is_access_denied", "is_locked", "is_session_expired", "to_error"]

_SESSION_EXPIRED: Final = "INVALID_SESSION_ID"
_REQUEST_LIMIT: Final = "REQUEST_LIMIT_EXCEEDED"
_LOCKED: Final = "UNABLE_TO_LOCK_ROW"
_RETRYABLE_CODES: Final = {
    _LOCKED,
    "SERVER_UNAVAILABLE",
    "QUERY_TIMEOUT",
    "REQUEST_RUNNING_TOO_LONG",
    "UNKNOWN_EXCEPTION",
}
# The field is missing or not visible to us.
_FIELD_CODES: Final = {
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "INVALID_TYPE",
    "INVALID_TYPE_FOR_OPERATION",
    "NOT_FOUND",
}
# Errors of one row that apply to all rows.
_ACCESS_DENIED_CODES: Final = {
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "INVALID_TYPE_FOR_OPERATION",
    "STORAGE_LIMIT_EXCEEDED",
}
_RETRYABLE_STATUSES: Final = (408, 429, 420)


def is_session_expired(error: SalesforceError) -> bool:
    """Return whether the session has expired."""
    return error.status == 401 and _SESSION_EXPIRED in _extract_codes(error.content)


def to_error(error: SalesforceError, retry_after: float | None) -> Exception:
    """Convert a failed request to the matching exception."""
    status, codes = error.status, _extract_codes(error.content)
    message = _format_messages(error.content)
    if status == 300:
        return BatchRejectedError(
            "several records have the same external id; clear it in all but one"
        )
    if status == 401:
        return AccessDeniedError(
            f"Salesforce rejects the session ({message}); fetch a new token, or set"
            " crm.salesforce.client_id and client_secret"
        )
    if _REQUEST_LIMIT in codes:
        if "concurrent" in message.lower():  # too many long-running requests
            return RetryableError(f"Salesforce is busy: {message}", retry_after)
        return AccessDeniedError(
            f"Salesforce's daily request limit is reached ({message}); the next run continues"
        )
    if status >= 500 or status in _RETRYABLE_STATUSES or codes & _RETRYABLE_CODES:
        return RetryableError(f"Salesforce responded with status {status}: {message}", retry_after)
    return _to_rejection(status, codes, message)


def _to_rejection(status: int, codes: set[str], message: str) -> Exception:
    if codes & _FIELD_CODES:
        return AccessDeniedError(
            f"a Salesforce field or object is missing or not visible ({message}); run expansion crm"
            " setup, and assign the permission set to our user"
        )
    if status in {403, 404, 414, 431}:
        return AccessDeniedError(f"Salesforce denies access: {message}")
    return BatchRejectedError(message)


def is_locked(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a row was locked, including locks that only a trigger's message mentions."""
    return any(
        error.get("statusCode") in _RETRYABLE_CODES or _LOCKED in str(error.get("message"))
        for error in errors
    )


def is_access_denied(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the errors concern our permissions and not the row."""
    return any(error.get("statusCode") in _ACCESS_DENIED_CODES for error in errors)


def format_errors(errors: Sequence[Mapping[str, Any]]) -> str:
    """Format the errors of a row.

    Examples
    --------
    >>> format_errors([{"statusCode": "TOO_LONG", "message": "too long", "fields": ["Name"]}])
    'TOO_LONG: too long (Name)'
    """
    return "; ".join(_format_error(error) for error in errors) or "Salesforce gave no reason"


def _format_error(error: Mapping[str, Any]) -> str:
    text = f"{error.get('statusCode')}: {_extract_line(error.get('message'))}"
    fields = ", ".join(map(str, error.get("fields") or ()))
    return f"{text} ({fields})" if fields else text


def _extract_codes(content: Any) -> set[str]:  # noqa: ANN401 - any JSON
    return {str(item.get("errorCode")) for item in _extract_items(content)}


def _format_messages(content: Any) -> str:  # noqa: ANN401 - any JSON
    items = _extract_items(content)
    if not items:
        return _extract_line(content) or "no reason given"
    return "; ".join(
        f"{item.get('errorCode')}: {_extract_line(item.get('message'))}" for item in items
    )


def _extract_items(content: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - any JSON
    items = content if isinstance(content, list) else [content]
    return [item for item in items if isinstance(item, Mapping) and "errorCode" in item]


def _extract_line(text: object) -> str:
    """Return the most informative line: the last one, without the ``^`` markers of SOQL errors."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    informative = [line for line in lines if not set(line) <= {"^"}]
    return (informative[-1] if informative else "")[:300]
