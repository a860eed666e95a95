"""What HubSpot answers when it does not do what was asked, in the words of the contract.

Statuses and bodies as HubSpot documents them: a body has ``message``, ``category``,
``correlationId`` and ``errors``, none of which can be relied upon.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from serving.crm.target import BatchRefused, Denied, Transient

__all__ = ["fault", "words"]

_LOCKED, _MIGRATING, _TOO_MANY = 423, 477, 429
_SECONDS: Final = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}  # by the name of the policy
# Faults of what is set up, not of the rows: no row would be taken.
_SET_UP: Final = ("PROPERTY_DOESNT_EXIST", "by non-unique", "PIPELINE_DOESNT_EXIST")
_LONGEST: Final = 500  # letters of HubSpot's own words


def fault(status: int, headers: Mapping[str, str], body: str | None) -> Exception:
    """Tell an answer other than success as what it means for the sender."""
    told = _parsed(body)
    said = words(told) or f"status {status}"
    if status in {401, 403}:
        return _denied(status, told, said)
    if status == _TOO_MANY:
        return _too_many(told, headers, said)
    if status == _LOCKED:
        return Transient(f"locked: {said}", 2.0)
    if status in {_MIGRATING, 408} or status >= 500:
        return Transient(f"HubSpot is in trouble ({status}): {said}", _asked(headers))
    if status in {0, 404, 405} or any(sign in (body or "") for sign in _SET_UP):
        return Denied(f"HubSpot lacks something: {said} Run: expansion crm check.")
    return BatchRefused(f"{said} ({status})")


def words(told: Mapping[str, Any]) -> str:
    """Give HubSpot's own words, with the first details, ended by a full stop."""
    details = [str(error.get("message", "")) for error in told.get("errors") or []][:3]
    message = str(told.get("message") or told.get("category") or "")
    parts = [message, *(detail for detail in details if detail and detail not in message)]
    said = " ".join(" ".join(part.split()).rstrip(".") + "." for part in parts if part)
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"


def _parsed(body: str | None) -> Mapping[str, Any]:
    try:
        told = json.loads(body or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _denied(status: int, told: Mapping[str, Any], said: str) -> Denied:
    if status == 403:
        return Denied(f"HubSpot does not allow this: {said} {_what_to_allow(told)}")
    return Denied(
        f"HubSpot does not accept the key: {said} Make a service key, export it as the variable"
        " that crm.hubspot.token names, and run again."
    )


def _too_many(told: Mapping[str, Any], headers: Mapping[str, str], said: str) -> Exception:
    policy = str(told.get("policyName", "")).upper()
    if policy == "DAILY":
        return Denied(
            f"HubSpot's calls of this day are used up: {said} They begin anew at midnight in the"
            " portal's time zone; what is left goes out in the next run."
        )
    return Transient(f"too many calls: {said}", _asked(headers) or _SECONDS.get(policy, 10.0))


def _asked(headers: Mapping[str, str]) -> float | None:
    """Seconds that HubSpot asks us to wait."""
    given = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    try:
        return max(0.0, float(given))
    except ValueError:
        return None


def _what_to_allow(told: Mapping[str, Any]) -> str:
    scopes = sorted(set(_scopes(told)))
    if not scopes:
        return "Look at the key's scopes: expansion crm check."
    return f"Add the scope(s) {', '.join(scopes)} to the key."


def _scopes(told: Mapping[str, Any]) -> Iterator[str]:
    for error in told.get("errors") or []:
        context = error.get("context") or {}
        for name in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
            yield from context.get(name) or []
