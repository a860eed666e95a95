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
from tests.fakes.slack.server import TOKEN, SlackServer

AS_OF = date(2026, 6, 1)
LIST_ROW = {
    "as_of": AS_OF,
    "outreach_allowed": True,
    "in_weekly_capacity": True,
    "motion": "seats",
    "limit": "seats",
}


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as running:
        running.users["cleo@acme.example"] = "UCLEO"
        yield running


@pytest.fixture
def config(tmp_path: Path, slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return settings of a workspace, with a state folder that holds a list of two CSMs."""
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    rows = [
        LIST_ROW | {"account_id": "a", "name": "Acme", "csm": "cleo@acme.example", "rank": 1},
        LIST_ROW | {"account_id": "b", "name": "Bolt <b>", "csm": "ivan@acme.example", "rank": 2},
    ]
    run = {"as_of": AS_OF, "finished_at": sa.func.now(), "model": "1", "record": {}}
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.insert(RUNS).values(run))
        connection.execute(sa.insert(SCORES), [row | {"probability": 0.4} for row in rows])
    engine.dispose()
    file = tmp_path / "expansion.toml"
    file.write_text('state = "."\n[slack]\nbot_token = "${SLACK_BOT_TOKEN}"\nchannel = "C01"\n')
    monkeypatch.setattr("serving.notify.slack.API_URL", slack.api_url)
    return file


def run(config: Path, *arguments: str) -> Result:
    variables = {"SLACK_BOT_TOKEN": TOKEN}
    return CliRunner(env=variables).invoke(
        main, ["digest", "-c", str(config), "--slack", *arguments]
    )


def test_each_csm_gets_the_digest_once(config: Path, slack: SlackServer) -> None:
    first, second = run(config, "--json"), run(config, "--json")

    keys = [f"digest:2026-06-01:{name}@acme.example" for name in ("cleo", "ivan")]
    assert json.loads(first.stdout)["posted"] == keys
    assert json.loads(second.stdout)["already_posted"] == keys
    [message] = slack.channels["DUCLEO"]
    assert "Acme" in json.dumps(message["blocks"])
    assert "Bolt &lt;b&gt;" in json.dumps(slack.channels["C01"][0]["blocks"])


def test_the_result_is_printed_as_lines(config: Path, slack: SlackServer) -> None:
    slack.not_invited.add("C01")

    result = run(config)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "1 posted in Slack, 0 posted earlier",
        "digest:2026-06-01:ivan@acme.example: rejected by Slack: not_in_channel",
    ]


def test_a_missing_scope_is_reported_without_the_token(config: Path, slack: SlackServer) -> None:
    slack.scopes.clear()

    result = run(config)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Slack denies access: missing_scope")
    assert TOKEN not in result.output


def test_without_a_bot_or_webhook_the_error_names_the_settings(config: Path) -> None:
    config.write_text('state = "."\n')

    result = run(config)

    assert result.exit_code == 1
    assert "expected bot_token or webhook_url" in result.stderr


def test_a_missing_slack_library_is_reported_with_the_install_command(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("slack_sdk")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "serving.notify.slack.client", raising=False)

    result = run(config)

    assert result.exit_code == 1
    assert "not installed: pip install '.[slack]'" in result.stderr
