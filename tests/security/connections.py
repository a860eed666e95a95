"""More connections than the server accepts, and one message over many connections at once."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving import store
from serving.store.event_schema import WEBHOOK_EVENTS
from tests.security.attack import Attack, get_message_id

_CONNECTIONS = 1_100  # above the server's limit
_IDLE_SOCKETS = 20  # that an idle server may hold
_SENDERS = 32  # of one message


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


def repeat_messages(attack: Attack) -> None:
    """Send each id many times; it must be stored exactly once."""
    connections = [attack.connect() for _ in range(_SENDERS)]
    with ThreadPoolExecutor(_SENDERS) as pool:
        for number in range(attack.scale_count(30)):
            source = ("generic", "segment")[number % 2]
            event = attack.build_event(source)
            name = get_message_id(event)
            sent = [
                build_variant(event, index, differs=number % 3 == 0) for index in range(_SENDERS)
            ]
            responses = pool.map(
                lambda connection, body, of=source, it=name: attack.post_webhook(
                    connection, of, body, valid_ids=[it]
                ),
                connections,
                sent,
            )
            for response in responses:
                attack.expect_status("a repeat was rejected", response, 200)
            expect_one_row(attack, source, name)
    for connection in connections:
        connection.close()


def build_variant(event: dict[str, Any], index: int, *, differs: bool) -> bytes:
    variant = event | {"event": f"variant {index}"} if differs else event
    return json.dumps([variant, variant] if index % 4 == 0 else variant).encode()


def expect_one_row(attack: Attack, source: str, name: str) -> None:
    condition = (WEBHOOK_EVENTS.c.source == source) & (WEBHOOK_EVENTS.c.message_id == name)
    with store.read_transaction(attack.target.engine) as connection:
        count = connection.scalar(sa.select(sa.func.count()).where(condition))
    attack.check("not stored exactly once", holds=count == 1, observed=(name, count))
