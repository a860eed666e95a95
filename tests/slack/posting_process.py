"""Posts in a process of its own, to be killed: ``python posting_process.py DATABASE URL KIND``."""

import sys
from datetime import UTC, datetime

from serving import state
from serving.slack.posting import deliver
from serving.slack.posts import Post
from serving.slack.wire import Bot, Webhook
from tests.slack.server import TOKEN

MESSAGES = [
    Post(f"digest:2026-06-01:{name}", f"{name}@acme.example", {"text": name, "blocks": []})
    for name in ("cleo", "ivan", "mara", "noor", "theo")
]


def main(database: str, url: str, kind: str) -> None:
    bot = Bot(TOKEN, channels={}, default="C01", api_url=url, timeout_seconds=10)
    wire = Webhook(url, timeout_seconds=10) if kind == "webhook" else bot
    engine = state.open(database)
    deliver(engine, wire, MESSAGES, now=datetime.now(UTC), sleep=lambda _: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
