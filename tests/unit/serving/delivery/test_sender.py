"""The weekly command: what it commits, sends and previews."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from serving import store
from serving.delivery import service
from serving.delivery.crm.base import HumanTouch
from serving.delivery.crm.sql import SqlTarget
from serving.store.schema import (
    ACCOUNT_TOUCHES,
    ACCOUNTS,
    APPLIED_OBJECTS,
    DESIRED_OBJECTS,
    RUNS,
    TASKS,
)
from tests.unit.serving.delivery.committed_list import read_table

# MLflow's use of SQLAlchemy is deprecated.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def engine(tiny: Any) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tiny.folder / 'state' / 'crm.db'}")
    yield engine
    engine.dispose()


def read_tables(engine: sa.Engine) -> list[list[dict[str, Any]]]:
    return [read_table(engine, each) for each in (ACCOUNTS, DESIRED_OBJECTS, APPLIED_OBJECTS)]


def test_a_list_is_committed_and_sent(tiny: Any, engine: sa.Engine) -> None:
    result = tiny.run_json("score")

    assert result["written"] == {"listed": 4, "unlisted": 0, "superseded": 0}
    assert result["sent"]["created"] == {"account": 4}
    assert (result["crm"], result["pending"]) == ("sql", 0)
    names = [row["name"] for row in read_table(engine, ACCOUNTS)]
    assert names == ["Acme", "Beta", "Core", "Dune"]
    assert "Sent to sql: nothing created, nothing updated" in tiny.run("score").stdout


def test_a_dry_run_predicts_the_changes_and_writes_nothing(tiny: Any, engine: sa.Engine) -> None:
    tiny.run_json("score")
    before = read_tables(engine)

    later = tiny.run_json("score", "--dry-run", "--as-of", "2025-01-30")
    older = tiny.run_json("score", "--dry-run", "--as-of", "2024-12-01")
    after = read_tables(engine)
    later_run = tiny.run_json("score", "--as-of", "2025-01-30")

    assert older["planned_changes"] is None
    assert later["planned_changes"]["updated"] == {"account": 4}
    assert {name: later["planned_changes"][name] for name in ("created", "updated", "fields")} == {
        name: later_run["sent"][name] for name in ("created", "updated", "fields")
    }
    assert after == before


def test_a_first_dry_run_predicts_the_created_objects(tiny: Any, engine: sa.Engine) -> None:
    result = tiny.run_json("score", "--dry-run")

    assert result["planned_changes"]["created"] == {"account": 4}
    assert read_tables(engine) == [[], [], []]


def test_the_first_list_for_an_external_crm_is_only_committed(tiny: Any, engine: sa.Engine) -> None:
    result = tiny.run_json("score", "--crm", "odoo")
    printed = " ".join(tiny.run("score", "--crm", "odoo").stdout.split())

    assert (result["crm"], result["sent"], result["pending"]) == ("odoo", None, 4)
    assert {row["target"] for row in read_table(engine, DESIRED_OBJECTS)} == {"odoo"}
    assert "Nothing was sent to odoo yet: 4 objects are pending." in printed
    assert "`expansion crm send --crm odoo --dry-run`" in printed


def test_without_hold_first_run_the_first_list_is_sent_at_once(
    tiny: Any, error_message: Callable[[Result], str]
) -> None:
    tiny.settings(tiny.config.read_text() + "[crm]\nhold_first_run = false\n")

    result = error_message(tiny.run("score", "--crm", "odoo"))

    assert "crm.odoo" in result  # it tried to send, and lacks the address


def test_a_matched_record_id_is_kept_unless_the_crm_returned_one(
    database: sa.Engine,
) -> None:
    service.save_account_matches(database, "odoo", {"acme": "7", "beta": "8"})
    with store.write_transaction(database) as connection:
        table = APPLIED_OBJECTS
        connection.execute(sa.update(table).where(table.c.key == "beta").values(crm_id=None))

    service.save_account_matches(database, "odoo", {"acme": "70", "beta": "80", "core": "90"})

    rows = {row["key"]: row["crm_id"] for row in read_table(database, APPLIED_OBJECTS)}
    assert rows == {"acme": "7", "beta": "80", "core": "90"}


def test_human_touches_since_the_last_list_are_pulled_once_a_run(
    tiny: Any, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.run_json("score")
    today = datetime.now(UTC).date()
    with store.write_transaction(engine) as connection:
        task = {"key": "acme:seats:1:talk", "account_id": "acme", "done_on": today}
        connection.execute(sa.insert(TASKS).values(**task))
    pulls, fetch = [], SqlTarget.fetch_human_touches

    def count_pull(target: SqlTarget, since: date) -> list[HumanTouch]:
        pulls.append(since)
        return fetch(target, since)

    monkeypatch.setattr(SqlTarget, "fetch_human_touches", count_pull)
    result = tiny.run_json("score")

    assert (len(pulls), result["sent"]["human_touches"]) == (1, 1)
    assert [
        (row["account_id"], row["touched_on"]) for row in read_table(engine, ACCOUNT_TOUCHES)
    ] == [("acme", today)]


def test_a_crm_that_does_not_respond_does_not_block_the_list(
    tiny: Any, engine: sa.Engine, error_message: Callable[[Result], str]
) -> None:
    tiny.run_json("score", "--crm", "odoo")
    with store.write_transaction(engine) as connection:
        row = {"target": "odoo", "kind": "account", "key": "acme", "fields": {}, "in_flight": {}}
        result = {"human_fields": [], "adopted": False, "applied_at": datetime.now(UTC)}
        connection.execute(sa.insert(APPLIED_OBJECTS).values(**row, **result))

    failed = tiny.run("score", "--crm", "odoo")

    assert "crm.odoo" in error_message(failed)  # sending needs the CRM
    with store.read_transaction(engine) as connection:
        (first, second) = connection.execute(sa.select(RUNS.c.record).order_by(RUNS.c.id)).scalars()
    assert first["activity_error"] is None
    assert second["activity_error"].startswith("could not read human activity")
