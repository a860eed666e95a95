"""HTTP server of the fakes: JSON responses over real connections, with injected faults."""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from tests import ROOT

Response = tuple[int, Any]  # status and JSON; a text is sent as it is


class JsonHandler(BaseHTTPRequestHandler):
    """Handler of one connection; a subclass answers each request in ``serve``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 18  # a response is one write

    def serve(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_PATCH(self) -> None:
        self.serve()

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send_json(
        self, response: Response, headers: Mapping[str, str] | None = None, *, cut: bool = False
    ) -> None:
        """Send a response; ``cut`` sends half of its body and closes the connection."""
        status, payload = response
        is_text = isinstance(payload, str)
        body = (payload if is_text else json.dumps(payload)).encode()
        content_type = "text/html" if is_text else "application/json;charset=utf-8"
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def drop_connection(self, *, waits: bool) -> None:
        """Close without a response: after the client has timed out, or by a reset."""
        if waits:
            self.rfile.read(1)
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


@dataclass
class HttpService:
    """Service on a free port of this machine; its handler finds it as ``service``."""

    handler_class: ClassVar[type[JsonHandler]] = JsonHandler
    url: str = field(default="", init=False)

    def start(self) -> str:
        """Start listening and return the URL."""
        handler = type("Handler", (self.handler_class,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self.url

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class FaultyService(HttpService):
    """Service of which a share of the requests fails.

    Attributes
    ----------
    fault : str or None
        One of ``faults``, or "any"; half of the faults occur after the request took effect.
    requests : collections.Counter
        Operation → requests so far.
    failed : int
        Requests with a fault so far.
    """

    faults: ClassVar[tuple[str, ...]] = ()
    fault: str | None = None
    fault_share: float = 0.3
    seed: int = 7
    requests: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def __post_init__(self) -> None:
        self._random, self.lock = random.Random(self.seed), threading.Lock()  # noqa: S311

    @property
    def total(self) -> int:
        """Number of requests so far."""
        return self.requests.total()

    def draw_fault(self, operation: str) -> tuple[str | None, bool]:
        """Draw the fault of this request, and whether it occurs after the effect."""
        with self.lock:
            self.requests[operation] += 1
            is_hit = self.fault is not None and self._random.random() < self.fault_share
            self.failed += is_hit
            fault = self._random.choice(self.faults) if self.fault == "any" else self.fault
            return (fault if is_hit else None), self._random.random() < 0.5


class ScriptedFaultHandler(JsonHandler):
    """Handler of faults such as "half after": their kind, and when they occur.

    ``status_faults`` are the responses of the other kinds.
    """

    status_faults: ClassVar[Mapping[str, Response]]

    def fail(self, fault: str, response: Response | None) -> None:
        """Fail; the response is None if the request took no effect."""
        kind, *arguments = fault.split()
        if kind == "kill":
            os.kill(int(arguments[0]), signal.SIGKILL)
            self.close_connection = True
        elif kind in {"silence", "reset"}:
            self.drop_connection(waits=kind == "silence")
        elif kind == "half" and response is not None:
            self.send_json(response, cut=True)
        else:
            headers = {"Retry-After": "1"} if kind == "429" else {}
            self.send_json(self.status_faults[kind], headers)
            self.close_connection = True


def random_faults(share: float, seed: int, kinds: tuple[str, ...]) -> Callable[[int], str | None]:
    """Return a function that draws faults for a share of the calls."""
    rng = random.Random(seed)  # noqa: S311
    return lambda _: rng.choice(kinds) if rng.random() < share else None


def run_and_kill(
    service: Any, count_calls: Callable[[], int], at: int, moment: str, *command: object
) -> bool:
    """Run a module that the service kills at its nth call, before or after the effect.

    Returns False if it finished before that.
    """
    child: list[subprocess.Popen[bytes]] = []
    start = count_calls()
    service.fault = lambda number: (
        f"kill {child[0].pid} {moment}" if child and number - start == at else None
    )
    arguments = [sys.executable, "-m", *map(str, command)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    child.append(subprocess.Popen(arguments, cwd=ROOT, env=environment))
    code = child[0].wait(120)
    service.fault = lambda _: None
    assert code in {0, -signal.SIGKILL}
    return code != 0
