"""Clients that never finish to ask, or never read what they are told; too many; too large heads."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import wire
from attack import Attack
from ledger import Kind

_SECONDS = 36.0  # the slowest patience of the server, and some
_HONEST_PER_SECOND = 40
_CROWD = 1_100  # more than it holds
_HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_CLOSE = 20  # sockets that a server with nothing to do may hold


class Client:
    """Asks in part, then sends a byte now and then, and reads nothing."""

    def __init__(
        self, at: Attack, first: bytes, *, reads: bool = False, deaf: bool = False
    ) -> None:
        self.line = socket.socket()
        if deaf:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.line.connect(("127.0.0.1", at.port))
        self.line.settimeout(5)
        self.deaf = deaf
        self._say(first)
        if reads:
            self.line.recv(65_536)
            self._say(_HEAD)
        self.line.setblocking(False)

    def drip(self) -> None:
        """One byte more, of which nothing comes."""
        self._say(b"a")

    def _say(self, told: bytes) -> None:
        with suppress(OSError):  # let go, or nothing more fits: both are what it asked for
            self.line.send(told)


def clients(at: Attack, kind: Kind) -> None:
    """Hundreds of slow ones; honest events are taken as before, and the slow ones let go."""
    seconds = _SECONDS if at.share == 1 else 4.0
    before = _sockets(at)
    held = [
        client
        for client_of, count in _kinds(at)
        for client in (client_of() for _ in range(at.times(count)))
    ]
    kind.told["slow_clients"] = len(held)
    with _beside(at, kind) as waits:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1)
            for client in held:
                if not client.deaf:
                    client.drip()
    left = _sockets(at) - before
    kind.told |= {
        "honest": len(waits),
        "p99_ms": round(float(np.quantile(waits, 0.99)) * 1000),
        "longest_ms": round(max(waits) * 1000),
        "still_held": max(left, 0),
    }
    waited = kind.told["p99_ms"] >= 2_000 or kind.told["longest_ms"] >= 10_000
    kind.law("an honest one waited", holds=not waited, found=kind.told)
    if at.share == 1:
        kind.law("slow ones are held for ever", holds=left <= _CLOSE, found=left)
    for client in held:
        client.line.close()


def _kinds(at: Attack) -> list[tuple[Callable[[], Client], int]]:
    body = {"X-Webhook-Secret": at.target.secrets["generic"], "Content-Length": "1000"}
    hook = wire.request("POST", "/webhooks/generic", body)
    form = wire.request("POST", "/sign-in", {"Content-Length": "1000"})
    chunks = wire.request("POST", "/sign-in", {"Transfer-Encoding": "chunked"})
    refused = wire.request("POST", "/no", {"Content-Length": "50000"})
    script = wire.request("GET", "/static/htmx.min.js", {})
    file = wire.request("GET", "/list.csv", at.viewer("lead"))
    return [
        (lambda: Client(at, _HEAD), 130),
        (lambda: Client(at, _HEAD + b"\r\n", reads=True), 130),
        (lambda: Client(at, _HEAD + b"\r\n\r\n\r\n"), 50),
        (lambda: Client(at, hook), 100),
        (lambda: Client(at, form), 60),
        (lambda: Client(at, chunks), 40),
        (lambda: Client(at, refused), 50),
        (lambda: Client(at, b""), 100),
        # More than the machine itself keeps for who does not read.
        (lambda: Client(at, file * 2, deaf=True), 20),
        (lambda: Client(at, script * 100, deaf=True), 40),
    ]


@contextmanager
def _beside(at: Attack, kind: Kind) -> Iterator[list[float]]:
    """Honest events, and pages asked for, while it goes on; their waits."""
    waits: list[float] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=each, args=(at, kind, over, waits))
        for each in (_sent, _sent, _seen)
    ]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _sent(at: Attack, kind: Kind, over: threading.Event, waits: list[float]) -> None:
    line = at.line()
    while not over.wait(2 / _HONEST_PER_SECOND):
        answer = at.honest(kind, line)
        kind.law("not taken", holds=answer.status == 200, found=answer)
        waits.append(answer.seconds)
    line.close()


def _seen(at: Attack, kind: Kind, over: threading.Event, waits: list[float]) -> None:
    line, account = at.line(), at.target.of("Ada")[50]
    while not over.wait(1):
        for path in ("/?sort=name", f"/account?id={account}", "/list.csv"):
            answer = at.ask(kind, line, "GET", path, "Ada")
            kind.law("not shown", holds=answer.status == 200, found=(path, answer))
            waits.append(answer.seconds)
    line.close()


def crowd(at: Attack, kind: Kind) -> None:
    """More connections than it holds: who comes now is told to come again, and then can."""
    before = _sockets(at)
    held = [Client(at, b"") for _ in range(_CROWD if at.share == 1 else 50)]
    line = at.line()
    for _ in range(20):
        at.honest(kind, line)
    end = time.monotonic() + 20
    while _sockets(at) > before + _CLOSE and at.share == 1 and time.monotonic() < end:
        time.sleep(0.5)
    answer = at.honest(kind, line)
    kind.law("not well again", holds=answer.status == 200, found=answer)
    kind.told["connections"] = len(held)
    for client in held:
        client.line.close()
    line.close()


def heads(at: Attack, kind: Kind) -> None:
    """Heads without an end are cut off, and cost no memory."""
    before = at.at.memory_mb()["server"]
    most = 200_000_000 if at.share == 1 else 50_000_000
    for start in (
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: a=",
        wire.request("POST", "/sign-in", {"Transfer-Encoding": "chunked"}) + b"1;x=",
        wire.request("POST", "/sign-in", {"Transfer-Encoding": "chunked"}) + b"0\r\nX: ",
    ):
        sent = _poured(at, start, b"a" * 65_536, most)
        kind.statuses[0] += 1
        kind.law("read without an end", holds=sent < most, found=(start, sent))
    line = b"X-Some-Header: some value\r\n" * 2_400
    sent = _poured(at, b"GET / HTTP/1.1\r\n", line, most)
    kind.statuses[0] += 1
    kind.law("read without an end", holds=sent < most, found=("many headers", sent))
    grown = at.at.memory_mb()["server"] - before
    kind.told["grown_mb"] = round(grown)
    kind.law("memory grew", holds=grown < 50, found=grown)


def _poured(at: Attack, start: bytes, more: bytes, most: int) -> int:
    """Send without an end; how many bytes were taken before it was cut off."""
    sent = 0
    with socket.create_connection(("127.0.0.1", at.port), 20) as line, suppress(OSError):
        line.sendall(start)
        while sent < most:
            line.sendall(more)
            sent += len(more)
    return sent


def _sockets(at: Attack) -> int:
    """How many sockets the server holds."""
    found = 0
    for each in Path(f"/proc/{at.at.process.pid}/fd").iterdir():
        with suppress(OSError):
            found += str(each.readlink()).startswith("socket:")
    return found
