"""``expansion digest --slack``, from the settings to the message."""

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from serving import store
from serving.cli.main import main
from serving.store.schema import RUNS, SCORES
from tests.slack.server import TOKEN, Slack

AS_OF = date(2026, 6, 1)
LINE = {"as_of": AS_OF, "ask": True, "this_week": True, "motion": "seats", "limit": "seats"}


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as running:
        running.users["cleo@acme.example"] = "UCLEO"
        yield running


@pytest.fixture
def config(tmp_path: Path, slack: Slack) -> Path:
    """A state folder with a list of two CSMs, and settings that name the workspace."""
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    rows = [
        LINE | {"account_id": "a", "name": "Acme", "csm": "cleo@acme.example", "rank": 1},
        LINE | {"account_id": "b", "name": "Bolt <b>", "csm": "ivan@acme.example", "rank": 2},
    ]
    run = {"as_of": AS_OF, "finished_at": sa.func.now(), "model": "1", "record": {}}
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.insert(RUNS).values(run))
        connection.execute(sa.insert(SCORES), [row | {"probability": 0.4} for row in rows])
    engine.dispose()
    file = tmp_path / "expansion.toml"
    told = 'state = "."\n[slack]\nbot_token = "${SLACK_BOT_TOKEN}"\nchannel = "C01"\n'
    file.write_text(told + f'api_url = "{slack.api_url}"\n')
    return file


def run(config: Path, *told: str) -> Result:
    variables = {"SLACK_BOT_TOKEN": TOKEN}
    return CliRunner(env=variables).invoke(main, ["digest", "-c", str(config), "--slack", *told])


def test_each_csm_gets_the_digest_once(config: Path, slack: Slack) -> None:
    first, second = run(config, "--json"), run(config, "--json")

    keys = [f"digest:2026-06-01:{name}@acme.example" for name in ("cleo", "ivan")]
    assert json.loads(first.stdout)["posted"] == keys
    assert json.loads(second.stdout)["earlier"] == keys
    [message] = slack.channels["DUCLEO"]
    assert "Acme" in json.dumps(message["blocks"])
    assert "Bolt &lt;b&gt;" in json.dumps(slack.channels["C01"][0]["blocks"])


def test_what_was_done_is_said_in_lines(config: Path, slack: Slack) -> None:
    slack.closed.add("C01")

    result = run(config)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "1 posted in Slack, 0 posted before",
        "digest:2026-06-01:ivan@acme.example: refused by Slack: not_in_channel",
    ]


def test_a_wrong_token_is_one_line_and_never_shown(config: Path, slack: Slack) -> None:
    slack.scopes.clear()

    result = run(config)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Slack denies us: missing_scope")
    assert TOKEN not in result.output


def test_without_a_bot_or_webhook_it_says_what_to_set(config: Path) -> None:
    config.write_text('state = "."\n')

    result = run(config)

    assert result.exit_code == 1
    assert "expected bot_token or webhook_url" in result.stderr


def test_without_slacks_library_it_says_how_to_install_it(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("slack_sdk")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "serving.notify.slack.client", raising=False)

    result = run(config)

    assert result.exit_code == 1
    assert "not installed: pip install '.[slack]'" in result.stderr
