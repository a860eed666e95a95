"""The sender and a real Odoo: everything is written once, and human edits are preserved.

Odoo's records are read with Odoo's field names and compared without our mapping.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving import store
from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.reconcile import sender
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import APPLIED_OBJECTS, REJECTED_OBJECTS
from tests import ROOT
from tests.fakes.desired_objects import build_row, replace_desired_objects

pytestmark = pytest.mark.odoo

SENDER = "tests.integration.odoo.sender_process"
LEAD_FIELDS = [
    "name",
    "expected_revenue",
    "date_deadline",
    "x_expansion_signals",
    "x_expansion_key",
]
TASK_FIELDS = ["summary", "date_deadline", "note", "res_model", "x_expansion_key", "active"]
PARTNER_FIELDS = [
    "ref",
    "x_expansion_rank",
    "x_expansion_probability",
    "x_expansion_readiness_date",
    "x_expansion_in_weekly_capacity",
    "x_expansion_signals",
]


def build_list_row(name: str, number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "rank": number,
        "probability": rng.randrange(1, 1000) / 1000,
        "readiness_date": f"2026-06-{rng.randrange(1, 29):02}",
        "in_weekly_capacity": number % 3 == 0,
        "signals": f"{rng.randrange(99)} people of {name}\nNo seat is free",
        "note": None,
    }


def build_desired_objects(accounts: list[str], week: int = 0) -> Iterator[dict[str, Any]]:
    """Build desired objects: one account in four has an opportunity and a task, another a task."""
    rng = random.Random(week)  # noqa: S311
    for number, name in enumerate(accounts, 1):
        values = build_list_row(name, number, rng)
        yield build_row("account", name, name, number, values)
        key = f"{name}:seats:1"
        if number % 4 == 0:
            deal = {
                "name": f"{name}: seats",
                "state": "open",
                "amount": rng.randrange(1, 9000),
                "expected_close_date": f"2026-07-{rng.randrange(1, 29):02}",
                "limit": "seats",
                "signals": values["signals"],
                "episode": key,
            }
            yield build_row("opportunity", key, name, number, deal)
        if number % 4 < 2:
            task = {
                "subject": f"Talk to {name}",
                "state": "open",
                "due_date": "2026-06-13",
                "notes": "No seat is free\nAsk & listen",
                "episode": key,
            }
            yield build_row("task", f"{key}:talk", name, number, task)


def run_sender(engine: sa.Engine, target: OdooTarget, *, resync: bool = False) -> SyncSummary:
    return sender.send_pending(engine, target, now=datetime.now(UTC), resync=resync)


def find_differences(database: Any, rows: list[dict[str, Any]]) -> list[str]:
    """Return differences between Odoo and the desired objects, including duplicates."""
    names = {row["account_id"] for row in rows}
    partners = database.find_records("res.partner", [["ref", "in", sorted(names)]], PARTNER_FIELDS)
    leads = database.find_records(
        "crm.lead", [["x_expansion_account_id", "in", sorted(names)]], LEAD_FIELDS
    )
    tasks = database.find_records(
        "mail.activity", [["x_expansion_account_id", "in", sorted(names)]], TASK_FIELDS
    )
    actual = [("account", item["ref"], _partner_values(item)) for item in partners]
    actual += [("opportunity", item["x_expansion_key"], _lead_values(item)) for item in leads]
    actual += [("task", item["x_expansion_key"], _task_values(item)) for item in tasks]
    expected = [(row["kind"], row["key"], _expected_values(row)) for row in rows]
    return [f"{item} is missing" for item in expected if item not in actual] + [
        f"{item} is too much" for item in actual if item not in expected or actual.count(item) > 1
    ]


def _expected_values(row: dict[str, Any]) -> tuple[Any, ...]:
    fields = row["fields"]
    names = {
        "account": ("rank", "probability", "readiness_date", "in_weekly_capacity", "signals"),
        "opportunity": ("name", "amount", "expected_close_date", "signals"),
        "task": ("subject", "due_date", "notes"),
    }
    values = tuple(fields[name] for name in names[row["kind"]])
    if row["kind"] == "task":
        parent_model = "crm.lead" if row["priority"] % 4 == 0 else "res.partner"
        return (*values, parent_model, True)
    return values


def _partner_values(item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item[name] for name in PARTNER_FIELDS[1:])


def _lead_values(item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item[name] for name in LEAD_FIELDS[:-1])


def _task_values(item: dict[str, Any]) -> tuple[Any, ...]:
    notes = item["note"].replace("</p><p>", "\n").removeprefix("<p>").removesuffix("</p>")
    notes = notes.replace("&amp;", "&")
    return (item["summary"], item["date_deadline"], notes, item["res_model"], item["active"])


@pytest.fixture
def company(database: Any) -> Callable[[str, int], list[str]]:
    """Return a function that creates accounts with a partner each."""

    def make(prefix: str, accounts: int) -> list[str]:
        names = [f"{prefix}-{number:04}" for number in range(accounts)]
        database.create_partners(*names)
        return names

    return make


@pytest.fixture
def odoo(database: Any) -> Iterator[OdooTarget]:
    target = database.create_target(rows_per_call=100)
    yield target
    target.close()


def test_a_thousand_accounts_are_written_and_a_second_run_writes_nothing(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    rows = list(build_desired_objects(company("thousand", 1000)))
    replace_desired_objects(engine, "odoo", rows)

    summary = run_sender(engine, odoo)
    stamps = database.find_records("res.partner", [["ref", "like", "thousand-"]], ["write_date"])
    time.sleep(1.1)  # Odoo's timestamps have second resolution
    second, full = run_sender(engine, odoo), run_sender(engine, odoo, resync=True)

    assert summary.created == {"opportunity": 250, "task": 500}
    assert summary.updated == {"account": 1000}
    assert find_differences(database, rows) == []
    assert (second.written, full.written, full.unchanged) == (0, 0, 1750)
    after = database.find_records("res.partner", [["ref", "like", "thousand-"]], ["write_date"])
    assert stamps == after


def test_human_edits_are_preserved_and_other_fields_are_updated(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("edited", 8)
    replace_desired_objects(engine, "odoo", build_desired_objects(names))
    run_sender(engine, odoo)
    (lead,) = database.find_records(
        "crm.lead", [["x_expansion_key", "=", f"{names[3]}:seats:1"]], ["id"]
    )
    (partner,) = database.find_records("res.partner", [["ref", "=", names[0]]], ["id"])
    (task,) = database.find_records(
        "mail.activity", [["x_expansion_key", "=", f"{names[0]}:seats:1:talk"]], ["id"]
    ) or database.find_records("mail.activity", [["x_expansion_account_id", "=", names[3]]], ["id"])
    deal, signals = {"name": "Mine", "expected_revenue": 5.0}, {"x_expansion_signals": "Nonsense"}
    database.call("crm.lead", "write", ids=[lead["id"]], vals=deal)
    database.call("res.partner", "write", ids=[partner["id"]], vals=signals)
    database.call("mail.activity", "action_done", ids=[task["id"]])
    second = list(build_desired_objects(names, week=1))
    replace_desired_objects(engine, "odoo", second)

    summary = run_sender(engine, odoo)

    for row in second:
        if row["kind"] == "account" and row["key"] == names[0]:
            row["fields"] = {**row["fields"], "signals": "Nonsense"}
        if row["kind"] == "opportunity" and row["key"] == f"{names[3]}:seats:1":
            row["fields"] = {**row["fields"], "name": "Mine", "amount": 5.0}
    (done,) = database.find_records("mail.activity", [["id", "=", task["id"]]], ["active"])
    assert done["active"] is False
    database.call("mail.activity", "write", ids=[task["id"]], vals={"active": True})
    assert find_differences(database, second) == []
    assert summary.human_fields == 3


def test_an_adopted_opportunity_gets_only_its_empty_fields_filled(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("adopting", 4)
    (partner,) = database.find_records("res.partner", [["ref", "=", names[3]]], ["id"])
    human = {"name": "More seats, says Ann", "date_deadline": "2026-12-24"}
    lead = database.create_opportunity(partner["id"], **human)
    rows = list(build_desired_objects(names))
    replace_desired_objects(engine, "odoo", rows)

    summary = run_sender(engine, odoo)
    replace_desired_objects(engine, "odoo", build_desired_objects(names, week=1))
    run_sender(engine, odoo)

    actual = database.find_records(
        "crm.lead", [["partner_id", "=", partner["id"]]], [*LEAD_FIELDS, "active"]
    )
    deal = next(
        item for item in build_desired_objects(names, week=1) if item["kind"] == "opportunity"
    )
    assert summary.adopted == 1
    assert actual == [
        {
            "id": lead,
            **human,
            "expected_revenue": deal["fields"]["amount"],
            "x_expansion_signals": deal["fields"]["signals"],
            "x_expansion_key": f"{names[3]}:seats:1",
            "active": True,
        }
    ]


def test_a_rejected_row_is_stored_with_odoos_reason_and_the_rest_is_written(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("bad", 40)
    rows = list(build_desired_objects(names))
    invalid = next(row for row in rows if row["kind"] == "opportunity")
    replace_desired_objects(
        engine,
        "odoo",
        [
            row | {"fields": row["fields"] | {"expected_close_date": "soon"}}
            if row is invalid
            else row
            for row in rows
        ],
    )

    summary = run_sender(engine, odoo)

    with store.read_transaction(engine) as connection:
        (rejected,) = connection.execute(sa.select(REJECTED_OBJECTS)).mappings()
    assert summary.rejected == 1
    assert rejected["key"] == invalid["key"]
    assert "soon" in rejected["reason"]
    skipped_keys = [invalid["key"], f"{invalid['key']}:talk"]
    assert find_differences(database, [row for row in rows if row["key"] not in skipped_keys]) == []


def test_a_task_cancelled_by_a_human_is_not_recreated(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("cancel", 4)
    replace_desired_objects(engine, "odoo", build_desired_objects(names))
    run_sender(engine, odoo)
    tasks = database.find_records(
        "mail.activity", [["x_expansion_account_id", "in", names]], ["id"]
    )
    leads = database.find_records("crm.lead", [["x_expansion_account_id", "in", names]], ["id"])
    database.call("mail.activity", "action_cancel", ids=[task["id"] for task in tasks])
    database.create_client("admin").call("crm.lead", "unlink", ids=[lead["id"] for lead in leads])
    rows = list(build_desired_objects(names, week=1))
    for row in rows:
        if row["kind"] == "task":
            row.update(fields={**row["fields"], "subject": "Talk again"}, content_hash="another")
    replace_desired_objects(engine, "odoo", rows)

    summary = run_sender(engine, odoo)

    assert summary.deleted_in_crm == len(tasks) + len(leads)
    assert not database.find_records(
        "mail.activity", [["x_expansion_account_id", "in", names]], ["id"]
    )
    assert not database.find_records("crm.lead", [["x_expansion_account_id", "in", names]], ["id"])


def test_two_concurrent_senders_create_no_duplicates(
    database: Any, company: Any, tmp_path: Path
) -> None:
    rows = list(build_desired_objects(company("twice", 120)))
    engines = [store.open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("one", "two")]
    targets = [database.create_target(rows_per_call=10) for _ in engines]
    for engine in engines:
        replace_desired_objects(engine, "odoo", rows)

    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(run_sender, engines, targets))

    for target, engine in zip(targets, engines, strict=True):
        target.close()
        engine.dispose()
    assert [sent.stop_reason for sent in summaries] == [None, None]
    assert find_differences(database, rows) == []


def test_delivery_completes_after_odoo_is_killed_and_restarted(
    database: Any, company: Any, engine: sa.Engine
) -> None:
    rows = list(build_desired_objects(company("outage", 400)))
    replace_desired_objects(engine, "odoo", rows)
    target = database.create_target(rows_per_call=10)
    rng = random.Random(5)  # noqa: S311
    values: list[SyncSummary] = []
    thread = threading.Thread(target=lambda: values.append(run_sender(engine, target)))

    thread.start()
    for _ in range(3):
        time.sleep(rng.uniform(0.3, 2.0))
        database.server.kill_now()
        database.server.start()
    thread.join()
    target.close()

    assert values[0].stop_reason is None
    assert values[0].failures > 0
    assert find_differences(database, rows) == []


def test_a_sender_killed_at_random_points_loses_and_duplicates_nothing(
    database: Any, company: Any, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    engine = store.open_engine(url)
    names, rng = company("killed", 60), random.Random(11)  # noqa: S311
    location = [database.server.url, database.name]
    environment = {**os.environ, "ODOO_API_KEY": database.server.keys["sender"]}

    def run(halves: int) -> int:
        command = [sys.executable, "-m", SENDER, url, *location, str(halves)]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode

    replace_desired_objects(engine, "odoo", build_desired_objects(names))
    exit_codes = [run(rng.randrange(2, 16)) for _ in range(10)]
    week = list(build_desired_objects(names, week=1))
    replace_desired_objects(engine, "odoo", week)
    exit_codes += [run(rng.randrange(2, 16)) for _ in range(10)]
    finished = run(10_000)

    assert exit_codes.count(-9) >= 10
    assert finished == 0
    assert find_differences(database, week) == []
    with store.read_transaction(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(APPLIED_OBJECTS)) == len(
            week
        )
    engine.dispose()
