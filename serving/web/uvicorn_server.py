"""The uvicorn server of the web pages and the webhooks.

Slow clients are the reverse proxy's task; see ``docs/guides/web.md``.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from data.errors import SettingsError
from serving import gc_freeze

__all__ = ["bind_socket", "build_config", "run_server"]

_MAX_CONNECTIONS: Final = 1000
_KEEP_ALIVE_SECONDS: Final = 15
_SHUTDOWN_SECONDS: Final = 10


@contextmanager
def bind_socket(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Bind a listening socket, and yield it with the URL for a browser.

    Raises ``SettingsError`` if the address is in use, or does not belong to this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another --port or"
            " another web.host."
        ) from error
    with sock:
        name = f"[{host}]" if family == socket.AF_INET6 else host
        yield sock, f"http://{name}:{sock.getsockname()[1]}/"


def run_server(app: FastAPI, sock: socket.socket) -> None:
    """Serve until a signal arrives; running requests get some seconds to finish."""
    gc_freeze.freeze_gc()
    uvicorn.Server(build_config(app)).run(sockets=[sock])


def build_config(app: FastAPI) -> uvicorn.Config:
    """Return the uvicorn settings: limits, no access log, no proxy headers."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        access_log=False,  # URLs contain search terms
        log_level="warning",
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        server_header=False,
        proxy_headers=False,  # web.trusted_proxies names the trusted proxies
    )
