"""Slack delivery over HTTP: exactly once with a bot, at most once with a webhook."""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from data.errors import DeliveryError
from serving.notify.slack.client import BotClient, IncomingWebhook
from serving.notify.slack.delivery import (
    PostSummary,
    SlackMessage,
    SlackTransport,
    deliver_messages,
)
from serving.notify.slack.messages import build_alert_message
from tests.fakes.http_server import random_faults, run_and_kill
from tests.fakes.slack.server import FAULTS, TOKEN, SlackServer
from tests.integration.slack.posting_process import MESSAGES

KEYS = [message.key for message in MESSAGES]
PROCESS = "tests.integration.slack.posting_process"


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as running:
        for name in ("cleo", "ivan", "mara"):
            running.users[f"{name}@acme.example"] = f"U{name.upper()}"
        yield running


def create_bot(slack: SlackServer, **options: object) -> BotClient:
    settings = {"channels": {}, "default_channel": "C01", "timeout_seconds": 30}
    settings |= {"token": TOKEN, "api_url": slack.api_url, **options}
    return BotClient(**settings)  # type: ignore[arg-type]


def deliver(
    engine: sa.Engine,
    transport: SlackTransport,
    messages: list[SlackMessage] = MESSAGES,
    **options: bool,
) -> PostSummary:
    """Post without delays between retries."""
    return deliver_messages(
        engine, transport, messages, now=datetime.now(UTC), sleep=lambda _: None, **options
    )


def count_texts(slack: SlackServer) -> Counter[str]:
    return Counter(text for channel in slack.channels for text in slack.texts(channel))


# -- routing -------------------------------------------------------------------------------------


def test_each_csm_is_notified_once_by_direct_message_or_in_the_default_channel(
    slack: SlackServer, engine: sa.Engine
) -> None:
    summary = deliver(engine, create_bot(slack))
    second = deliver(engine, create_bot(slack))

    assert (summary.posted, summary.remaining) == (KEYS, [])
    assert (second.posted, second.already_posted) == ([], KEYS)
    assert slack.texts("DUCLEO") == ["cleo"]
    assert slack.texts("C01") == ["noor", "theo"]
    assert slack.calls["conversations.history"] == 0  # no outcome was unknown


def test_a_csm_may_have_a_channel_in_the_settings(slack: SlackServer, engine: sa.Engine) -> None:
    slack.channels["C77"] = []
    transport = create_bot(slack, channels={"cleo@acme.example": "C77"}, default_channel=None)

    summary = deliver(engine, transport)

    assert slack.texts("C77") == ["cleo"]
    assert summary.unroutable == KEYS[3:]


def test_a_webhook_posts_everything_to_its_channel(slack: SlackServer, engine: sa.Engine) -> None:
    summary = deliver(engine, IncomingWebhook(slack.hook_url))

    assert summary.posted == KEYS
    assert slack.texts("C01") == ["cleo", "ivan", "mara", "noor", "theo"]


def test_an_alert_names_the_account_its_usage_and_a_link(
    slack: SlackServer, engine: sa.Engine
) -> None:
    alert = build_alert_message(
        *("x", "R&D <!here>", "9/10 seats in use (90 %)"),
        csm="cleo@acme.example",
        link="https://a.example/?a|b",
    )

    deliver(engine, create_bot(slack), [alert])

    [message] = slack.channels["DUCLEO"]
    headline, link = (block["text"]["text"] for block in message["blocks"])
    assert message["text"] == "R&amp;D &lt;!here&gt;: 9/10 seats in use (90 %)"
    assert headline == "*R&amp;D &lt;!here&gt;*: 9/10 seats in use (90 %)"
    assert link == "<https://a.example/?a%7Cb|Open the account>"


# -- faults --------------------------------------------------------------------------------------

AFTER = ("silence after", "reset after", "500 after", "internal_error after", "half after")
BEFORE = ("silence before", "reset before", "500 before", "503 before", "429 before")


@dataclass
class HastyTransport:
    """Transport that waits a second for the response to its first post, and long for all others."""

    hasty: SlackTransport | None
    patient: SlackTransport

    def post_message(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        transport, self.hasty = self.hasty or self.patient, None
        return transport.post_message(channel, message, key)

    def find_by_key(self, channel: str, key: str, since: datetime) -> str | None:
        return self.patient.find_by_key(channel, key, since)

    def resolve_channel(self, csm: str | None) -> str | None:
        return self.patient.resolve_channel(csm)


@pytest.mark.parametrize("kind", [*AFTER, *BEFORE])
def test_a_bot_posts_each_message_once_under_every_fault(
    slack: SlackServer, engine: sa.Engine, kind: str
) -> None:
    faults = iter([kind])
    slack.fault = lambda _: next(faults, None) if slack.calls["chat.postMessage"] else None

    hasty = create_bot(slack, timeout_seconds=1) if kind.startswith("silence") else None
    summary = deliver(engine, HastyTransport(hasty, create_bot(slack)))

    assert summary.posted == KEYS
    assert set(count_texts(slack).values()) == {1}
    assert len(count_texts(slack)) == 5


@pytest.mark.parametrize("kind", [*AFTER, *BEFORE])
def test_a_webhook_posts_no_message_twice_and_reports_unknown_outcomes(
    slack: SlackServer, engine: sa.Engine, kind: str
) -> None:
    faults = iter([kind])
    slack.fault = lambda _: next(faults, None)

    webhook = IncomingWebhook(slack.hook_url)
    is_silent = kind.startswith("silence")
    hasty = IncomingWebhook(slack.hook_url, timeout_seconds=1) if is_silent else None
    summary = deliver(engine, HastyTransport(hasty, webhook))
    once_more = deliver(engine, webhook)

    is_certain = kind == "429 before"
    assert summary.unknown == once_more.unknown == ([] if is_certain else KEYS[:1])
    assert max(count_texts(slack).values()) == 1
    assert len(count_texts(slack)) == (5 if is_certain or kind in AFTER else 4)
    second = deliver(engine, webhook, repost_unknown=True)
    assert second.posted == ([] if is_certain else KEYS[:1])


def test_a_bot_posts_each_message_once_with_a_third_of_the_calls_failing(
    slack: SlackServer, engine: sa.Engine
) -> None:
    messages = [SlackMessage(f"k{n}", None, {"text": f"m{n}", "blocks": []}) for n in range(40)]
    slack.fault = random_faults(0.3, 5, tuple(k for k in FAULTS if "silence" not in k))

    for _ in range(5):
        summary = deliver(engine, create_bot(slack), messages)
        if not summary.remaining:
            break

    assert slack.failed > 10
    assert count_texts(slack) == Counter({f"m{n}": 1 for n in range(40)})


def test_the_retry_after_delay_is_respected(slack: SlackServer, engine: sa.Engine) -> None:
    slack.fault = lambda number: "429 before" if number == 1 else None
    waits: list[float] = []

    deliver_messages(
        engine,
        IncomingWebhook(slack.hook_url),
        MESSAGES[:1],
        now=datetime.now(UTC),
        sleep=waits.append,
    )

    assert max(waits) >= 1


def test_a_rejected_message_keeps_slacks_reason_and_the_others_are_posted(
    slack: SlackServer, engine: sa.Engine
) -> None:
    slack.not_invited.add("C01")

    summary = deliver(engine, create_bot(slack))

    assert summary.rejected == dict.fromkeys(KEYS[3:], "not_in_channel")
    assert summary.posted == KEYS[:3]
    slack.not_invited.clear()
    assert deliver(engine, create_bot(slack)).posted == KEYS[3:]


def test_a_missing_scope_and_a_wrong_token_are_reported(
    slack: SlackServer, engine: sa.Engine
) -> None:
    slack.scopes.remove("chat:write")

    with pytest.raises(DeliveryError, match="missing_scope, needed is chat:write"):
        deliver(engine, create_bot(slack))
    with pytest.raises(DeliveryError, match="denies access: invalid_auth"):
        deliver(engine, create_bot(slack, token="xoxb-wrong"))  # noqa: S106
    slack.scopes.add("chat:write")
    assert deliver(engine, create_bot(slack)).posted == KEYS


def test_messages_are_posted_later_when_slack_is_unreachable(
    slack: SlackServer, engine: sa.Engine
) -> None:
    summary = deliver(engine, create_bot(slack, api_url="http://127.0.0.1:9/api/"))

    assert summary.remaining == KEYS
    assert "cannot be reached" in str(summary.stop_reason)
    assert deliver(engine, create_bot(slack)).posted == KEYS


def test_concurrent_runs_post_each_message_once(slack: SlackServer, engine: sa.Engine) -> None:
    summaries: list[PostSummary] = []
    threads = [
        threading.Thread(target=lambda: summaries.append(deliver(engine, create_bot(slack))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count_texts(slack) == Counter({message.payload["text"]: 1 for message in MESSAGES})


def _run_and_kill(slack: SlackServer, engine: sa.Engine, at: int, when: str, kind: str) -> bool:
    url = slack.hook_url if kind == "webhook" else slack.api_url
    command = (PROCESS, engine.url.render_as_string(), url, kind)
    return run_and_kill(slack, slack.calls.total, at, when, *command)


def _reset(slack: SlackServer, engine: sa.Engine) -> None:
    for messages in slack.channels.values():
        messages.clear()
    with engine.execution_options(writes=True).begin() as connection:
        for table in ("slack_messages", "leases"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def test_a_bot_killed_after_posting_finds_its_message(
    slack: SlackServer, engine: sa.Engine
) -> None:
    assert _run_and_kill(
        slack, engine, 3, "after", "bot"
    )  # first message: user, conversation, message
    summary = deliver(engine, create_bot(slack))

    assert slack.calls["conversations.history"] == 1
    assert summary.posted == KEYS
    assert set(count_texts(slack).values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_kills_at_random_calls_post_no_message_twice(
    slack: SlackServer, engine: sa.Engine, kind: str
) -> None:
    rng, kill_count = random.Random(3), 0  # noqa: S311
    for _ in range(30):
        _reset(slack, engine)
        for _ in range(2):
            max_calls = 13 if kind == "bot" else 5
            when = rng.choice(["before", "after"])
            kill_count += _run_and_kill(slack, engine, rng.randint(1, max_calls), when, kind)
        transport = create_bot(slack) if kind == "bot" else IncomingWebhook(slack.hook_url)
        summary = deliver(engine, transport)
        texts = count_texts(slack)
        assert max(texts.values()) == 1
        if kind == "bot":
            assert len(texts) == 5
        else:
            assert 5 - len(texts) <= len(summary.unknown)
    assert kill_count >= 30
    print(f"\n{kind}: {kill_count} kills")  # noqa: T201
