"""Salesforce's REST API over HTTP, for one in-memory org, with injected network faults."""

import base64
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.fakes.http_server import HttpService, Response, ScriptedFaultHandler
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


class _Handler(ScriptedFaultHandler):
    service: "SalesforceServer"
    status_faults: ClassVar = {
        "500": (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An error occurred"}]),
        "503": (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "Try again later"}]),
        "busy": (
            403,
            [
                {
                    "errorCode": "REQUEST_LIMIT_EXCEEDED",
                    "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
                }
            ],
        ),
    }

    def serve(self) -> None:
        body = self.read_body()
        address = urlsplit(self.path)
        if address.path == "/services/oauth2/token":
            self.send_json(self._log_in(parse_qs(body.decode())))
            return
        number = self.service.count(address.path, self.command)
        fault = self.service.fault(number)
        self.service.failed += fault is not None
        if fault and fault.endswith("before"):
            self.fail(fault, None)
            return
        response = self._respond(self.command, address.path, parse_qs(address.query), body)
        if fault:
            self.fail(fault, response)
        else:
            usage = f"api-usage={self.service.calls}/{self.service.daily_limit}"
            self.send_json(response, {"Sforce-Limit-Info": usage})

    def _log_in(self, form: dict[str, list[str]]) -> Response:
        state = self.service
        state.logins += 1
        credentials = (form.get("client_id", [""])[0], form.get("client_secret", [""])[0])
        if form.get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type", "error_description": "no"}
        if credentials != CLIENT:
            description = "invalid client credentials"
            return 400, {"error": "invalid_client", "error_description": description}
        token = base64.b64encode(os.urandom(12)).decode()
        state.tokens.add(token)
        return 200, {"access_token": token, "instance_url": state.url, "token_type": "Bearer"}

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
            message = f"{type(error).__name__}: {error}"
            return 400, ApiError(400, "JSON_PARSER_ERROR", message).body()

    def _check(self, path: str) -> None:
        state = self.service
        header_bytes = sum(len(f"{name}: {value}") for name, value in self.headers.items())
        if len(self.path) + header_bytes > MAX_HEADER_BYTES:
            message = "address and headers are too long"
            raise ApiError(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", message)
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in state.tokens:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if state.calls > state.daily_limit:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if not path.startswith(ROOT):
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")

    def _route(  # noqa: C901, PLR0911 - one line per resource
        self, method: str, path: str, parameters: dict[str, list[str]], payload: Any
    ) -> Any:
        org = self.service.org
        match [method, *path.strip("/").split("/")]:
            case ["GET", "query"]:
                return self._page(org.query(parameters["q"][0]))
            case ["GET", "query", cursor]:
                return self._page(self.service.cursors.pop(cursor))
            case ["GET", "limits"]:
                state = self.service
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
            response = {"httpHeaders": {}, "referenceId": each["referenceId"]}
            try:
                body = self._route(each["method"], path.removeprefix(ROOT), parse_qs(query), None)
                response |= {"body": body, "httpStatusCode": 200}
            except ApiError as fault:
                response |= {"body": fault.body(), "httpStatusCode": fault.status}
            responses.append(response)
        return {"compositeResponse": responses}

    def _page(self, rows: list[Any]) -> Any:
        state = self.service
        page, remaining = rows[: state.page_rows], rows[state.page_rows :]
        page_payload = {"totalSize": len(rows), "done": not remaining, "records": page}
        if remaining:
            cursor = f"01g{len(state.cursors):012d}AAA-{state.page_rows}"
            state.cursors[cursor] = remaining
            page_payload["nextRecordsUrl"] = f"{ROOT}/query/{cursor}"
        return page_payload


@dataclass
class SalesforceServer(HttpService):
    """An org; ``fault`` is called with the number of each API call and returns its fault."""

    handler_class = _Handler
    org: Org = field(default_factory=Org)
    fault: Callable[[int], str | None] = lambda _: None
    daily_limit: int = 100_000
    page_rows: int = 2_000
    calls: int = 0
    failed: int = 0
    logins: int = 0
    # Method and resource → number of calls.
    call_counts: Counter[str] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=set)
    cursors: dict[str, list[Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, path: str, method: str) -> int:
        with self.lock:
            self.calls += 1
            self.call_counts[f"{method} {path.removeprefix(ROOT)}"] += 1
            return self.calls


def _parse_collection(payload: Any) -> list[dict[str, Any]]:
    _reject_unknown_keys(payload, "allOrNone", "records")
    if payload["allOrNone"] is not False:
        raise ApiError(400, "INVALID_INPUT", "this org plays without allOrNone")
    return list(payload["records"])


def _reject_unknown_keys(payload: dict[str, Any], *known: str) -> None:
    if unknown := set(payload) - set(known):
        raise ApiError(400, "JSON_PARSER_ERROR", f"Unrecognized field {sorted(unknown)}")
