"""Raw HTTP client for valid and malformed requests."""

import base64
import hashlib
import hmac
import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

_IDLE_SECONDS = 8  # the server closes idle connections after 15


@dataclass(frozen=True)
class RawResponse:
    """A response; status 0: the connection was closed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class RawConnection:
    """A connection that reopens after the server has closed it."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", timeout: float = 30) -> None:
        self._to, self._source, self._timeout = ("127.0.0.1", port), source, timeout
        self._socket: socket.socket | None = None
        self._used = 0.0

    def send_raw(self, data: bytes, method: str = "GET") -> RawResponse:
        """Send bytes, and read one response."""
        started = time.monotonic()
        sock = self._open(started)
        try:
            send_all(sock, data)
            response = http.client.HTTPResponse(sock, method=method)
            response.begin()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return RawResponse(0, seconds=time.monotonic() - started)
        self._used = time.monotonic()
        if response.will_close:
            self.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return RawResponse(response.status, headers, body, self._used - started)

    def send_request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> RawResponse:
        return self.send_raw(build_request(method, path, headers or {}, body), method)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self, now: float) -> socket.socket:
        if self._socket is not None and now - self._used > _IDLE_SECONDS:
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(
                self._to, self._timeout, source_address=(self._source, 0)
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send data; ignore a reset, since a response may have arrived first."""
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def build_request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Build a request without validation."""
    fields = {"Host": "127.0.0.1", **headers}
    named = {name.lower() for name in fields}
    if (body or method == "POST") and not named & {"content-length", "transfer-encoding"}:
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


def bearer_header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sign_segment(secret: str, body: bytes) -> dict[str, str]:
    """Sign the whole body as Segment does."""
    return {"X-Signature": hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}


def sign_standard(secret: str, body: bytes, at: float, of: str = "msg_1") -> dict[str, str]:
    """Sign as in Standard Webhooks."""
    signed = f"{of}.{at:.0f}.".encode() + body
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return {
        "Webhook-Id": of,
        "Webhook-Timestamp": f"{at:.0f}",
        "Webhook-Signature": f"v1,{digest}",
    }
