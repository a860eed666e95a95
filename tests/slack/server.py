"""Slack's Web API and a webhook over HTTP, with the rules that we touch, and faults."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "xoxb-made-up"  # noqa: S105
HOOK = "/services/T0/B0/made-up"
SCOPES = {"chat:write", "im:write", "im:history", "channels:history", "users:read.email"}
NEEDED = {
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


@dataclass
class Slack:
    """One workspace; ``fault`` is asked at each call, with its number, how it is to fail."""

    fault: Callable[[int], str | None] = lambda _: None
    scopes: set[str] = field(default_factory=lambda: set(SCOPES))
    users: dict[str, str] = field(default_factory=dict)  # e-mail → id
    channels: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"C01": []})
    closed: set[str] = field(default_factory=set)  # channels that we were not invited to
    page: int = 3
    calls: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        handler = type("Handler", (_Handler,), {"slack": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign] # whoever hung up
        address = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.api_url, self.hook_url = f"{address}/api/", address + HOOK
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "Slack":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def texts(self, channel: str) -> list[str]:
        return [message["text"] for message in self.channels[channel]]

    def say(self, channel: str, told: dict[str, Any]) -> str:
        """Put a message into a channel, and give its name."""
        _check_message(told)
        with self.lock:
            stamp = f"{time.time():.6f}"
            kept = {name: told[name] for name in ("text", "blocks", "metadata") if name in told}
            self.channels[channel].append({"type": "message", "ts": stamp, **kept})
            return stamp

    # -- methods -------------------------------------------------------------------------------

    def answer(self, method: str, told: dict[str, Any]) -> dict[str, Any]:
        if NEEDED[method] not in self.scopes:
            return {"ok": False, "error": "missing_scope", "needed": NEEDED[method]}
        return getattr(self, method.replace(".", "_"))(told)

    def chat_postMessage(self, told: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if problem := self._absent(told["channel"]):
            return {"ok": False, "error": problem}
        try:
            return {"ok": True, "channel": told["channel"], "ts": self.say(told["channel"], told)}
        except ValueError as error:
            return {"ok": False, "error": str(error)}

    def conversations_history(self, told: dict[str, Any]) -> dict[str, Any]:
        if problem := self._absent(told["channel"]):
            return {"ok": False, "error": problem}
        oldest, start = float(told.get("oldest", 0)), int(told.get("cursor") or 0)
        newest_first = reversed(self.channels[told["channel"]])
        rows = [row for row in newest_first if float(row["ts"]) > oldest]
        page = rows[start : start + self.page]
        if told.get("include_all_metadata") not in {"1", "true", True}:
            page = [{k: v for k, v in row.items() if k != "metadata"} for row in page]
        more = start + self.page < len(rows)
        cursor = str(start + self.page) if more else ""
        told_back = {"ok": True, "messages": page, "has_more": more}
        return told_back | {"response_metadata": {"next_cursor": cursor}}

    def conversations_open(self, told: dict[str, Any]) -> dict[str, Any]:
        [user] = told["users"] if isinstance(told["users"], list) else told["users"].split(",")
        if user not in self.users.values():
            return {"ok": False, "error": "user_not_found"}
        self.channels.setdefault(f"D{user}", [])
        return {"ok": True, "channel": {"id": f"D{user}"}}

    def users_lookupByEmail(self, told: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        user = self.users.get(told["email"])
        return (
            {"ok": True, "user": {"id": user}}
            if user
            else {"ok": False, "error": "users_not_found"}
        )

    def _absent(self, channel: str) -> str | None:
        if channel not in self.channels:
            return "channel_not_found"
        return "not_in_channel" if channel in self.closed else None


def sometimes(
    share: float, seed: int, kinds: tuple[str, ...] = FAULTS
) -> Callable[[int], str | None]:
    """Faults at a share of the calls, drawn from a seed."""
    draw = random.Random(seed)  # noqa: S311
    return lambda _: draw.choice(kinds) if draw.random() < share else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    slack: Slack

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        method = address.path.rpartition("/")[2]
        with self.slack.lock:
            self.slack.calls[method] += 1
            fault = self.slack.fault(self.slack.calls.total())
            self.slack.failed += fault is not None
        if fault and fault.endswith("before"):
            self._fail(fault)
            return
        told = self._told(body, address.query)
        status, answer = self._hooked(told) if address.path == HOOK else self._asked(method, told)
        self._fail(fault, answer) if fault else self._send(status, answer)

    def _told(self, body: bytes, query: str) -> dict[str, Any]:
        if "json" in self.headers.get("Content-Type", ""):
            return json.loads(body)
        return dict(parse_qsl(query)) | dict(parse_qsl(body.decode()))

    def _asked(self, method: str, told: dict[str, Any]) -> tuple[int, Any]:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 200, {"ok": False, "error": "invalid_auth"}
        return 200, self.slack.answer(method, told)

    def _hooked(self, told: dict[str, Any]) -> tuple[int, Any]:
        try:
            self.slack.say("C01", told)
        except ValueError as error:
            return 400, str(error)
        return 200, "ok"

    def _fail(self, fault: str, answer: Any = None) -> None:
        kind, *told = fault.split()
        self.close_connection = True
        if kind == "kill":
            os.kill(int(told[0]), signal.SIGKILL)
        elif kind == "silence":
            self.rfile.read(1)  # until the client gives up
        elif kind in {"500", "503"}:
            self._send(int(kind), "upstream connect error")
        elif kind == "internal_error":
            self._send(200, {"ok": False, "error": kind})
        elif kind == "429":
            self._send(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
        elif kind == "half":
            self._send(200, answer, cut=True)
        # else "reset": nothing is answered

    def _send(
        self, status: int, answer: Any, more: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        kind = "text/html" if isinstance(answer, str) else "application/json; charset=utf-8"
        for name, value in {"Content-Type": kind, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)


def _check_message(told: dict[str, Any]) -> None:
    """Block Kit's bounds, as far as we use it."""
    blocks = told.get("blocks") or []
    if not told.get("text") and not blocks:
        raise ValueError("no_text")
    if len(blocks) > 50 or len(json.dumps(blocks)) > 26_000:
        raise ValueError("invalid_blocks")
    for block in blocks:
        if block["type"] not in {"section", "divider", "context", "header"}:
            raise ValueError("invalid_blocks")
        for text in [block["text"]] if "text" in block else block.get("elements", []):
            if text["type"] != "mrkdwn" or not 1 <= len(text["text"]) <= 3000:
                raise ValueError("invalid_blocks")
    metadata = told.get("metadata")
    if metadata is not None and set(metadata) != {"event_type", "event_payload"}:
        raise ValueError("invalid_metadata_format")
