"""The commands about the delivery, each as a person types it, against the embedded CRM."""

import json
from pathlib import Path
from typing import Any

import judge
import made_up
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from serving import store
from serving.cli.main import main

ACCOUNTS = 20


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Settings, a table of accounts, and an outbox from which nothing was sent."""
    (tmp_path / "expansion.toml").write_text("[tables]\n", encoding="utf-8")
    put(tmp_path)
    return tmp_path


def put(company: Path, week: int = 0) -> sa.Engine:
    engine = store.open_engine(f"sqlite:///{company / 'data/local/crm.db'}")
    made_up.put(engine, "sql", ACCOUNTS, week=week)
    return engine


def asked(company: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["crm", *words, "-c", str(company / "expansion.toml")])


def told(company: Path, *words: str) -> Any:
    result = asked(company, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def is_so(company: Path, week: int = 0, edits: judge.Edits | None = None) -> judge.Verdict:
    stands = judge.standing_in_sql(put(company, week))
    return judge.judged(made_up.wanted(ACCOUNTS, week), stands, edits or {})


def test_a_dry_run_tells_field_by_field_and_writes_nothing(company: Path) -> None:
    shown = asked(company, "send", "--dry-run", "--top", "2")

    assert "account acc_00001, new" in shown.output
    assert "rank: 1" in shown.output
    assert "--top prints them" in shown.output
    assert told(company, "status")["to_send"] == told(company, "send", "--dry-run")["made"][
        "account"
    ] + len([row for row in made_up.wanted(ACCOUNTS) if row["kind"] != "account"])
    assert is_so(company).lost == len(list(made_up.wanted(ACCOUNTS)))


def test_what_a_dry_run_says_is_what_sending_does(company: Path) -> None:
    asked(company, "send")
    put(company, week=1)

    before = told(company, "send", "--dry-run")
    sent = told(company, "send")

    counts = ("made", "changed", "unchanged", "fields", "theirs", "rejected", "gone")
    assert [before[name] for name in counts] == [sent[name] for name in counts]
    assert before["objects"] == sent["objects"]
    assert is_so(company, week=1)


def test_sending_says_what_was_sent_and_status_how_it_stands(company: Path) -> None:
    sent = asked(company, "send")
    stands = asked(company, "status")

    assert "Sent to sql: 20 accounts, 2 opportunities, 5 tasks made" in sent.output
    assert "0 still to be sent, 0 refused" in stands.output
    assert "run 1: 27 changes" in stands.output
    assert is_so(company)


def test_an_undone_run_stands_as_before_it(company: Path) -> None:
    asked(company, "send")
    put(company, week=1)
    asked(company, "send")

    back = told(company, "undo", "2")
    again = asked(company, "undo", "2")

    assert back["objects"] == 22
    assert again.exit_code == 1
    assert "changed nothing" in again.output
    stands = judge.standing_in_sql(store.open_engine(f"sqlite:///{company / 'data/local/crm.db'}"))
    assert judge.judged(made_up.wanted(ACCOUNTS, 0), stands, {})


def test_nothing_refused_nothing_to_try_again(company: Path) -> None:
    assert told(company, "rejected") == {"crm": "sql", "rejected": []}
    assert told(company, "retry") == {"crm": "sql", "retried": 0}
    unknown = asked(company, "retry", "nobody")
    assert unknown.exit_code == 1
    assert "nobody" in unknown.output


def test_setup_makes_nothing_where_all_is_there(company: Path) -> None:
    assert told(company, "setup") == {"crm": "sql", "made": []}


@pytest.mark.parametrize("words", [("send",), ("status",), ("setup",), ("undo", "1")])
def test_a_crm_that_nobody_knows_is_one_line(company: Path, words: tuple[str, ...]) -> None:
    result = asked(company, *words, "--crm", "siebel")

    assert result.exit_code == 1
    assert result.output.startswith("Error: no CRM named 'siebel'; this version writes to: sql")
    assert result.output.count("\n") == 1
