"""More connections than the server accepts."""

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.security.attack import Attack

_CONNECTIONS = 1_100  # above the server's limit
_IDLE_SOCKETS = 20  # that an idle server may hold


def exceed_limit(attack: Attack) -> None:
    """Open more connections than the limit; once they close, requests succeed again."""
    before, connection = _count_sockets(attack), attack.connect()
    count = _CONNECTIONS if attack.scale == 1 else 50
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", attack.port)))
        for _ in range(20):
            attack.post_valid_event(connection)
    end = time.monotonic() + 20
    while _count_sockets(attack) > before + _IDLE_SOCKETS and time.monotonic() < end:
        time.sleep(0.5)
    response = attack.post_valid_event(connection)
    attack.expect_status("no recovery", response, 200)
    attack.category.figures["connections"] = count
    connection.close()


def _count_sockets(attack: Attack) -> int:
    count = 0
    for descriptor in Path(f"/proc/{attack.server.process.pid}/fd").iterdir():
        with suppress(OSError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count
