"""Each message once: with a bot exactly, with a webhook at most; the real client over HTTP."""

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.notify.slack import alert_message
from serving.notify.slack.alert_message import AlertMessage
from serving.notify.slack.client import BotClient, IncomingWebhook
from serving.notify.slack.delivery import PostSummary, deliver_messages
from serving.notify.slack.protocol import SlackTransport
from serving.notify.slack.repository import SlackMessage
from tests.slack.posting_process import MESSAGES
from tests.slack.server import FAULTS, TOKEN, Slack, sometimes

KEYS = [post.key for post in MESSAGES]
PROCESS = Path(__file__).with_name("posting_process.py")


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as running:
        for name in ("cleo", "ivan", "mara"):
            running.users[f"{name}@acme.example"] = f"U{name.upper()}"
        yield running


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield opened
    opened.dispose()


def bot(slack: Slack, **told: object) -> BotClient:
    settings = {"channels": {}, "default": "C01", "timeout_seconds": 30, **told}
    return BotClient(TOKEN, api_url=slack.api_url, **settings)  # type: ignore[arg-type]


def post(
    engine: sa.Engine, wire: SlackTransport, messages: list[SlackMessage] = MESSAGES, **told: bool
) -> PostSummary:
    """Post without waiting between tries."""
    return deliver_messages(
        engine, wire, messages, now=datetime.now(UTC), sleep=lambda _: None, **told
    )


def everywhere(slack: Slack) -> Counter[str]:
    return Counter(text for channel in slack.channels for text in slack.texts(channel))


# -- what is posted, and where -------------------------------------------------------------------


def test_each_csm_is_told_once_in_person_or_else_in_the_common_channel(
    slack: Slack, engine: sa.Engine
) -> None:
    said = post(engine, bot(slack))
    again = post(engine, bot(slack))

    assert (said.posted, said.remaining, again.posted, again.already_posted) == (KEYS, [], [], KEYS)
    assert slack.texts("DUCLEO") == ["cleo"]
    assert slack.texts("C01") == ["noor", "theo"]
    assert slack.calls["conversations.history"] == 0  # nothing was in doubt


def test_a_csm_may_have_a_channel_of_their_own(slack: Slack, engine: sa.Engine) -> None:
    slack.channels["C77"] = []
    wire = bot(slack, channels={"cleo@acme.example": "C77"}, default=None)

    said = post(engine, wire)

    assert slack.texts("C77") == ["cleo"]
    assert said.unroutable == KEYS[3:]


def test_a_webhook_posts_all_into_its_channel(slack: Slack, engine: sa.Engine) -> None:
    said = post(engine, IncomingWebhook(slack.hook_url))

    assert said.posted == KEYS
    assert slack.texts("C01") == ["cleo", "ivan", "mara", "noor", "theo"]


def test_a_signal_names_the_account_its_utilisation_and_what_it_runs_into(
    slack: Slack, engine: sa.Engine
) -> None:
    told = AlertMessage(
        "x", "R&D <!here>", "usage", 0.934, "cleo@acme.example", "https://a.example/?a|b"
    )

    post(engine, bot(slack), [alert_message.build_alert_message(told)])

    [message] = slack.channels["DUCLEO"]
    assert message["text"] == "R&amp;D &lt;!here&gt; uses 93 % of its usage limit"
    assert message["blocks"][0]["text"]["text"].startswith("*R&amp;D &lt;!here&gt;* uses 93 %")
    assert message["blocks"][1]["text"]["text"] == "<https://a.example/?a%7Cb|Open the account>"


# -- what goes wrong -----------------------------------------------------------------------------

AFTER = ("silence after", "reset after", "500 after", "internal_error after", "half after")
BEFORE = ("silence before", "reset before", "500 before", "503 before", "429 before")


def _seconds(kind: str) -> int:
    """To wait for an answer: not long where none comes."""
    return 2 if kind.startswith("silence") else 30


@pytest.mark.parametrize("kind", [*AFTER, *BEFORE])
def test_a_bot_posts_once_whatever_becomes_of_the_answer(
    slack: Slack, engine: sa.Engine, kind: str
) -> None:
    told = iter([kind])
    slack.fault = lambda _: next(told, None) if slack.calls["chat.postMessage"] else None

    said = post(engine, bot(slack, timeout_seconds=_seconds(kind)))

    assert said.posted == KEYS
    assert set(everywhere(slack).values()) == {1}
    assert len(everywhere(slack)) == 5


@pytest.mark.parametrize("kind", [*AFTER, *BEFORE])
def test_a_webhook_posts_no_message_twice_and_says_which_may_be_missing(
    slack: Slack, engine: sa.Engine, kind: str
) -> None:
    told = iter([kind])
    slack.fault = lambda _: next(told, None)

    said = post(engine, IncomingWebhook(slack.hook_url, timeout_seconds=_seconds(kind)))
    once_more = post(engine, IncomingWebhook(slack.hook_url))

    surely_not = kind == "429 before"
    assert said.unknown == once_more.unknown == ([] if surely_not else KEYS[:1])
    assert max(everywhere(slack).values()) == 1
    assert len(everywhere(slack)) == (5 if surely_not or kind in AFTER else 4)
    again = post(engine, IncomingWebhook(slack.hook_url), again=True)
    assert again.posted == ([] if surely_not else KEYS[:1])


def test_a_bot_posts_once_with_a_third_of_the_calls_failing(
    slack: Slack, engine: sa.Engine
) -> None:
    many = [SlackMessage(f"k{n}", None, {"text": f"m{n}", "blocks": []}) for n in range(40)]
    slack.fault = sometimes(0.3, 5, tuple(k for k in FAULTS if "silence" not in k))

    for _ in range(5):
        said = post(engine, bot(slack), many)
        if not said.remaining:
            break

    assert slack.failed > 10
    assert everywhere(slack) == Counter({f"m{n}": 1 for n in range(40)})


def test_the_wait_that_slack_asks_for_is_kept(slack: Slack, engine: sa.Engine) -> None:
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


def test_what_slack_refuses_is_told_in_its_words_and_the_others_are_posted(
    slack: Slack, engine: sa.Engine
) -> None:
    slack.closed.add("C01")

    said = post(engine, bot(slack))

    assert said.rejected == dict.fromkeys(KEYS[3:], "not_in_channel")
    assert said.posted == KEYS[:3]
    slack.closed.clear()
    assert post(engine, bot(slack)).posted == KEYS[3:]


def test_a_missing_scope_and_a_wrong_token_are_said_in_one_sentence(
    slack: Slack, engine: sa.Engine
) -> None:
    slack.scopes.remove("chat:write")

    with pytest.raises(DeliveryError, match="missing_scope, needed is chat:write"):
        post(engine, bot(slack))
    with pytest.raises(DeliveryError, match="denies us: invalid_auth"):
        post(
            engine,
            BotClient("xoxb-wrong", channels={}, default_channel="C01", api_url=slack.api_url),
        )
    slack.scopes.add("chat:write")
    assert post(engine, bot(slack)).posted == KEYS


def test_who_cannot_reach_slack_posts_later(slack: Slack, engine: sa.Engine) -> None:
    wire = BotClient(TOKEN, channels={}, default_channel="C01", api_url="http://127.0.0.1:9/api/")

    said = post(engine, wire)

    assert said.remaining == KEYS
    assert "cannot be reached" in str(said.stop_reason)
    assert post(engine, bot(slack)).posted == KEYS


def test_two_at_once_post_once(slack: Slack, engine: sa.Engine) -> None:
    said: list[PostSummary] = []
    threads = [
        threading.Thread(target=lambda: said.append(post(engine, bot(slack)))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert everywhere(slack) == Counter({post.payload["text"]: 1 for post in MESSAGES})


def _killed(slack: Slack, engine: sa.Engine, at: int, when: str, kind: str) -> bool:
    child: list[subprocess.Popen[bytes]] = []
    start = slack.calls.total()
    slack.fault = lambda n: f"kill {child[0].pid} {when}" if child and n - start == at else None
    url = slack.hook_url if kind == "webhook" else slack.api_url
    told = [sys.executable, str(PROCESS), engine.url.render_as_string(), url, kind]
    child.append(subprocess.Popen(told, env={**os.environ, "POLARS_MAX_THREADS": "1"}))
    code = child[0].wait(60)
    slack.fault = lambda _: None
    assert code in {0, -9}
    return code == -9


def _forget(slack: Slack, engine: sa.Engine) -> None:
    for messages in slack.channels.values():
        messages.clear()
    with engine.execution_options(writes=True).begin() as connection:
        for table in ("posts", "senders"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def test_a_bot_that_is_killed_after_posting_finds_its_message(
    slack: Slack, engine: sa.Engine
) -> None:
    assert _killed(slack, engine, 3, "after", "bot")  # the first message: user, talk, message
    said = post(engine, bot(slack))

    assert slack.calls["conversations.history"] == 1
    assert said.posted == KEYS
    assert set(everywhere(slack).values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_kills_at_any_call(slack: Slack, engine: sa.Engine, kind: str) -> None:
    draw, kills = random.Random(3), 0  # noqa: S311
    for _ in range(30):
        _forget(slack, engine)
        for _ in range(2):
            most = 13 if kind == "bot" else 5
            when = draw.choice(["before", "after"])
            kills += _killed(slack, engine, draw.randint(1, most), when, kind)
        wire = bot(slack) if kind == "bot" else IncomingWebhook(slack.hook_url)
        said = post(engine, wire)
        told = everywhere(slack)
        assert max(told.values()) == 1
        if kind == "bot":
            assert len(told) == 5
        else:
            assert 5 - len(told) <= len(said.unknown)
    assert kills >= 30
    print(f"\n{kind}: {kills} kills")  # noqa: T201
