"""Events at a steady pace over many connections; what each waits is told from when it was due.

A process of its own: what it takes must not be the server's time.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

HEADERS = (
    "POST /webhooks/generic HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Webhook-Secret: {secret}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)


@dataclass
class Told:
    """What became of the requests."""

    waits: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    fills: dict[str, float] = field(default_factory=dict)


def request(secret: str, events: Any) -> bytes:
    body = json.dumps(events).encode()
    return HEADERS.format(secret=secret, length=len(body)).encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> int:
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def steady(port: int, plan: dict[str, Any]) -> Told:
    """Send one event a request, so many a second, and fill up an account now and then."""
    told, start = Told(), time.perf_counter() + 0.5
    rate, seconds, connections = plan["rate"], plan["seconds"], plan["connections"]
    accounts, chance = plan["accounts"], random.Random(plan["seed"])  # noqa: S311
    fills = dict(enumerate(plan["fills"]))
    total = int(rate * seconds)
    every = total // (len(fills) + 1) if fills else total + 1

    def event(number: int) -> dict[str, Any]:
        account = chance.choice(accounts)
        return {
            "message_id": f"{plan['name']}-{number}",
            "account_id": account,
            "user_id": f"{account}-{chance.randrange(4)}",
            "event": "use",
            "feature": chance.choice(["reports", "search", "forms"]),
            "timestamp": datetime.now(UTC).isoformat(),
        }

    def filling(account: str, people: int) -> list[dict[str, Any]]:
        return [
            event(0)
            | {
                "message_id": f"{plan['name']}-{account}-{user}",
                "account_id": account,
                "user_id": f"{account}-new-{user}",
            }
            for user in range(people)
        ]

    async def connection(place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(place, total, connections):
            due = start + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            events: Any = event(number)
            if number and number % every == 0 and number // every - 1 in fills:
                account, people = fills[number // every - 1]
                events = [events, *filling(account, people)]
                told.fills[account] = time.time()
            status = await ask(reader, writer, request(plan["secret"], events))
            told.waits.append(time.perf_counter() - due)
            told.statuses[status] = told.statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(connection(place) for place in range(connections)))
    return told


def main() -> None:
    plan = json.loads(sys.stdin.read())
    told = asyncio.run(steady(plan["port"], plan))
    json.dump({"waits": told.waits, "statuses": told.statuses, "fills": told.fills}, sys.stdout)


if __name__ == "__main__":
    main()
