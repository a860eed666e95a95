"""A CRM over real HTTP with injected faults, before and after a write takes effect.

It holds its objects in memory, one per key, and counts every request and every fault.
"""

import json
import random
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("time-out", "reset", "429", "500", "502", "503", "half a response")
HANG_SECONDS = 0.6  # longer than the client waits


@dataclass
class FaultyCrm:
    """Objects by kind and key; ``fault`` affects a share of the requests.

    ``rejected_keys`` are always rejected, alone or, with ``rejects_batches``, with their whole
    batch; ``failing_keys`` always cause HTTP 500.
    """

    fault: str | None = None
    share: float = 0.3
    seed: int = 7
    rejected_keys: frozenset[str] = frozenset()
    rejects_batches: bool = False
    failing_keys: frozenset[str] = frozenset()
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    human: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    touches: list[dict[str, str]] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    created: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()  # noqa: S311
        self._server: ThreadingHTTPServer | None = None
        self._ids = 0

    def start(self) -> str:
        """Listen, and return the address."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def draw_fault(self) -> tuple[str | None, bool]:
        """Return the fault of this request, and whether it occurs after the write."""
        with self._lock:
            self.requests += 1
            hit = self.fault is not None and self._random.random() < self.share
            self.failed += hit
            fault = self._random.choice(FAULTS) if self.fault == "any" else self.fault
            return (fault if hit else None), self._random.random() < 0.5

    def handle(self, path: str, request: Any) -> tuple[int, Any]:
        with self._lock:
            if path == "/touches":
                return 200, [each for each in self.touches if each["touched_on"] >= request]
            if path == "/read":
                return 200, [self._find(ref) for ref in request]
            return self._write(request)

    def edit_as_human(self, kind: str, key: str, name: str, value: Any) -> None:
        """Set a field as a human would."""
        with self._lock:
            self.objects[kind][key]["fields"][name] = value

    def _find(self, ref: dict[str, Any]) -> Any:
        stored = self.objects.get(ref["kind"], {})
        if ref["crm_id"]:
            return next((each for each in stored.values() if each["crm_id"] == ref["crm_id"]), None)
        return stored.get(ref["key"])

    def _write(self, changes: list[dict[str, Any]]) -> tuple[int, Any]:
        keys = {change["ref"]["key"] for change in changes}
        if keys & self.failing_keys:
            return 500, "internal error"
        if self.rejects_batches and keys & self.rejected_keys:
            return 422, f"invalid value in {min(keys & self.rejected_keys)}"
        return 200, [self._apply(change) for change in changes]

    def _apply(self, change: dict[str, Any]) -> dict[str, Any]:
        ref = change["ref"]
        if ref["key"] in self.rejected_keys:
            return {"reason": "invalid value"}
        stored = self.objects.setdefault(ref["kind"], {})
        if ref["key"] not in stored:
            self._ids += 1
            self.created.append(ref["key"])
            crm_id = f"{ref['kind']}-{self._ids}"
            stored[ref["key"]] = {"crm_id": crm_id, "fields": {}, "created_by_us": True}
        stored[ref["key"]]["fields"].update(change["fields"])
        return {"crm_id": stored[ref["key"]]["crm_id"]}


def _make_handler(crm: FaultyCrm) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"crm": crm})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    crm: FaultyCrm

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault, after = self.crm.draw_fault()
        if fault is None:
            self._send(*self.crm.handle(self.path, request))
            return
        # Half a response is possible only for a request that was handled.
        is_handled = after or fault == "half a response"
        self._fail(fault, self.crm.handle(self.path, request) if is_handled else None)

    def _fail(self, fault: str, answer: Any) -> None:
        if fault == "half a response":
            self._send_half(answer)
        elif fault.isdecimal():
            self._send(int(fault), "later", {"Retry-After": "1"} if fault == "429" else {})
        else:
            self._hang_up(waits=fault == "time-out")

    def _send(self, status: int, response: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(response).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_half(self, answer: Any) -> None:
        body = json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _hang_up(self, *, waits: bool) -> None:
        if waits:
            time.sleep(HANG_SECONDS)
        else:  # closing without linger resets the connection
            now = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.close_connection = True
        self.connection.close()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # we closed the connection ourselves
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass
