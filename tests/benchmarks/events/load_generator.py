"""Load generator: a constant event rate over many connections, latency measured from the due time.

Runs in its own process, so that its time is not the server's.
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
class LoadResult:
    """Latencies, status codes and fill times of the requests."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    filled_at: dict[str, float] = field(default_factory=dict)


def build_request(secret: str, events: Any) -> bytes:
    body = json.dumps(events).encode()
    return HEADERS.format(secret=secret, length=len(body)).encode() + body


async def send_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> int:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def send_at_constant_rate(port: int, plan: dict[str, Any]) -> LoadResult:
    """Send one event per request at a constant rate, and fill up an account at intervals."""
    result, start = LoadResult(), time.perf_counter() + 0.5
    rate, seconds, connections = plan["rate"], plan["seconds"], plan["connections"]
    accounts, rng = plan["accounts"], random.Random(plan["seed"])  # noqa: S311
    fills = dict(enumerate(plan["fills"]))
    total = int(rate * seconds)
    fill_interval = total // (len(fills) + 1) if fills else total + 1

    def build_event(number: int) -> dict[str, Any]:
        account = rng.choice(accounts)
        return {
            "message_id": f"{plan['name']}-{number}",
            "account_id": account,
            "user_id": f"{account}-{rng.randrange(4)}",
            "event": "use",
            "feature": rng.choice(["reports", "search", "forms"]),
            "timestamp": datetime.now(UTC).isoformat(),
        }

    def build_fill_events(account: str, new_users: int) -> list[dict[str, Any]]:
        return [
            build_event(0)
            | {
                "message_id": f"{plan['name']}-{account}-{user}",
                "account_id": account,
                "user_id": f"{account}-new-{user}",
            }
            for user in range(new_users)
        ]

    async def run_connection(offset: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(offset, total, connections):
            due = start + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            events: Any = build_event(number)
            if number and number % fill_interval == 0 and number // fill_interval - 1 in fills:
                account, new_users = fills[number // fill_interval - 1]
                events = [events, *build_fill_events(account, new_users)]
                result.filled_at[account] = time.time()
            status = await send_request(reader, writer, build_request(plan["secret"], events))
            result.latencies.append(time.perf_counter() - due)
            result.statuses[status] = result.statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(run_connection(offset) for offset in range(connections)))
    return result


def main() -> None:
    plan = json.loads(sys.stdin.read())
    result = asyncio.run(send_at_constant_rate(plan["port"], plan))
    json.dump(
        {"latencies": result.latencies, "statuses": result.statuses, "filled_at": result.filled_at},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
