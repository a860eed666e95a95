"""Fake HubSpot over real HTTP: contract, rate limits and injected faults.

``python -m tests.fakes.hubspot.server`` runs it alone, and prints its URL.
"""

import argparse
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.http_server import FaultyService, JsonHandler
from tests.fakes.hubspot import contract, operations
from tests.fakes.hubspot.portal import Portal

TOKEN = "pat-na1-00000000-0000-0000-0000-000000000000"  # noqa: S105 - opens nothing but this
FAULTS = (
    "time-out",
    "reset",
    "half a response",
    "423",
    "429",
    "477",
    "500",
    "502",
    "503",
    "504",
    "521",
    "523",
    "524",
)
_ALL_SCOPES = frozenset(
    f"crm.{what}.{of}.{how}"
    for what in ("objects", "schemas")
    for of in ("companies", "contacts", "deals")
    for how in ("read", "write")
) | {"crm.objects.owners.read"}


class _Handler(JsonHandler):
    service: "HubSpotServer"

    def serve(self) -> None:
        raw_body = self.read_body()
        address = urlsplit(self.path)
        route_match = contract.match_route(self.command, address.path)
        name = route_match[0].name if route_match else "unknown"
        self.service.on_request(name)
        fault, after_effect = self.service.draw_fault(name)
        limit_response, headers = self.service.check_limits(name)
        if limit_response is not None:
            self._send(limit_response, headers)
            return
        # Statuses below 500 mean that the request had no effect.
        has_effect = fault is None or after_effect or fault == "half a response"
        response = self._respond(route_match, address.query, raw_body) if has_effect else None
        if fault is None or (fault in {"423", "429", "477"} and response is not None):
            with self.service.lock:
                self.service.failed -= fault is not None
            self._send(response or _NOT_FOUND_RESPONSE, headers)
        elif fault == "half a response":
            self.send_json(response or _NOT_FOUND_RESPONSE, headers, cut=True)
        elif fault.isdigit():
            more = {"policyName": "TEN_SECONDLY_ROLLING"} if fault == "429" else {}
            retry_after = {"Retry-After": "1"} if fault == "429" else {}
            self._send(
                operations.error_response(int(fault), "ERROR", "later", **more),
                headers | retry_after,
            )
        else:
            self.drop_connection(waits=fault == "time-out")

    def _respond(self, route_match: Any, query: str, raw_body: bytes) -> operations.Response:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _UNAUTHORIZED_RESPONSE
        if route_match is None:
            self.service.contract_violations.append(f"{self.command} {self.path}")
            return _NOT_FOUND_RESPONSE
        route, parts = route_match
        parameters = dict(parse_qsl(query))
        if unknown := set(parameters).difference(route.query):
            self.service.contract_violations.append(
                f"{self.path}: unknown parameter(s) {sorted(unknown)}"
            )
            return operations.error_response(400, "VALIDATION_ERROR", "unknown parameter")
        try:
            body = json.loads(raw_body) if raw_body else None
        except ValueError:
            return operations.error_response(400, "VALIDATION_ERROR", "Invalid input JSON")
        return self.service.handle_request(route, parts, body, parameters)

    def _send(self, response: operations.Response, headers: dict[str, str]) -> None:
        with self.service.lock:
            self.service.response_counts[response[0]] += 1
        self.send_json(response, headers)


@dataclass
class HubSpotServer(FaultyService):
    """A portal behind HTTP.

    Attributes
    ----------
    portal : Portal
        Its state.
    max_calls, max_searches : int or None
        Calls allowed in ten seconds, searches in one; None is unlimited.
    daily_remaining : int
        Calls left today.
    scopes : frozenset of str
        Scopes of the token.
    on_request : callable
        Called with the operation name when a request arrives.
    """

    handler_class, faults = _Handler, FAULTS
    portal: Portal = field(default_factory=Portal)
    max_calls: int | None = None
    max_searches: int | None = 5
    daily_remaining: int = 500_000
    scopes: frozenset[str] = _ALL_SCOPES
    on_request: Callable[[str], None] = lambda _: None
    response_counts: Counter[int] = field(default_factory=Counter)
    contract_violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._times: deque[float] = deque()
        self._search_times: deque[float] = deque()

    def restrict_calls(self, max_calls: int) -> None:
        """Set the rate limit, and forget the calls so far."""
        with self.lock:
            self.max_calls = max_calls
            self._times.clear()

    def check_limits(self, name: str) -> tuple[operations.Response | None, dict[str, str]]:
        """Return a rejection over a rate limit, otherwise the rate limit headers."""
        with self.lock:
            now = time.monotonic()
            for times, seconds in ((self._times, 10.0), (self._search_times, 1.0)):
                while times and times[0] <= now - seconds:
                    times.popleft()
            if self.daily_remaining <= 0:
                return _rate_limit_response("DAILY", "daily"), {}
            if self.max_calls is not None and len(self._times) >= self.max_calls:
                wait = max(1, round(self._times[0] + 10.0 - now + 0.5))
                response = _rate_limit_response("TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
                return response, {"Retry-After": str(wait)}
            if name == "search" and self.max_searches is not None:
                if len(self._search_times) >= self.max_searches:
                    return _rate_limit_response("SECONDLY", "secondly"), {}
                self._search_times.append(now)
            self.daily_remaining -= 1
            self._times.append(now)
            if name == "search":
                return None, {}
            maximum = 190 if self.max_calls is None else self.max_calls
            return None, {
                "X-HubSpot-RateLimit-Daily": "500000",
                "X-HubSpot-RateLimit-Daily-Remaining": str(self.daily_remaining),
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                "X-HubSpot-RateLimit-Max": str(maximum),
                "X-HubSpot-RateLimit-Remaining": str(maximum - len(self._times)),
            }

    def handle_request(
        self, route: contract.Route, parts: dict[str, str], body: Any, query: dict[str, str]
    ) -> operations.Response:
        missing = [scope for scope in route.scopes(parts) if scope not in self.scopes]
        if missing:
            return _missing_scopes_response(missing)
        if route.name == "key":
            if body != {"tokenKey": TOKEN}:
                return operations.error_response(
                    400, "VALIDATION_ERROR", "tokenKey is not this key"
                )
            return 200, {"userId": 1, "hubId": 4242, "appId": 7, "scopes": sorted(self.scopes)}
        try:
            contract.validate_body(route, body)
        except contract.ContractViolation as error:
            self.contract_violations.append(str(error))
            return operations.error_response(
                400, "VALIDATION_ERROR", f"Invalid input JSON: {error}"
            )
        return operations.handle_operation(self.portal, route.name, parts, body, query)


def _rate_limit_response(policy: str, name: str) -> operations.Response:
    message = f"You have reached your {name} limit."
    return operations.error_response(
        429, "RATE_LIMITS", message, policyName=policy, errorType="RATE_LIMIT"
    )


def _missing_scopes_response(scopes: list[str]) -> operations.Response:
    detail = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": scopes},
    }
    message = "This app hasn't been granted all required scopes to make this call."
    return operations.error_response(403, "MISSING_SCOPES", message, errors=[detail])


_NOT_FOUND_RESPONSE = operations.error_response(404, "OBJECT_NOT_FOUND", "resource not found")
_UNAUTHORIZED_RESPONSE = operations.error_response(
    401, "INVALID_AUTHENTICATION", "Authentication credentials not found."
)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=190, help="calls allowed in ten seconds")
    arguments = parser.parse_args()
    service = HubSpotServer(max_calls=arguments.calls)
    url = service.start()
    print(url, flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    main()
