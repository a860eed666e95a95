"""Serve the page with uvicorn, which is told to wait for nobody for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from data.errors import SettingsError
from serving import pauses

__all__ = ["config", "listening", "run"]

_HEADER_SECONDS: Final = 15.0
_READ_SECONDS: Final = 20.0
_HEAD_BYTES: Final = 64 * 1024
_CONNECTIONS: Final = 1000
_LAST_SECONDS: Final = 10


class Impatient(HttpToolsProtocol):
    """Lets go of who never ends to ask, or does not read what it is told: uvicorn would wait.

    A head, the trailers of a body and what stands between requests have their time and their size;
    an answer has its time wherever nobody takes it.
    """

    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None  # uvicorn itself knows the last that was asked
    _idle_bytes = 0  # since anything came of what was received

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Start to wait."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer, and answer no more of what was asked ahead."""
        self._wait_no_more()
        self._was_read()
        self.pipeline.clear()
        self.flow.read_paused = False  # there is nothing left to read from
        super().connection_lost(exc)
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Take what comes, as long as something comes of it."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > _HEAD_BYTES:
            self.transport.abort()
        elif self._patience is None and not self._is_answering:
            self._wait()

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._idle_bytes = 0
        self._wait_no_more()
        if not self.flow.write_paused:
            self._was_read()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Close, or wait for the next request; and for this answer to be read in any case."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size() and self._unread is None:
            self._unread = self.loop.call_later(_READ_SECONDS, self._drop)

    def pause_writing(self) -> None:
        """Wait until some of the answer is read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(_READ_SECONDS, self._drop)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._was_read()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._patience = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _was_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        self._patience = None
        if not self._is_answering and not self.transport.is_closing():
            self.transport.close()

    def _drop(self) -> None:
        self._unread = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()


@contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Take an address, and say under which URL a browser finds it.

    Raises
    ------
    data.errors.SettingsError
        If somebody else has it, or it is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        taken = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}, port {port} ({error.strerror}); name another --port, or"
            " another web.host."
        ) from error
    with taken:
        name = f"[{host}]" if family == socket.AF_INET6 else host
        yield taken, f"http://{name}:{taken.getsockname()[1]}/"


def run(app: FastAPI, taken: socket.socket) -> None:
    """Serve until a signal comes; what was begun is finished for some seconds."""
    pauses.shorten()
    uvicorn.Server(config(app)).run(sockets=[taken])


def config(app: FastAPI) -> uvicorn.Config:
    """Say how it is served."""
    return uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        access_log=False,  # addresses hold what was searched for
        log_level="warning",
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_LAST_SECONDS,
        server_header=False,
        proxy_headers=False,  # who asks is decided by web.proxies
    )
