"""The `crm` commands against the embedded CRM, called as a user types them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from serving import store
from serving.cli.main import main
from tests.fakes import desired_objects
from tests.resilience import state_checker

ACCOUNTS = 20


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Settings and desired objects of which nothing was sent."""
    (tmp_path / "expansion.toml").write_text("[tables]\n", encoding="utf-8")
    prepare_week(tmp_path)
    return tmp_path


def prepare_week(company: Path, week: int = 0) -> sa.Engine:
    engine = store.open_engine(f"sqlite:///{company / 'data/local/crm.db'}")
    desired_objects.save_generated(engine, "sql", ACCOUNTS, week=week)
    return engine


def invoke(company: Path, *command: str) -> Result:
    return CliRunner().invoke(main, ["crm", *command, "-c", str(company / "expansion.toml")])


def invoke_json(company: Path, *command: str) -> Any:
    result = invoke(company, *command, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def check_company(
    company: Path, week: int = 0, edits: state_checker.Edits | None = None
) -> state_checker.Verdict:
    state = state_checker.read_sql_state(prepare_week(company, week))
    return state_checker.check_state(
        desired_objects.generate_desired(ACCOUNTS, week), state, edits or {}
    )


def test_a_dry_run_prints_the_changes_field_by_field_and_writes_nothing(company: Path) -> None:
    preview = invoke(company, "send", "--dry-run", "--top", "2")

    assert "account acc_00001, new" in preview.output
    assert "rank: 1" in preview.output
    assert "--top prints them" in preview.output
    desired = Counter(row["kind"] for row in desired_objects.generate_desired(ACCOUNTS))
    created = invoke_json(company, "send", "--dry-run")["created"]
    assert created["account"] == desired["account"]
    assert invoke_json(company, "status")["pending"] == desired.total()
    assert check_company(company).lost == desired.total()


def test_a_dry_run_predicts_what_send_does(company: Path) -> None:
    invoke(company, "send")
    prepare_week(company, week=1)

    before = invoke_json(company, "send", "--dry-run")
    sent = invoke_json(company, "send")

    counts = ("created", "updated", "unchanged", "fields", "human_fields", "rejected")
    assert [before[name] for name in counts] == [sent[name] for name in counts]
    assert before["deleted_in_crm"] == sent["deleted_in_crm"]
    assert before["objects"] == sent["objects"]
    assert check_company(company, week=1)


def test_send_prints_its_counts_and_status_the_delivery_state(company: Path) -> None:
    sent = invoke(company, "send")
    state = invoke(company, "status")

    assert "Sent to sql: 20 accounts, 2 opportunities, 5 tasks created" in sent.output
    assert "0 pending, 0 rejected" in state.output
    assert "run 1: 27 changes" in state.output
    assert check_company(company)


def test_undo_restores_the_state_before_a_run(company: Path) -> None:
    invoke(company, "send")
    prepare_week(company, week=1)
    invoke(company, "send")

    rollback_result = invoke_json(company, "undo", "2")
    again = invoke(company, "undo", "2")

    assert rollback_result["objects"] == 22
    assert again.exit_code == 1
    assert "changed nothing" in again.output
    assert check_company(company)


def test_without_rejections_there_is_nothing_to_requeue(company: Path) -> None:
    assert invoke_json(company, "rejected") == {"crm": "sql", "rejected": []}
    assert invoke_json(company, "retry") == {"crm": "sql", "requeued": 0}
    unknown = invoke(company, "retry", "nobody")
    assert unknown.exit_code == 1
    assert "nobody" in unknown.output


def test_setup_creates_nothing_if_nothing_is_missing(company: Path) -> None:
    assert invoke_json(company, "setup") == {"crm": "sql", "created": []}


@pytest.mark.parametrize("command", [("send",), ("status",), ("setup",), ("undo", "1")])
def test_an_unknown_crm_is_a_one_line_error(company: Path, command: tuple[str, ...]) -> None:
    result = invoke(company, *command, "--crm", "siebel")

    assert result.exit_code == 1
    assert result.output.startswith("Error: no CRM named 'siebel'; this version supports: sql")
    assert result.output.count("\n") == 1
