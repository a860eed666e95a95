"""The same message over many concurrent connections, and different bodies with one id."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from serving import store
from serving.store.event_schema import WEBHOOK_EVENTS
from tests.security.attack import Attack

CONNECTIONS = 32


def run(attack: Attack) -> None:
    """Send each id many times; it must be stored exactly once."""
    connections = [attack.connect() for _ in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for number in range(attack.scale_count(30)):
            source = ("generic", "segment")[number % 2]
            event = attack.build_event(source)
            name = event.get("messageId") or event["message_id"]
            sent = [
                build_variant(event, index, differs=number % 3 == 0) for index in range(CONNECTIONS)
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
