"""A CRM behind real HTTP that fails as real ones do: before a write takes effect, and after it.

It keeps its objects in memory, one per key, counts every request and every fault, and remembers
each value that it was told to write, so that a judge can look.
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
HANGS_SECONDS = 0.6  # longer than the client waits


@dataclass
class FaultyCrm:
    """Objects by kind and key; ``fault`` hits a share of the requests.

    ``refuses`` are keys that it will never take, ``refuses_batches`` says whether one of them
    spoils its whole call; ``poison`` keys make it answer 500 for ever.
    """

    fault: str | None = None
    share: float = 0.3
    seed: int = 7
    refuses: frozenset[str] = frozenset()
    refuses_batches: bool = False
    poison: frozenset[str] = frozenset()
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    human: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    worked: list[dict[str, str]] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()  # noqa: S311
        self._server: ThreadingHTTPServer | None = None
        self._ids = 0

    def start(self) -> str:
        """Listen, and give the address."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def drawn_fault(self) -> tuple[str | None, bool]:
        """Which fault hits this request, and whether only after it took effect."""
        with self._lock:
            self.requests += 1
            hit = self.fault is not None and self._random.random() < self.share
            self.failed += hit
            fault = self._random.choice(FAULTS) if self.fault == "any" else self.fault
            return (fault if hit else None), self._random.random() < 0.5

    def answer(self, path: str, asked: Any) -> tuple[int, Any]:
        with self._lock:
            if path == "/worked":
                return 200, [each for each in self.worked if each["on"] >= asked]
            if path == "/read":
                return 200, [self._found(ref) for ref in asked]
            return self._written(asked)

    def edit(self, kind: str, key: str, name: str, value: Any) -> None:
        """A human sets a field."""
        with self._lock:
            self.objects[kind][key]["fields"][name] = value

    def _found(self, ref: dict[str, Any]) -> Any:
        kept = self.objects.get(ref["kind"], {})
        if ref["crm_id"]:
            return next((each for each in kept.values() if each["crm_id"] == ref["crm_id"]), None)
        return kept.get(ref["key"])

    def _written(self, changes: list[dict[str, Any]]) -> tuple[int, Any]:
        keys = {change["ref"]["key"] for change in changes}
        if keys & self.poison:
            return 500, "poisoned"
        if self.refuses_batches and keys & self.refuses:
            return 422, f"cannot take {min(keys & self.refuses)}"
        return 200, [self._put(change) for change in changes]

    def _put(self, change: dict[str, Any]) -> dict[str, Any]:
        ref = change["ref"]
        if ref["key"] in self.refuses:
            return {"words": "no such thing"}
        kept = self.objects.setdefault(ref["kind"], {})
        if ref["key"] not in kept:
            self._ids += 1
            self.made.append(ref["key"])
            kept[ref["key"]] = {"crm_id": f"{ref['kind']}-{self._ids}", "fields": {}, "ours": True}
        kept[ref["key"]]["fields"].update(change["fields"])
        return {"crm_id": kept[ref["key"]]["crm_id"]}


def _handler(crm: FaultyCrm) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"crm": crm})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    crm: FaultyCrm

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault, after = self.crm.drawn_fault()
        if fault is None:
            self._send(*self.crm.answer(self.path, asked))
            return
        # Half a response can only be of what has been done.
        done = after or fault == "half a response"
        self._fail(fault, self.crm.answer(self.path, asked) if done else None)

    def _fail(self, fault: str, answer: Any) -> None:
        if fault == "half a response":
            self._half(answer)
        elif fault.isdecimal():
            self._send(int(fault), "later", {"Retry-After": "1"} if fault == "429" else {})
        else:
            self._hang_up(waits=fault == "time-out")

    def _send(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _half(self, answer: Any) -> None:
        body = json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _hang_up(self, *, waits: bool) -> None:
        if waits:
            time.sleep(HANGS_SECONDS)
        else:  # with nothing lingering, closing resets
            now = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.close_connection = True
        self.connection.close()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # the connection that we closed ourselves
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass
