"""HTTP as an attacker speaks it: byte by byte, well-formed or not."""

import base64
import hashlib
import hmac
import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

_IDLE_SECONDS = 8  # the server closes a connection that is idle for longer than 15


@dataclass(frozen=True)
class Answer:
    """What came back; status 0: it hung up."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Line:
    """One connection, which is opened anew when the other side has closed it."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", patience: float = 30) -> None:
        self._to, self._source, self._patience = ("127.0.0.1", port), source, patience
        self._socket: socket.socket | None = None
        self._used = 0.0

    def raw(self, sent: bytes, method: str = "GET") -> Answer:
        """Send bytes, and read one answer."""
        started = time.monotonic()
        line = self._open(started)
        try:
            _sent(line, sent)
            told = http.client.HTTPResponse(line, method=method)
            told.begin()
            body = told.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(0, seconds=time.monotonic() - started)
        self._used = time.monotonic()
        if told.will_close:
            self.close()
        headers = {name.lower(): value for name, value in told.getheaders()}
        return Answer(told.status, headers, body, self._used - started)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        return self.raw(request(method, path, headers or {}, body), method)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self, now: float) -> socket.socket:
        if self._socket is not None and now - self._used > _IDLE_SECONDS:
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(
                self._to, self._patience, source_address=(self._source, 0)
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _sent(line: socket.socket, told: bytes) -> None:
    """Send; who hangs up before all is sent may have answered."""
    try:
        line.sendall(told)
    except (BrokenPipeError, ConnectionResetError):
        return


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Put a request together, without any judgement on what is in it."""
    told = {"Host": "127.0.0.1", **headers}
    named = {name.lower() for name in told}
    if (body or method == "POST") and not named & {"content-length", "transfer-encoding"}:
        told["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def by_segment(secret: str, body: bytes) -> dict[str, str]:
    """Sign as Segment does, the whole body."""
    return {"X-Signature": hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}


def by_standard(secret: str, body: bytes, at: float, of: str = "msg_1") -> dict[str, str]:
    """Sign by the Standard Webhooks rules."""
    told = f"{of}.{at:.0f}.".encode() + body
    made = base64.b64encode(hmac.new(secret.encode(), told, hashlib.sha256).digest()).decode()
    return {
        "Webhook-Id": of,
        "Webhook-Timestamp": f"{at:.0f}",
        "Webhook-Signature": f"v1,{made}",
    }
