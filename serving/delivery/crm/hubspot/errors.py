"""Map HubSpot error responses to the errors of :mod:`serving.delivery.crm.base`.

HubSpot documents the body fields ``message``, ``category``, ``correlationId`` and ``errors``; none
of them is guaranteed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from serving.delivery.crm.base import AccessDeniedError, BatchRejectedError, RetryableError

__all__ = ["format_error", "to_error"]

_LOCKED, _MIGRATION_IN_PROGRESS, _TOO_MANY_REQUESTS = 423, 477, 429
_POLICY_SECONDS: Final = {
    "SECONDLY": 1.0,
    "TEN_SECONDLY_ROLLING": 10.0,
}  # by policy name
# Configuration errors: every row would be rejected.
_CONFIGURATION_ERRORS: Final = ("PROPERTY_DOESNT_EXIST", "by non-unique", "PIPELINE_DOESNT_EXIST")
_MAX_MESSAGE_LENGTH: Final = 500  # characters of HubSpot's message


def to_error(status: int, headers: Mapping[str, str], body: str | None) -> Exception:
    """Convert an unsuccessful response to the matching exception."""
    payload = _parse_body(body)
    message = format_error(payload) or f"status {status}"
    if status in {401, 403}:
        return _to_access_denied(status, payload, message)
    if status == _TOO_MANY_REQUESTS:
        return _to_rate_limit_error(payload, headers, message)
    if status == _LOCKED:
        return RetryableError(f"locked: {message}", 2.0)
    if status in {_MIGRATION_IN_PROGRESS, 408} or status >= 500:
        return RetryableError(
            f"HubSpot server error ({status}): {message}", _parse_retry_after(headers)
        )
    if status in {0, 404, 405} or any(code in (body or "") for code in _CONFIGURATION_ERRORS):
        return AccessDeniedError(
            f"HubSpot configuration is incomplete: {message} Run: expansion crm check."
        )
    return BatchRejectedError(f"{message} ({status})")


def format_error(payload: Mapping[str, Any]) -> str:
    """Return HubSpot's message with its first details, ending in a full stop."""
    details = [str(error.get("message", "")) for error in payload.get("errors") or []][:3]
    message = str(payload.get("message") or payload.get("category") or "")
    parts = [message, *(detail for detail in details if detail and detail not in message)]
    text = " ".join(" ".join(part.split()).rstrip(".") + "." for part in parts if part)
    return text if len(text) <= _MAX_MESSAGE_LENGTH else text[: _MAX_MESSAGE_LENGTH - 1] + "…"


def _parse_body(body: str | None) -> Mapping[str, Any]:
    try:
        payload = json.loads(body or "{}")
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _to_access_denied(status: int, payload: Mapping[str, Any], message: str) -> AccessDeniedError:
    if status == 403:
        return AccessDeniedError(
            f"HubSpot denies access: {message} {_describe_missing_scopes(payload)}"
        )
    return AccessDeniedError(
        f"HubSpot rejects the access token: {message} Create a service key, export it as the"
        " variable that crm.hubspot.token names, and run again."
    )


def _to_rate_limit_error(
    payload: Mapping[str, Any], headers: Mapping[str, str], message: str
) -> Exception:
    policy = str(payload.get("policyName", "")).upper()
    if policy == "DAILY":
        return AccessDeniedError(
            f"HubSpot's daily limit is reached: {message} It resets at midnight in the portal's"
            " time zone; the next run sends the rest."
        )
    return RetryableError(
        f"rate limit reached: {message}",
        _parse_retry_after(headers) or _POLICY_SECONDS.get(policy, 10.0),
    )


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the ``Retry-After`` header in seconds, or None."""
    retry_after = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return None


def _describe_missing_scopes(payload: Mapping[str, Any]) -> str:
    scopes = sorted(set(_extract_scopes(payload)))
    if not scopes:
        return "Check the scopes of the token: expansion crm check."
    return f"Add the scope(s) {', '.join(scopes)} to the token."


def _extract_scopes(payload: Mapping[str, Any]) -> Iterator[str]:
    for error in payload.get("errors") or []:
        context = error.get("context") or {}
        for name in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
            yield from context.get(name) or []
