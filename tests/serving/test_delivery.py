"""The weekly command: what it puts down, what it sends, and what it only tells."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from data.config import settings
from serving import store
from serving.delivery import account_matching, service
from serving.delivery.crm.sql.schema import ACCOUNTS, TASKS
from serving.store.schema import ACCOUNT_TOUCHES, APPLIED_OBJECTS, DESIRED_OBJECTS, RUNS

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def engine(tiny: Any) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tiny.folder / 'state' / 'crm.db'}")
    yield engine
    engine.dispose()


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with store.read_transaction(engine) as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def test_a_list_is_put_down_and_sent(tiny: Any, engine: sa.Engine) -> None:
    told = tiny.ask("score")

    assert told["written"] == {"listed": 4, "unlisted": 0, "newer": 0}
    assert told["sent"]["made"] == {"account": 4}
    assert (told["crm"], told["to_send"]) == ("sql", 0)
    names = [row["name"] for row in rows(engine, ACCOUNTS)]
    assert names == ["Acme", "Beta", "Core", "Dune"]
    assert "Sent to sql: nothing made, nothing changed" in tiny.run("score").stdout


def test_a_dry_run_tells_what_would_be_sent_and_writes_nowhere(
    tiny: Any, engine: sa.Engine
) -> None:
    tiny.ask("score")
    before = rows(engine, ACCOUNTS), rows(engine, DESIRED_OBJECTS), rows(engine, APPLIED_OBJECTS)

    later = tiny.ask("score", "--dry-run", "--as-of", "2025-01-30")
    older = tiny.ask("score", "--dry-run", "--as-of", "2024-12-01")
    after = rows(engine, ACCOUNTS), rows(engine, DESIRED_OBJECTS), rows(engine, APPLIED_OBJECTS)
    done = tiny.ask("score", "--as-of", "2025-01-30")

    assert older["would_send"] is None
    assert later["would_send"]["changed"] == {"account": 4}
    assert {name: later["would_send"][name] for name in ("made", "changed", "fields")} == {
        name: done["sent"][name] for name in ("made", "changed", "fields")
    }
    assert after == before


def test_a_first_dry_run_tells_what_would_be_made(tiny: Any, engine: sa.Engine) -> None:
    told = tiny.ask("score", "--dry-run")

    assert told["would_send"]["made"] == {"account": 4}
    assert (
        rows(engine, ACCOUNTS),
        rows(engine, DESIRED_OBJECTS),
        rows(engine, APPLIED_OBJECTS),
    ) == ([], [], [])


def test_the_first_list_for_a_crm_of_humans_is_only_put_down(tiny: Any, engine: sa.Engine) -> None:
    told = tiny.ask("score", "--crm", "odoo")
    printed = " ".join(tiny.run("score", "--crm", "odoo").stdout.split())

    assert (told["crm"], told["sent"], told["to_send"]) == ("odoo", None, 4)
    assert {row["target"] for row in rows(engine, DESIRED_OBJECTS)} == {"odoo"}
    assert "Nothing was sent to odoo yet: 4 objects wait." in printed
    assert "`expansion crm send --crm odoo --dry-run`" in printed


def test_with_the_shadow_off_the_first_list_is_sent_at_once(
    tiny: Any, refused: Callable[[Result], str]
) -> None:
    tiny.settings(tiny.config.read_text() + "[crm]\nshadow = false\n")

    told = refused(tiny.run("score", "--crm", "odoo"))

    assert "crm.odoo" in told  # it went there, and lacks what it needs


def test_a_name_of_an_account_at_the_crm_is_kept_until_the_crm_tells_one(
    database: sa.Engine,
) -> None:
    account_matching.save_account_matches(database, "odoo", {"acme": "7", "beta": "8"})
    with store.write_transaction(database) as connection:
        table = APPLIED_OBJECTS
        connection.execute(sa.update(table).where(table.c.key == "beta").values(crm_id=None))

    account_matching.save_account_matches(
        database, "odoo", {"acme": "70", "beta": "80", "core": "90"}
    )

    found = {row["key"]: row["crm_id"] for row in rows(database, APPLIED_OBJECTS)}
    assert found == {"acme": "7", "beta": "80", "core": "90"}


def test_a_list_knows_whom_humans_have_dealt_with_since_the_one_before(
    tiny: Any, engine: sa.Engine
) -> None:
    tiny.ask("score")
    now = datetime.now(UTC)
    done = {"key": "acme:seats:1:talk", "account_id": "acme", "done_on": now.date()}
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(TASKS).values(**done))

    unasked = service.pull_crm_activity(
        engine, settings.load_settings(tiny.config), name="sql", now=now
    )

    assert unasked is None
    assert [(row["account_id"], row["worked_on"]) for row in rows(engine, ACCOUNT_TOUCHES)] == [
        ("acme", now.date())
    ]


def test_a_crm_that_does_not_tell_keeps_no_list_from_being_made(
    tiny: Any, engine: sa.Engine, refused: Callable[[Result], str]
) -> None:
    tiny.ask("score", "--crm", "odoo")
    with store.write_transaction(engine) as connection:
        row = {"target": "odoo", "kind": "account", "key": "acme", "fields": {}, "attempted": {}}
        told = {"theirs": [], "adopted": False, "acknowledged_at": datetime.now(UTC)}
        connection.execute(sa.insert(APPLIED_OBJECTS).values(**row, **told))

    failed = tiny.run("score", "--crm", "odoo")

    assert "crm.odoo" in refused(failed)  # to send, it is needed
    with store.read_transaction(engine) as connection:
        (first, second) = connection.execute(sa.select(RUNS.c.record).order_by(RUNS.c.id)).scalars()
    assert first["unasked"] is None
    assert second["unasked"].startswith("odoo did not tell whom humans have dealt with")
