"""Slack's Web API and a webhook over HTTP, with the rules that we use, and injected faults."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.http_server import HttpService, Response, ScriptedFaultHandler

TOKEN = "xoxb-made-up"  # noqa: S105
WEBHOOK_PATH = "/services/T0/B0/made-up"
SCOPES = {"chat:write", "im:write", "im:history", "channels:history", "users:read.email"}
REQUIRED_SCOPES = {
    "chat.postMessage": "chat:write",
    "conversations.history": "channels:history",
    "conversations.open": "im:write",
    "users.lookupByEmail": "users:read.email",
}
FAULTS = (
    "silence before",
    "silence after",
    "reset before",
    "reset after",
    "500 before",
    "500 after",
    "503 before",
    "internal_error after",
    "half after",
    "429 before",
)


class _Handler(ScriptedFaultHandler):
    service: "SlackServer"
    status_faults: ClassVar = {
        "500": (500, "upstream connect error"),
        "503": (503, "upstream connect error"),
        "internal_error": (200, {"ok": False, "error": "internal_error"}),
        "429": (429, {"ok": False, "error": "ratelimited"}),
    }

    def serve(self) -> None:
        body = self.read_body()
        address = urlsplit(self.path)
        method = address.path.rpartition("/")[2]
        with self.service.lock:
            self.service.calls[method] += 1
            fault = self.service.fault(self.service.calls.total())
            self.service.failed += fault is not None
        if fault and fault.endswith("before"):
            self.fail(fault, None)
            return
        payload = self._parse_body(body, address.query)
        response = (
            self._handle_webhook(payload)
            if address.path == WEBHOOK_PATH
            else self._handle_api_call(method, payload)
        )
        if fault:
            self.fail(fault, response)
        else:
            self.send_json(response)

    def _parse_body(self, body: bytes, query: str) -> dict[str, Any]:
        if "json" in self.headers.get("Content-Type", ""):
            payload: dict[str, Any] = json.loads(body)
            return payload
        return dict(parse_qsl(query)) | dict(parse_qsl(body.decode()))

    def _handle_api_call(self, method: str, params: dict[str, Any]) -> Response:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 200, {"ok": False, "error": "invalid_auth"}
        return 200, self.service.call_method(method, params)

    def _handle_webhook(self, params: dict[str, Any]) -> Response:
        try:
            self.service.add_message("C01", params)
        except ValueError as error:
            return 400, str(error)
        return 200, "ok"


@dataclass
class SlackServer(HttpService):
    """One workspace; ``fault`` is called with the number of each call and returns its fault."""

    handler_class = _Handler
    fault: Callable[[int], str | None] = lambda _: None
    scopes: set[str] = field(default_factory=lambda: set(SCOPES))
    users: dict[str, str] = field(default_factory=dict)  # e-mail address → user id
    channels: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"C01": []})
    not_invited: set[str] = field(default_factory=set)  # channels without the bot
    page: int = 3
    calls: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def hook_url(self) -> str:
        return self.url + WEBHOOK_PATH

    def texts(self, channel: str) -> list[str]:
        return [message["text"] for message in self.channels[channel]]

    def add_message(self, channel: str, message: dict[str, Any]) -> str:
        """Add a message to a channel, and return its timestamp (``ts``)."""
        _check_message(message)
        with self.lock:
            timestamp = f"{time.time():.6f}"
            fields: dict[str, Any] = {
                name: message[name] for name in ("text", "blocks", "metadata") if name in message
            }
            self.channels[channel].append({"type": "message", "ts": timestamp, **fields})
            return timestamp

    # -- methods -------------------------------------------------------------------------------

    def call_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if REQUIRED_SCOPES[method] not in self.scopes:
            return {"ok": False, "error": "missing_scope", "needed": REQUIRED_SCOPES[method]}
        result: dict[str, Any] = getattr(self, method.replace(".", "_"))(params)
        return result

    def chat_postMessage(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if channel_error := self._channel_error(params["channel"]):
            return {"ok": False, "error": channel_error}
        try:
            return {
                "ok": True,
                "channel": params["channel"],
                "ts": self.add_message(params["channel"], params),
            }
        except ValueError as error:
            return {"ok": False, "error": str(error)}

    def conversations_history(self, params: dict[str, Any]) -> dict[str, Any]:
        if error := self._channel_error(params["channel"]):
            return {"ok": False, "error": error}
        oldest, start = float(params.get("oldest", 0)), int(params.get("cursor") or 0)
        newest_first = reversed(self.channels[params["channel"]])
        rows = [row for row in newest_first if float(row["ts"]) > oldest]
        page = rows[start : start + self.page]
        if params.get("include_all_metadata") not in {"1", "true", True}:
            page = [{k: v for k, v in row.items() if k != "metadata"} for row in page]
        more = start + self.page < len(rows)
        cursor = str(start + self.page) if more else ""
        payload = {"ok": True, "messages": page, "has_more": more}
        return payload | {"response_metadata": {"next_cursor": cursor}}

    def conversations_open(self, params: dict[str, Any]) -> dict[str, Any]:
        [user] = (
            params["users"] if isinstance(params["users"], list) else params["users"].split(",")
        )
        if user not in self.users.values():
            return {"ok": False, "error": "user_not_found"}
        self.channels.setdefault(f"D{user}", [])
        return {"ok": True, "channel": {"id": f"D{user}"}}

    def users_lookupByEmail(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        user = self.users.get(params["email"])
        return (
            {"ok": True, "user": {"id": user}}
            if user
            else {"ok": False, "error": "users_not_found"}
        )

    def _channel_error(self, channel: str) -> str | None:
        if channel not in self.channels:
            return "channel_not_found"
        return "not_in_channel" if channel in self.not_invited else None


def _check_message(message: dict[str, Any]) -> None:
    """Check the limits of Block Kit that we use."""
    blocks = message.get("blocks") or []
    if not message.get("text") and not blocks:
        raise ValueError("no_text")
    if len(blocks) > 50 or len(json.dumps(blocks)) > 26_000:
        raise ValueError("invalid_blocks")
    for block in blocks:
        if block["type"] not in {"section", "divider", "context", "header"}:
            raise ValueError("invalid_blocks")
        for text in [block["text"]] if "text" in block else block.get("elements", []):
            if text["type"] != "mrkdwn" or not 1 <= len(text["text"]) <= 3000:
                raise ValueError("invalid_blocks")
    metadata = message.get("metadata")
    if metadata is not None and set(metadata) != {"event_type", "event_payload"}:
        raise ValueError("invalid_metadata_format")
