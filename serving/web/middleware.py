"""Security middleware: host check, CSRF origin check, body limits, rate limit, security headers.

Plain ASGI, so that a request is rejected before its body is read.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.config.server import WebConfig

__all__ = ["SecurityMiddleware", "TokenBucket"]

MAX_BODY_BYTES: Final = 64 * 1024  # per form
BODY_TIMEOUT_SECONDS: Final = 20.0
_WEBHOOK_PATH: Final = "/webhooks"
_SIGN_INS_PER_MINUTE: Final = 10
_MAX_ADDRESSES: Final = 10_000
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestBodyError(Exception):
    """The request body exceeds the limit, or did not arrive in time."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TokenBucket:
    """Token bucket per client address: ``per_minute`` requests, refilled evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take_token(self, address: str) -> float:
        """Take a token; return 0, or the seconds until one is available."""
        now = self._clock()
        tokens, updated_at = self._tokens.pop(address, (float(self.per_minute), now))
        tokens = min(tokens + (now - updated_at) * self.per_minute / 60, float(self.per_minute))
        wait = 0.0 if tokens >= 1 else (1 - tokens) * 60 / self.per_minute
        self._tokens[address] = (tokens if wait else tokens - 1, now)
        if len(self._tokens) > _MAX_ADDRESSES:
            self._tokens.popitem(last=False)
        return wait


class SecurityMiddleware:
    """Wraps the app; see :class:`data.config.server.WebConfig` for its rules."""

    def __init__(self, app: ASGIApp, rules: WebConfig) -> None:
        self.app = app
        self._allowed_hosts = {"localhost", "127.0.0.1", "[::1]", rules.host, *rules.allowed_hosts}
        self._checks_host = rules.auth_disabled or bool(rules.allowed_hosts)
        self._buckets = {
            _WEBHOOK_PATH: TokenBucket(rules.webhook_requests_per_minute),
            "/sign-in": TokenBucket(_SIGN_INS_PER_MINUTE),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or reject it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
                _add_security_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        is_webhook = _is_under(_WEBHOOK_PATH, scope["path"])  # webhooks have their own body limits
        app = self._reject_request(scope, is_webhook=is_webhook) or self.app
        try:
            await app(scope, receive if is_webhook else _limit_body(receive), send_with_headers)
        except RequestBodyError as error:
            if not response_started:
                response = PlainTextResponse(str(error), error.status, {"Connection": "close"})
                await response(scope, receive, send_with_headers)

    def _reject_request(self, scope: Scope, *, is_webhook: bool) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        is_known_host = not self._checks_host or _get_host_name(headers) in self._allowed_hosts
        if not (is_webhook or is_known_host):
            return PlainTextResponse("Host not allowed; add it to web.allowed_hosts.", 421)
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            if not is_webhook and not _is_same_origin(headers):
                return PlainTextResponse("Cross-origin form submission rejected.", 403)
            address = (scope.get("client") or [""])[0]
            for folder, bucket in self._buckets.items():
                if _is_under(folder, path) and (wait := bucket.take_token(address)):
                    message, retry_after = "Too many requests; try again later.", str(int(wait) + 1)
                    return PlainTextResponse(message, 429, {"Retry-After": retry_after})
        declared = headers.get("content-length", "0")
        if not is_webhook and (not declared.isdecimal() or int(declared[:12]) > MAX_BODY_BYTES):
            return PlainTextResponse("Request body too large.", 413)
        return None


def _limit_body(receive: Receive) -> Receive:
    """Limit the size of the request body and the time to receive it."""
    received, deadline = 0, time.monotonic() + BODY_TIMEOUT_SECONDS
    complete = False

    async def receive_limited() -> Message:
        nonlocal received, complete
        if complete:  # after the body, only a disconnect can follow
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(deadline - time.monotonic(), 0.001))
        except TimeoutError as error:
            raise RequestBodyError("The request body did not arrive in time.", 408) from error
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise RequestBodyError("Request body too large.", 413)
        complete = not message.get("more_body", False)
        return message

    return receive_limited


def _add_security_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _SECURITY_HEADERS.items():
        headers[name] = value
    is_static = _is_under("/static", path)
    headers["Cache-Control"] = "public, max-age=86400" if is_static else "no-store"


def _is_same_origin(headers: Headers) -> bool:
    """Return False if a browser reports another origin (CSRF); non-browsers report none."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


def _get_host_name(headers: Headers) -> str:
    host = headers.get("host", "").lower()
    name, _, port = host.rpartition(":")
    return name if port.isdecimal() else host


def _is_under(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
