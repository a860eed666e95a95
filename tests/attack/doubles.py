"""The same message over many connections at one time, and other bodies under one id."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from attack import Attack
from ledger import Kind

from serving import store
from serving.store.event_schema import WEBHOOK_EVENTS

AT_ONCE = 32


def run(at: Attack, kind: Kind) -> None:
    """However it comes, an id stands once, and as one of those who sent it told it."""
    lines = [at.line() for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(at.times(30)):
            source = ("generic", "segment")[number % 2]
            event = at.event(source)
            name = event.get("messageId") or event["message_id"]
            sent = [_as_told_by(event, place, differs=number % 3 == 0) for place in range(AT_ONCE)]
            answers = pool.map(
                lambda line, body, of=source, it=name: at.post(kind, line, of, body, honest=[it]),
                lines,
                sent,
            )
            for answer in answers:
                kind.law("a repeat was refused", holds=answer.status == 200, found=answer)
            _once(at, kind, source, name)
    for line in lines:
        line.close()


def _as_told_by(event: dict[str, Any], place: int, *, differs: bool) -> bytes:
    told = event | {"event": f"told by {place}"} if differs else event
    return json.dumps([told, told] if place % 4 == 0 else told).encode()


def _once(at: Attack, kind: Kind, source: str, name: str) -> None:
    there = (WEBHOOK_EVENTS.c.source == source) & (WEBHOOK_EVENTS.c.message_id == name)
    with store.read_transaction(at.target.engine) as connection:
        found = connection.scalar(sa.select(sa.func.count()).where(there))
    kind.law("an id stands there more or less than once", holds=found == 1, found=(name, found))
