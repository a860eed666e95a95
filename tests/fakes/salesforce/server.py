"""Salesforce's REST API over HTTP, for one in-memory org, with injected network faults."""

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

from tests.fakes.salesforce.org import ApiError, Org

VERSION = "62.0"
ROOT = f"/services/data/v{VERSION}"
MAX_HEADER_BYTES = 16_384  # URL and headers
CLIENT = ("an-id", "a-secret")
# Faults, before or after the call takes effect.
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
class SalesforceServer:
    """``fault`` is called with the number of each API call and returns its fault."""

    org: Org = field(default_factory=Org)
    fault: Callable[[int], str | None] = lambda _: None
    daily_limit: int = 100_000
    page_rows: int = 2_000
    calls: int = 0
    failed: int = 0
    logins: int = 0
    call_counts: Counter[str] = field(
        default_factory=Counter
    )  # method and resource → number of calls
    tokens: set[str] = field(default_factory=set)
    cursors: dict[str, list[Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign] # client disconnected
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "SalesforceServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def count(self, path: str, method: str) -> int:
        with self.lock:
            self.calls += 1
            self.call_counts[f"{method} {path.removeprefix(ROOT)}"] += 1
            return self.calls


def random_faults(
    share: float, seed: int, kinds: tuple[str, ...] = FAULTS
) -> Callable[[int], str | None]:
    """Return a function that draws faults of all kinds for a share of the calls."""
    rng = random.Random(seed)  # noqa: S311
    return lambda _: rng.choice(kinds) if rng.random() < share else None


def kill_at_call(
    process: Callable[[], int], call_number: int, moment: str
) -> Callable[[int], str | None]:
    """Return a function that kills a process at its nth call, before or after its effect."""
    return lambda number: f"kill {process()} {moment}" if number == call_number else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: SalesforceServer

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
        status, answer = self._respond(method, address.path, parse_qs(address.query), body)
        if fault:
            self._fail(fault, answer)
        else:
            self._send(status, answer)

    def _fail(self, fault: str, answer: Any = None) -> None:
        kind, *arguments = fault.split()
        self.close_connection = True
        if kind == "kill":
            os.kill(int(arguments[0]), signal.SIGKILL)
        elif kind == "silence":
            self.rfile.read(1)  # wait until the client times out
        elif kind == "500":
            self._send(500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An error occurred"}])
        elif kind == "503":
            self._send(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "Try again later"}])
        elif kind == "busy":
            message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            self._send(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message}])
        elif kind == "half":
            self._send(200, answer, cut=True)
        # "reset": no response

    def _log_in(self, form: dict[str, list[str]]) -> None:
        state = self.server_state
        state.logins += 1
        credentials = (form.get("client_id", [""])[0], form.get("client_secret", [""])[0])
        if form.get("grant_type") != ["client_credentials"]:
            self._send(400, {"error": "unsupported_grant_type", "error_description": "no"})
        elif credentials != CLIENT:
            self._send(
                400, {"error": "invalid_client", "error_description": "invalid client credentials"}
            )
        else:
            token = base64.b64encode(os.urandom(12)).decode()
            state.tokens.add(token)
            payload = {"access_token": token, "instance_url": state.url, "token_type": "Bearer"}
            self._send(200, payload)

    def _respond(
        self, method: str, path: str, parameters: dict[str, list[str]], body: bytes
    ) -> tuple[int, Any]:
        try:
            self._check(path)
            payload = json.loads(body) if body else None
            return 200, self._route(method, path.removeprefix(ROOT), parameters, payload)
        except ApiError as fault:
            return fault.status, fault.body()
        except (KeyError, TypeError, ValueError) as error:  # invalid body
            return 400, ApiError(
                400, "JSON_PARSER_ERROR", f"{type(error).__name__}: {error}"
            ).body()

    def _check(self, path: str) -> None:
        state = self.server_state
        if (
            len(self.path) + sum(len(f"{k}: {v}") for k, v in self.headers.items())
            > MAX_HEADER_BYTES
        ):
            raise ApiError(
                431, "REQUEST_HEADER_FIELDS_TOO_LARGE", "address and headers are too long"
            )
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in state.tokens:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if state.calls > state.daily_limit:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if not path.startswith(ROOT):
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")

    def _route(  # noqa: C901, PLR0911 - one line per resource
        self, method: str, path: str, parameters: dict[str, list[str]], payload: Any
    ) -> Any:
        org = self.server_state.org
        match [method, *path.strip("/").split("/")]:
            case ["GET", "query"]:
                return self._page(org.query(parameters["q"][0]))
            case ["GET", "query", cursor]:
                return self._page(self.server_state.cursors.pop(cursor))
            case ["GET", "limits"]:
                state = self.server_state
                remaining = max(state.daily_limit - state.calls, 0)
                return {"DailyApiRequests": {"Max": state.daily_limit, "Remaining": remaining}}
            case ["GET", "sobjects", sobject, "describe"]:
                return org.describe(sobject)
            case ["POST", "composite"]:
                return self._composite(payload["compositeRequest"])
            case ["POST", "composite", "sobjects", sobject]:
                _reject_unknown_keys(payload, "ids", "fields")
                return org.retrieve(sobject, payload["ids"], payload["fields"])
            case ["PATCH", "composite", "sobjects"]:
                return org.update(_parse_collection(payload))
            case ["PATCH", "composite", "sobjects", sobject, key]:
                records = _parse_collection(payload)
                if any("id" in record for record in records):
                    raise ApiError(400, "INVALID_FIELD", "the id field must not be specified")
                return org.upsert(sobject, key, records)
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")

    def _composite(self, requests: list[dict[str, Any]]) -> Any:
        if len(requests) > 25 or sum("/query" in each["url"] for each in requests) > 5:
            raise ApiError(400, "LIMIT_EXCEEDED", "too many subrequests")
        responses = []
        for each in requests:
            _reject_unknown_keys(each, "method", "url", "referenceId")
            path, _, query = each["url"].partition("?")
            try:
                parameters = parse_qs(query)
                body, status = (
                    self._route(each["method"], path.removeprefix(ROOT), parameters, None),
                    200,
                )
            except ApiError as fault:
                body, status = fault.body(), fault.status
            reference = each["referenceId"]
            responses.append(
                {
                    "body": body,
                    "httpHeaders": {},
                    "httpStatusCode": status,
                    "referenceId": reference,
                }
            )
        return {"compositeResponse": responses}

    def _page(self, rows: list[Any]) -> Any:
        state = self.server_state
        page, remaining = rows[: state.page_rows], rows[state.page_rows :]
        page_payload = {"totalSize": len(rows), "done": not remaining, "records": page}
        if remaining:
            cursor = f"01g{len(state.cursors):012d}AAA-{state.page_rows}"
            state.cursors[cursor] = remaining
            page_payload["nextRecordsUrl"] = f"{ROOT}/query/{cursor}"
        return page_payload

    def _send(self, status: int, answer: Any, *, cut: bool = False) -> None:
        state = self.server_state
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Sforce-Limit-Info", f"api-usage={state.calls}/{state.daily_limit}")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)


def _parse_collection(payload: Any) -> list[dict[str, Any]]:
    _reject_unknown_keys(payload, "allOrNone", "records")
    if payload["allOrNone"] is not False:
        raise ApiError(400, "INVALID_INPUT", "this org plays without allOrNone")
    return list(payload["records"])


def _reject_unknown_keys(payload: dict[str, Any], *known: str) -> None:
    if unknown := set(payload) - set(known):
        raise ApiError(400, "JSON_PARSER_ERROR", f"Unrecognized field {sorted(unknown)}")
