"""What HubSpot answers when it does not do what was asked, in the words of the contract.

Statuses and bodies as HubSpot documents them: a body has ``message``, ``category``,
``correlationId`` and ``errors``, none of which can be relied upon.
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
}  # by the name of the policy
# Faults of what is set up, not of the rows: no row would be taken.
_CONFIGURATION_ERRORS: Final = ("PROPERTY_DOESNT_EXIST", "by non-unique", "PIPELINE_DOESNT_EXIST")
_MAX_MESSAGE_LENGTH: Final = 500  # letters of HubSpot's own words


def to_error(status: int, headers: Mapping[str, str], body: str | None) -> Exception:
    """Tell an answer other than success as what it means for the sender."""
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
            f"HubSpot is in trouble ({status}): {message}", _parse_retry_after(headers)
        )
    if status in {0, 404, 405} or any(sign in (body or "") for sign in _CONFIGURATION_ERRORS):
        return AccessDeniedError(f"HubSpot lacks something: {message} Run: expansion crm check.")
    return BatchRejectedError(f"{message} ({status})")


def format_error(payload: Mapping[str, Any]) -> str:
    """Give HubSpot's own words, with the first details, ended by a full stop."""
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
            f"HubSpot does not allow this: {message} {_describe_missing_scopes(payload)}"
        )
    return AccessDeniedError(
        f"HubSpot does not accept the key: {message} Make a service key, export it as the variable"
        " that crm.hubspot.token names, and run again."
    )


def _to_rate_limit_error(
    payload: Mapping[str, Any], headers: Mapping[str, str], message: str
) -> Exception:
    policy = str(payload.get("policyName", "")).upper()
    if policy == "DAILY":
        return AccessDeniedError(
            f"HubSpot's calls of this day are used up: {message} They begin anew at midnight in the"
            " portal's time zone; what is left goes out in the next run."
        )
    return RetryableError(
        f"too many calls: {message}",
        _parse_retry_after(headers) or _POLICY_SECONDS.get(policy, 10.0),
    )


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that HubSpot asks us to wait."""
    retry_after = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return None


def _describe_missing_scopes(payload: Mapping[str, Any]) -> str:
    scopes = sorted(set(_extract_scopes(payload)))
    if not scopes:
        return "Look at the key's scopes: expansion crm check."
    return f"Add the scope(s) {', '.join(scopes)} to the key."


def _extract_scopes(payload: Mapping[str, Any]) -> Iterator[str]:
    for error in payload.get("errors") or []:
        context = error.get("context") or {}
        for name in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
            yield from context.get(name) or []
