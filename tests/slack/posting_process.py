"""Posts in a process of its own, to be killed: ``python posting_process.py DATABASE URL KIND``."""

import sys
from datetime import UTC, datetime

from serving import state
from serving.slack.posting import deliver_messages
from serving.slack.posts import SlackMessage
from serving.slack.wire import BotClient, IncomingWebhook
from tests.slack.server import TOKEN

MESSAGES = [
    SlackMessage(f"digest:2026-06-01:{name}", f"{name}@acme.example", {"text": name, "blocks": []})
    for name in ("cleo", "ivan", "mara", "noor", "theo")
]


def main(database: str, url: str, kind: str) -> None:
    bot = BotClient(TOKEN, channels={}, default_channel="C01", api_url=url, timeout_seconds=10)
    wire = IncomingWebhook(url, timeout_seconds=10) if kind == "webhook" else bot
    engine = state.open_engine(database)
    deliver_messages(engine, wire, MESSAGES, now=datetime.now(UTC), sleep=lambda _: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
