"""Fake HubSpot over real HTTP: contract, rate limits and injected faults.

``python -m tests.fakes.hubspot.server`` runs it alone, and prints its URL.
"""

import argparse
import json
import random
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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


@dataclass
class HubSpotServer:
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
    fault : str or None
        Kind of fault, or "any", for a share of the requests; half of the faults without a response
        occur after the request took effect.
    on_request : callable
        Called with the operation name when a request arrives.
    """

    portal: Portal = field(default_factory=Portal)
    max_calls: int | None = None
    max_searches: int | None = 5
    daily_remaining: int = 500_000
    scopes: frozenset[str] = _ALL_SCOPES
    fault: str | None = None
    fault_share: float = 0.3
    seed: int = 7
    on_request: Callable[[str], None] = lambda _: None
    requests: Counter[str] = field(default_factory=Counter)
    response_counts: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    contract_violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random, self.lock = random.Random(self.seed), threading.Lock()  # noqa: S311
        self._times: deque[float] = deque()
        self._search_times: deque[float] = deque()
        self._server: ThreadingHTTPServer | None = None
        self.url = ""

    def start(self, port: int = 0) -> str:
        """Start listening and return the URL."""
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self.url

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def restrict_calls(self, max_calls: int) -> None:
        """Set the rate limit, and forget the calls so far."""
        with self.lock:
            self.max_calls = max_calls
            self._times.clear()

    @property
    def total(self) -> int:
        """Number of requests so far."""
        return sum(self.requests.values())

    def draw_fault(self, name: str) -> tuple[str | None, bool]:
        """Draw the fault of this request, and whether it occurs after the effect."""
        with self.lock:
            self.requests[name] += 1
            is_hit = self.fault is not None and self._random.random() < self.fault_share
            self.failed += is_hit
            fault = self._random.choice(FAULTS) if self.fault == "any" else self.fault
            return (fault if is_hit else None), self._random.random() < 0.5

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


class _Handler(BaseHTTPRequestHandler):
    service: HubSpotServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 18

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        raw_body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        route_match = contract.match_route(self.command, address.path)
        name = route_match[0].name if route_match else "unknown"
        self.service.on_request(name)
        fault, after_effect = self.service.draw_fault(name)
        limit_response, headers = self.service.check_limits(name)
        if limit_response is not None:
            self._send(*limit_response, headers)
        elif fault is None:
            self._send(*self._respond(route_match, address.query, raw_body), headers)
        else:
            self._fail(
                fault,
                after_effect,
                lambda: self._respond(route_match, address.query, raw_body),
                headers,
            )

    def _respond(self, route_match: Any, query: str, raw_body: bytes) -> operations.Response:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _UNAUTHORIZED_RESPONSE
        if route_match is None:
            self.service.contract_violations.append(f"{self.command} {self.path}")
            return _NOT_FOUND_RESPONSE
        route, parts = route_match
        parameters = dict(parse_qsl(query))
        if unknown := set(parameters) - route.query:
            self.service.contract_violations.append(
                f"{self.path}: unknown parameter(s) {sorted(unknown)}"
            )
            return operations.error_response(400, "VALIDATION_ERROR", "unknown parameter")
        try:
            body = json.loads(raw_body) if raw_body else None
        except ValueError:
            return operations.error_response(400, "VALIDATION_ERROR", "Invalid input JSON")
        return self.service.handle_request(route, parts, body, parameters)

    def _fail(
        self,
        fault: str,
        after_effect: bool,
        answer: Callable[[], operations.Response],
        headers: dict[str, str],
    ) -> None:
        # Statuses below 500 mean that the request had no effect.
        response = answer() if after_effect or fault == "half a response" else None
        if fault == "429":
            headers = headers | {"Retry-After": "1"}
        if fault.isdigit():
            if fault in {"423", "429", "477"} and response is not None:
                self._send(*response, headers)
                with self.service.lock:
                    self.service.failed -= 1
                return
            more = {"policyName": "TEN_SECONDLY_ROLLING"} if fault == "429" else {}
            self._send(*operations.error_response(int(fault), "ERROR", "later", **more), headers)
        elif fault == "half a response":
            self._send_truncated(response)
        else:
            self._drop_connection(times_out=fault == "time-out")

    def _send(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        with self.service.lock:
            self.service.response_counts[status] += 1
        body = json.dumps(payload).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json;charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_truncated(self, response: Any) -> None:
        body = json.dumps(response[1]).encode()
        self.send_response(response[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _drop_connection(self, *, times_out: bool) -> None:
        if times_out:
            self.rfile.read(1)  # wait until the client times out
        else:  # with SO_LINGER 0, closing resets the connection
            no_linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self.close_connection = True
        self.connection.close()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # connection closed by either side
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass


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
