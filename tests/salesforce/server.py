"""Salesforce's REST API over HTTP, for one org in memory, with the faults that a network has."""

import base64
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.salesforce.org import Fault, Org

VERSION = "62.0"
ROOT = f"/services/data/v{VERSION}"
LONGEST = 16_384  # of address and headers
CLIENT = ("an-id", "a-secret")
# How a call may fail: before it takes effect, or after.
FAULTS = (
    "silence before",
    "silence after",
    "reset before",
    "reset after",
    "500 before",
    "500 after",
    "503 before",
    "half after",
    "busy before",
)


@dataclass
class Server:
    """``fault`` is asked at each call of the API, with its number, how it is to fail."""

    org: Org = field(default_factory=Org)
    fault: Callable[[int], str | None] = lambda _: None
    daily: int = 100_000
    page_rows: int = 2_000
    calls: int = 0
    failed: int = 0
    logins: int = 0
    seen: Counter[str] = field(default_factory=Counter)  # method and resource → calls
    tokens: set[str] = field(default_factory=set)
    cursors: dict[str, list[Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign] # whoever hung up
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def count(self, path: str, method: str) -> int:
        with self.lock:
            self.calls += 1
            self.seen[f"{method} {path.removeprefix(ROOT)}"] += 1
            return self.calls


def sometimes(
    share: float, seed: int, kinds: tuple[str, ...] = FAULTS
) -> Callable[[int], str | None]:
    """Faults at a share of the calls, of all kinds, drawn from a seed."""
    draw = random.Random(seed)  # noqa: S311
    return lambda _: draw.choice(kinds) if draw.random() < share else None


def killing(process: Callable[[], int], at: int, when: str) -> Callable[[int], str | None]:
    """Kill a process at its so-manieth call, before or after that takes effect."""
    return lambda number: f"kill {process()} {when}" if number == at else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        if address.path == "/services/oauth2/token":
            self._log_in(parse_qs(body.decode()))
            return
        number = self.server_state.count(address.path, method)
        fault = self.server_state.fault(number)
        if fault:
            self.server_state.failed += 1
        if fault and fault.endswith("before"):
            self._fail(fault)
            return
        status, answer = self._answered(method, address.path, parse_qs(address.query), body)
        if fault:
            self._fail(fault, answer)
        else:
            self._send(status, answer)

    def _fail(self, fault: str, answer: Any = None) -> None:
        kind, *told = fault.split()
        self.close_connection = True
        if kind == "kill":
            os.kill(int(told[0]), signal.SIGKILL)
        elif kind == "silence":
            self.rfile.read(1)  # until the client gives up
        elif kind == "500":
            self._send(500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An error occurred"}])
        elif kind == "503":
            self._send(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "Try again later"}])
        elif kind == "busy":
            words = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            self._send(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": words}])
        elif kind == "half":
            self._send(200, answer, cut=True)
        # else "reset": nothing is answered

    def _log_in(self, told: dict[str, list[str]]) -> None:
        state = self.server_state
        state.logins += 1
        given = (told.get("client_id", [""])[0], told.get("client_secret", [""])[0])
        if told.get("grant_type") != ["client_credentials"]:
            self._send(400, {"error": "unsupported_grant_type", "error_description": "no"})
        elif given != CLIENT:
            self._send(
                400, {"error": "invalid_client", "error_description": "invalid client credentials"}
            )
        else:
            token = base64.b64encode(os.urandom(12)).decode()
            state.tokens.add(token)
            told_back = {"access_token": token, "instance_url": state.url, "token_type": "Bearer"}
            self._send(200, told_back)

    def _answered(
        self, method: str, path: str, asked: dict[str, list[str]], body: bytes
    ) -> tuple[int, Any]:
        try:
            self._check(path)
            told = json.loads(body) if body else None
            return 200, self._route(method, path.removeprefix(ROOT), asked, told)
        except Fault as fault:
            return fault.status, fault.body()
        except (KeyError, TypeError, ValueError) as error:  # a body that is not as it should be
            return 400, Fault(400, "JSON_PARSER_ERROR", f"{type(error).__name__}: {error}").body()

    def _check(self, path: str) -> None:
        state = self.server_state
        if len(self.path) + sum(len(f"{k}: {v}") for k, v in self.headers.items()) > LONGEST:
            raise Fault(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", "address and headers are too long")
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in state.tokens:
            raise Fault(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if state.calls > state.daily:
            raise Fault(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if not path.startswith(ROOT):
            raise Fault(404, "NOT_FOUND", "The requested resource does not exist")

    def _route(  # noqa: C901, PLR0911 - one line per resource
        self, method: str, path: str, asked: dict[str, list[str]], told: Any
    ) -> Any:
        org = self.server_state.org
        match [method, *path.strip("/").split("/")]:
            case ["GET", "query"]:
                return self._page(org.query(asked["q"][0]))
            case ["GET", "query", cursor]:
                return self._page(self.server_state.cursors.pop(cursor))
            case ["GET", "limits"]:
                state = self.server_state
                left = max(state.daily - state.calls, 0)
                return {"DailyApiRequests": {"Max": state.daily, "Remaining": left}}
            case ["GET", "sobjects", sobject, "describe"]:
                return org.describe(sobject)
            case ["POST", "composite"]:
                return self._composite(told["compositeRequest"])
            case ["POST", "composite", "sobjects", sobject]:
                _only(told, "ids", "fields")
                return org.retrieve(sobject, told["ids"], told["fields"])
            case ["PATCH", "composite", "sobjects"]:
                return org.update(_collection(told))
            case ["PATCH", "composite", "sobjects", sobject, key]:
                records = _collection(told)
                if any("id" in record for record in records):
                    raise Fault(400, "INVALID_FIELD", "the id field must not be specified")
                return org.upsert(sobject, key, records)
        raise Fault(404, "NOT_FOUND", "The requested resource does not exist")

    def _composite(self, requests: list[dict[str, Any]]) -> Any:
        if len(requests) > 25 or sum("/query" in each["url"] for each in requests) > 5:
            raise Fault(400, "LIMIT_EXCEEDED", "too many subrequests")
        answers = []
        for each in requests:
            _only(each, "method", "url", "referenceId")
            path, _, query = each["url"].partition("?")
            try:
                asked = parse_qs(query)
                body, status = (
                    self._route(each["method"], path.removeprefix(ROOT), asked, None),
                    200,
                )
            except Fault as fault:
                body, status = fault.body(), fault.status
            reference = each["referenceId"]
            answers.append(
                {
                    "body": body,
                    "httpHeaders": {},
                    "httpStatusCode": status,
                    "referenceId": reference,
                }
            )
        return {"compositeResponse": answers}

    def _page(self, rows: list[Any]) -> Any:
        state = self.server_state
        page, rest = rows[: state.page_rows], rows[state.page_rows :]
        told = {"totalSize": len(rows), "done": not rest, "records": page}
        if rest:
            cursor = f"01g{len(state.cursors):012d}AAA-{state.page_rows}"
            state.cursors[cursor] = rest
            told["nextRecordsUrl"] = f"{ROOT}/query/{cursor}"
        return told

    def _send(self, status: int, answer: Any, *, cut: bool = False) -> None:
        state = self.server_state
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Sforce-Limit-Info", f"api-usage={state.calls}/{state.daily}")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)


def _collection(told: Any) -> list[dict[str, Any]]:
    _only(told, "allOrNone", "records")
    if told["allOrNone"] is not False:
        raise Fault(400, "INVALID_INPUT", "this org plays without allOrNone")
    return list(told["records"])


def _only(told: dict[str, Any], *known: str) -> None:
    if unknown := set(told) - set(known):
        raise Fault(400, "JSON_PARSER_ERROR", f"Unrecognized field {sorted(unknown)}")
