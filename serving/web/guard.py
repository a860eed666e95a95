"""What stands before every request: names, sizes, pace, and what a browser may do with the answer.

Plain ASGI, so that nothing of a body is read before it is let in.
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

from data.web import Web

__all__ = ["Guard", "Pace"]

LARGEST_BYTES: Final = 64 * 1024  # of a form
SLOWEST_SECONDS: Final = 20.0
_HOOKS: Final = "/webhooks"
_SIGN_INS_PER_MINUTE: Final = 10
_REMEMBERED: Final = 10_000  # addresses
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class TooLarge(Exception):  # noqa: N818
    """More came than a form of ours can hold."""


class TooSlow(Exception):  # noqa: N818
    """It did not come within the time."""


class Pace:
    """So many calls of one address in a minute, and no more; a pause gives them back evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> float:
        """Take a call; give the seconds to wait where there is none to take, else 0."""
        now = self._clock()
        left, then = self._left.pop(address, (float(self.per_minute), now))
        left = min(left + (now - then) * self.per_minute / 60, float(self.per_minute))
        wait = 0.0 if left >= 1 else (1 - left) * 60 / self.per_minute
        self._left[address] = (left if wait else left - 1, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return wait


class Guard:
    """Wraps the app; see :class:`data.web.Web` for its rules."""

    def __init__(self, app: ASGIApp, rules: Web) -> None:
        self.app = app
        self._names = {"localhost", "127.0.0.1", "[::1]", rules.host, *rules.names}
        self._checks_names = rules.open or bool(rules.names)
        self._paces = {_HOOKS: Pace(rules.hooks_per_minute), "/sign-in": Pace(_SIGN_INS_PER_MINUTE)}

    def __repr__(self) -> str:
        return f"Guard({len(self._names)} names)"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def answered(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _dress(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, answered)
            return
        is_hook = _under(_HOOKS, scope["path"])  # whose own rules on bodies hold there
        try:
            await self.app(scope, receive if is_hook else _bounded(receive), answered)
        except (TooLarge, TooSlow) as error:
            if not begun:
                status = 413 if isinstance(error, TooLarge) else 408
                await PlainTextResponse(str(error), status, {"Connection": "close"})(
                    scope, receive, answered
                )

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        is_hook = _under(_HOOKS, path)
        if self._checks_names and not is_hook and _name(headers) not in self._names:
            return PlainTextResponse("This is not a name that the page goes by (web.names).", 421)
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            if not is_hook and not _same_origin(headers):
                return PlainTextResponse("This form comes from somewhere else.", 403)
            for under, pace in self._paces.items():
                if _under(under, path) and (wait := pace.take((scope.get("client") or [""])[0])):
                    after = {"Retry-After": str(int(wait) + 1)}
                    return PlainTextResponse("Too many at once; wait a little.", 429, after)
        told = headers.get("content-length", "0")
        if not is_hook and (not told.isdecimal() or int(told[:12]) > LARGEST_BYTES):
            return PlainTextResponse("That is more than a form of ours holds.", 413)
        return None


def _bounded(receive: Receive) -> Receive:
    """Let so many bytes through, and wait for them so long."""
    had, until = 0, time.monotonic() + SLOWEST_SECONDS
    ended = False

    async def bounded() -> Message:
        nonlocal had, ended
        if ended:  # from here on only a leaving is told
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(until - time.monotonic(), 0.001))
        except TimeoutError as error:
            raise TooSlow("It took too long to arrive.") from error
        had += len(message.get("body", b""))
        if had > LARGEST_BYTES:
            raise TooLarge("That is more than a form of ours holds.")
        ended = not message.get("more_body", False)
        return message

    return bounded


def _dress(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    lasting = _under("/static", path)
    headers["Cache-Control"] = "public, max-age=86400" if lasting else "no-store"


def _same_origin(headers: Headers) -> bool:
    """Whether a browser says that the form is of this page; what is no browser says nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


def _name(headers: Headers) -> str:
    host = headers.get("host", "").lower()
    name, _, port = host.rpartition(":")
    return name if port.isdecimal() else host


def _under(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
