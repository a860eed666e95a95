"""HubSpot on this machine, over real HTTP: its contract, its limits, and its bad days.

``python -m hubspot_portal.service`` runs it alone, and prints its address.
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

from hubspot_portal import contract, operations
from hubspot_portal.portal import Portal

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
_ALL = frozenset(
    f"crm.{what}.{of}.{how}"
    for what in ("objects", "schemas")
    for of in ("companies", "contacts", "deals")
    for how in ("read", "write")
) | {"crm.objects.owners.read"}


@dataclass
class Service:
    """A portal behind HTTP.

    Attributes
    ----------
    portal : Portal
        What it holds.
    calls, searches : int or None
        Borne in ten seconds, and in one; None: any number.
    daily : int
        Borne in a day.
    scopes : frozenset of str
        What the key may do.
    fault : str or None
        Kind of fault, or "any", that hits a share of the requests; half of those that give no
        answer only after the request took effect.
    before : callable
        Called as each request arrives, with its name.
    """

    portal: Portal = field(default_factory=Portal)
    calls: int | None = None
    searches: int | None = 5
    daily: int = 500_000
    scopes: frozenset[str] = _ALL
    fault: str | None = None
    share: float = 0.3
    seed: int = 7
    before: Callable[[str], None] = lambda _: None
    requests: Counter[str] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()  # noqa: S311
        self._times: deque[float] = deque()
        self._search_times: deque[float] = deque()
        self._server: ThreadingHTTPServer | None = None
        self.url = ""

    def start(self, port: int = 0) -> str:
        """Listen, and give the address."""
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

    @property
    def total(self) -> int:
        """Requests so far."""
        return sum(self.requests.values())

    def drawn(self, name: str) -> tuple[str | None, bool]:
        """Which fault hits this request, and whether only after it took effect."""
        with self._lock:
            self.requests[name] += 1
            hit = self.fault is not None and self._random.random() < self.share
            self.failed += hit
            fault = self._random.choice(FAULTS) if self.fault == "any" else self.fault
            return (fault if hit else None), self._random.random() < 0.5

    def limited(self, name: str) -> tuple[operations.Answer | None, dict[str, str]]:
        """Refuse what is over a limit; else the headers that tell what is left."""
        with self._lock:
            now = time.monotonic()
            for times, seconds in ((self._times, 10.0), (self._search_times, 1.0)):
                while times and times[0] <= now - seconds:
                    times.popleft()
            if self.daily <= 0:
                return _too_many("DAILY", "daily"), {}
            if self.calls is not None and len(self._times) >= self.calls:
                wait = max(1, round(self._times[0] + 10.0 - now + 0.5))
                told = _too_many("TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
                return told, {"Retry-After": str(wait)}
            if name == "search" and self.searches is not None:
                if len(self._search_times) >= self.searches:
                    return _too_many("SECONDLY", "secondly"), {}
                self._search_times.append(now)
            self.daily -= 1
            self._times.append(now)
            if name == "search":
                return None, {}
            most = 190 if self.calls is None else self.calls
            return None, {
                "X-HubSpot-RateLimit-Daily": "500000",
                "X-HubSpot-RateLimit-Daily-Remaining": str(self.daily),
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                "X-HubSpot-RateLimit-Max": str(most),
                "X-HubSpot-RateLimit-Remaining": str(most - len(self._times)),
            }

    def answer(
        self, route: contract.Route, parts: dict[str, str], body: Any, query: dict[str, str]
    ) -> operations.Answer:
        missing = [scope for scope in route.scopes(parts) if scope not in self.scopes]
        if missing:
            return _forbidden(missing)
        if route.name == "key":
            if body != {"tokenKey": TOKEN}:
                return operations.refusal(400, "VALIDATION_ERROR", "tokenKey is not this key")
            return 200, {"userId": 1, "hubId": 4242, "appId": 7, "scopes": sorted(self.scopes)}
        try:
            contract.checked(route, body)
        except contract.Wrong as error:
            self.wrong.append(str(error))
            return operations.refusal(400, "VALIDATION_ERROR", f"Invalid input JSON: {error}")
        return operations.answer(self.portal, route.name, parts, body, query)


def _too_many(policy: str, name: str) -> operations.Answer:
    message = f"You have reached your {name} limit."
    return operations.refusal(
        429, "RATE_LIMITS", message, policyName=policy, errorType="RATE_LIMIT"
    )


def _forbidden(scopes: list[str]) -> operations.Answer:
    detail = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": scopes},
    }
    message = "This app hasn't been granted all required scopes to make this call."
    return operations.refusal(403, "MISSING_SCOPES", message, errors=[detail])


_UNKNOWN = operations.refusal(404, "OBJECT_NOT_FOUND", "resource not found")
_EXPIRED = operations.refusal(
    401, "INVALID_AUTHENTICATION", "Authentication credentials not found."
)


class _Handler(BaseHTTPRequestHandler):
    service: Service
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 18

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        where = urlsplit(self.path)
        found = contract.routed(self.command, where.path)
        name = found[0].name if found else "unknown"
        self.service.before(name)
        fault, after = self.service.drawn(name)
        refused, headers = self.service.limited(name)
        if refused is not None:
            self._send(*refused, headers)
        elif fault is None:
            self._send(*self._answer(found, where.query, asked), headers)
        else:
            self._fail(fault, after, lambda: self._answer(found, where.query, asked), headers)

    def _answer(self, found: Any, query: str, asked: bytes) -> operations.Answer:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _EXPIRED
        if found is None:
            self.service.wrong.append(f"{self.command} {self.path}")
            return _UNKNOWN
        route, parts = found
        given = dict(parse_qsl(query))
        if unknown := set(given) - route.query:
            self.service.wrong.append(f"{self.path}: unknown parameter(s) {sorted(unknown)}")
            return operations.refusal(400, "VALIDATION_ERROR", "unknown parameter")
        try:
            body = json.loads(asked) if asked else None
        except ValueError:
            return operations.refusal(400, "VALIDATION_ERROR", "Invalid input JSON")
        return self.service.answer(route, parts, body, given)

    def _fail(
        self,
        fault: str,
        after: bool,
        answer: Callable[[], operations.Answer],
        headers: dict[str, str],
    ) -> None:
        # A status below 500 says that nothing was done.
        told = answer() if after or fault == "half a response" else None
        if fault == "429":
            headers = headers | {"Retry-After": "1"}
        if fault.isdigit():
            if fault in {"423", "429", "477"} and told is not None:
                self._send(*told, headers)
                with self.service._lock:
                    self.service.failed -= 1
                return
            more = {"policyName": "TEN_SECONDLY_ROLLING"} if fault == "429" else {}
            self._send(*operations.refusal(int(fault), "ERROR", "later", **more), headers)
        elif fault == "half a response":
            self._half(told)
        else:
            self._hang_up(waits=fault == "time-out")

    def _send(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        with self.service._lock:
            self.service.answered[status] += 1
        body = json.dumps(told).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json;charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _half(self, told: Any) -> None:
        body = json.dumps(told[1]).encode()
        self.send_response(told[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _hang_up(self, *, waits: bool) -> None:
        if waits:
            self.rfile.read(1)  # until the client gives up
        else:  # with nothing lingering, closing resets
            nothing = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, nothing)
        self.close_connection = True
        self.connection.close()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # the connection that was closed, by us or by them
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=190, help="borne in ten seconds")
    told = parser.parse_args()
    service = Service(calls=told.calls)
    url = service.start()
    print(url, flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    main()
