"""Posting in its own process, to be killed: ``python -m <module> DATABASE URL KIND``."""

import sys
from datetime import UTC, datetime

from serving import store
from serving.notify.slack.client import BotClient, IncomingWebhook
from serving.notify.slack.delivery import SlackMessage, deliver_messages
from tests.fakes.slack.server import TOKEN

MESSAGES = [
    SlackMessage(f"digest:2026-06-01:{name}", f"{name}@acme.example", {"text": name, "blocks": []})
    for name in ("cleo", "ivan", "mara", "noor", "theo")
]


def main(database: str, url: str, kind: str) -> None:
    bot = BotClient(TOKEN, channels={}, default_channel="C01", api_url=url, timeout_seconds=10)
    transport = IncomingWebhook(url, timeout_seconds=10) if kind == "webhook" else bot
    engine = store.open_engine(database)
    deliver_messages(engine, transport, MESSAGES, now=datetime.now(UTC), sleep=lambda _: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
