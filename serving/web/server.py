"""Serve the page with uvicorn, which is told to wait for nobody for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from data.errors import SettingsError

__all__ = ["config", "listening", "run"]

_HEADER_SECONDS: Final = 15.0
_CONNECTIONS: Final = 1000
_LAST_SECONDS: Final = 10


class Impatient(HttpToolsProtocol):
    """Closes a connection that has not asked for anything in time: uvicorn itself would wait."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Start to wait."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


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
