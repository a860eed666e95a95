"""More connections than the server accepts."""

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from attack import Attack
from ledger import Kind

_CONNECTIONS = 1_100  # above the server's limit
_IDLE_SOCKETS = 20  # that an idle server may hold


def exceed_limit(at: Attack, kind: Kind) -> None:
    """Open more connections than the limit; once they close, requests succeed again."""
    before, line = _count_sockets(at), at.line()
    count = _CONNECTIONS if at.share == 1 else 50
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", at.port)))
        for _ in range(20):
            at.honest(kind, line)
    end = time.monotonic() + 20
    while _count_sockets(at) > before + _IDLE_SOCKETS and time.monotonic() < end:
        time.sleep(0.5)
    answer = at.honest(kind, line)
    kind.law("not well again", holds=answer.status == 200, found=answer)
    kind.told["connections"] = count
    line.close()


def _count_sockets(at: Attack) -> int:
    count = 0
    for descriptor in Path(f"/proc/{at.at.process.pid}/fd").iterdir():
        with suppress(OSError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count
