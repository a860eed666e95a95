"""The sender and a real Odoo: everything arrives, once, and what humans did stays.

What stands in Odoo is read in Odoo's own words and compared by hand, without our mapping.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving import store
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.reconcile import sender
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import APPLIED_OBJECTS, DESIRED_OBJECTS, REJECTED_OBJECTS

pytestmark = pytest.mark.odoo

LEAD = ["name", "expected_revenue", "date_deadline", "x_expansion_signals", "x_expansion_key"]
TASK = ["summary", "date_deadline", "note", "res_model", "x_expansion_key", "active"]
PARTNER = [
    "ref",
    "x_expansion_rank",
    "x_expansion_probability",
    "x_expansion_readiness_date",
    "x_expansion_this_week",
    "x_expansion_signals",
]


def line(name: str, place: int, draw: random.Random) -> dict[str, Any]:
    return {
        "rank": place,
        "probability": draw.randrange(1, 1000) / 1000,
        "readiness_date": f"2026-06-{draw.randrange(1, 29):02}",
        "this_week": place % 3 == 0,
        "signals": f"{draw.randrange(99)} people of {name}\nNo seat is free",
        "note": None,
    }


def wanted(accounts: list[str], week: int = 0) -> Iterator[dict[str, Any]]:
    """An account in four has an opportunity, and every one of these and a second one a task."""
    draw = random.Random(week)  # noqa: S311
    for place, name in enumerate(accounts, 1):
        told = line(name, place, draw)
        yield _row("account", name, name, place, told)
        key = f"{name}:seats:1"
        if place % 4 == 0:
            deal = {
                "name": f"{name}: seats",
                "state": "open",
                "amount": draw.randrange(1, 9000),
                "expected_close_date": f"2026-07-{draw.randrange(1, 29):02}",
                "limit": "seats",
                "signals": told["signals"],
                "episode": key,
            }
            yield _row("opportunity", key, name, place, deal)
        if place % 4 < 2:
            task = {
                "subject": f"Talk to {name}",
                "state": "open",
                "due_date": "2026-06-13",
                "notes": "No seat is free\nAsk & listen",
                "episode": key,
            }
            yield _row("task", f"{key}:talk", name, place, task)


def _row(kind: str, key: str, name: str, place: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": "odoo",
        "kind": kind,
        "key": key,
        "account_id": name,
        "limit": None if kind == "account" else "seats",
        "as_of": date(2026, 6, 1),
        "run_id": 1,
        "place": place,
        "fields": fields,
        "digest": hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest(),
    }


def put(engine: sa.Engine, rows: list[dict[str, Any]]) -> None:
    with store.write_transaction(engine) as connection:
        connection.execute(sa.delete(DESIRED_OBJECTS))
        connection.execute(sa.insert(DESIRED_OBJECTS), rows)


def send(engine: sa.Engine, target: OdooTarget, *, full: bool = False) -> SyncSummary:
    return sender.send_pending(engine, target, now=datetime.now(UTC), resync=full)


def differences(database: Any, rows: list[dict[str, Any]]) -> list[str]:
    """Where Odoo does not hold what it should, told in Odoo's words; doubles count."""
    names = {row["account_id"] for row in rows}
    partners = database.find("res.partner", [["ref", "in", sorted(names)]], PARTNER)
    leads = database.find("crm.lead", [["x_expansion_account_id", "in", sorted(names)]], LEAD)
    tasks = database.find("mail.activity", [["x_expansion_account_id", "in", sorted(names)]], TASK)
    found = [("account", item["ref"], _partner(item)) for item in partners]
    found += [("opportunity", item["x_expansion_key"], _lead(item)) for item in leads]
    found += [("task", item["x_expansion_key"], _task(item)) for item in tasks]
    expected = [(row["kind"], row["key"], _expected(row)) for row in rows]
    return [f"{item} is missing" for item in expected if item not in found] + [
        f"{item} is too much" for item in found if item not in expected or found.count(item) > 1
    ]


def _expected(row: dict[str, Any]) -> tuple[Any, ...]:
    fields = row["fields"]
    names = {
        "account": ("rank", "probability", "readiness_date", "this_week", "signals"),
        "opportunity": ("name", "amount", "expected_close_date", "signals"),
        "task": ("subject", "due_date", "notes"),
    }
    told = tuple(fields[name] for name in names[row["kind"]])
    if row["kind"] == "task":
        on = "crm.lead" if row["place"] % 4 == 0 else "res.partner"
        return (*told, on, True)
    return told


def _partner(item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item[name] for name in PARTNER[1:])


def _lead(item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item[name] for name in LEAD[:-1])


def _task(item: dict[str, Any]) -> tuple[Any, ...]:
    notes = item["note"].replace("</p><p>", "\n").removeprefix("<p>").removesuffix("</p>")
    notes = notes.replace("&amp;", "&")
    return (item["summary"], item["date_deadline"], notes, item["res_model"], item["active"])


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = store.open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    opened.dispose()


@pytest.fixture
def company(database: Any) -> Callable[[str, int], list[str]]:
    """Make accounts, each with a partner."""

    def make(prefix: str, accounts: int) -> list[str]:
        names = [f"{prefix}-{number:04}" for number in range(accounts)]
        database.partners(*names)
        return names

    return make


@pytest.fixture
def odoo(database: Any) -> Iterator[OdooTarget]:
    target = database.odoo(pace=RateLimit(rows_per_call=100))
    yield target
    target.close()


def test_a_thousand_accounts_arrive_and_a_second_run_writes_nothing(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    rows = list(wanted(company("thousand", 1000)))
    put(engine, rows)

    sent = send(engine, odoo)
    stamps = database.find("res.partner", [["ref", "like", "thousand-"]], ["write_date"])
    time.sleep(1.1)  # Odoo's stamps are of whole seconds
    again, full = send(engine, odoo), send(engine, odoo, full=True)

    assert sent.made == {"opportunity": 250, "task": 500}
    assert sent.changed == {"account": 1000}
    assert differences(database, rows) == []
    assert (again.written, full.written, full.unchanged) == (0, 0, 1750)
    after = database.find("res.partner", [["ref", "like", "thousand-"]], ["write_date"])
    assert stamps == after


def test_what_a_human_set_stays_and_the_rest_follows(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("edited", 8)
    put(engine, list(wanted(names)))
    send(engine, odoo)
    (lead,) = database.find("crm.lead", [["x_expansion_key", "=", f"{names[3]}:seats:1"]], ["id"])
    (partner,) = database.find("res.partner", [["ref", "=", names[0]]], ["id"])
    (task,) = database.find(
        "mail.activity", [["x_expansion_key", "=", f"{names[0]}:seats:1:talk"]], ["id"]
    ) or database.find("mail.activity", [["x_expansion_account_id", "=", names[3]]], ["id"])
    deal, signals = {"name": "Mine", "expected_revenue": 5.0}, {"x_expansion_signals": "Nonsense"}
    database.call("crm.lead", "write", ids=[lead["id"]], vals=deal)
    database.call("res.partner", "write", ids=[partner["id"]], vals=signals)
    database.call("mail.activity", "action_done", ids=[task["id"]])
    second = list(wanted(names, week=1))
    put(engine, second)

    sent = send(engine, odoo)

    for row in second:
        if row["kind"] == "account" and row["key"] == names[0]:
            row["fields"] = {**row["fields"], "signals": "Nonsense"}
        if row["kind"] == "opportunity" and row["key"] == f"{names[3]}:seats:1":
            row["fields"] = {**row["fields"], "name": "Mine", "amount": 5.0}
    (done,) = database.find("mail.activity", [["id", "=", task["id"]]], ["active"])
    assert done["active"] is False
    database.call("mail.activity", "write", ids=[task["id"]], vals={"active": True})
    assert differences(database, second) == []
    assert sent.theirs == 3


def test_a_humans_opportunity_is_filled_where_it_is_empty(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("adopting", 4)
    (partner,) = database.find("res.partner", [["ref", "=", names[3]]], ["id"])
    (team,) = database.find("crm.team", [["name", "=", "Expansion"]], ["id"])
    row = {
        "type": "opportunity",
        "team_id": team["id"],
        "partner_id": partner["id"],
        "name": "More seats, says Ann",
        "date_deadline": "2026-12-24",
    }
    (lead,) = database.call("crm.lead", "create", vals_list=[row])
    rows = list(wanted(names))
    put(engine, rows)

    sent = send(engine, odoo)
    put(engine, list(wanted(names, week=1)))
    send(engine, odoo)

    found = database.find("crm.lead", [["partner_id", "=", partner["id"]]], [*LEAD, "active"])
    deal = next(item for item in wanted(names, week=1) if item["kind"] == "opportunity")
    assert sent.adopted == 1
    assert found == [
        {
            "id": lead,
            "name": "More seats, says Ann",
            "date_deadline": "2026-12-24",
            "expected_revenue": deal["fields"]["amount"],
            "x_expansion_signals": deal["fields"]["signals"],
            "x_expansion_key": f"{names[3]}:seats:1",
            "active": True,
        }
    ]


def test_one_bad_row_is_kept_with_odoos_words_and_the_rest_arrives(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("bad", 40)
    rows = list(wanted(names))
    bad = next(row for row in rows if row["kind"] == "opportunity")
    put(
        engine,
        [
            {**row, "fields": {**row["fields"], "expected_close_date": "soon"}}
            if row is bad
            else row
            for row in rows
        ],
    )

    sent = send(engine, odoo)

    with store.read_transaction(engine) as connection:
        (kept,) = connection.execute(sa.select(REJECTED_OBJECTS)).mappings()
    assert sent.rejected == 1
    assert kept["key"] == bad["key"]
    assert "soon" in kept["words"]
    hangs = [bad["key"], f"{bad['key']}:talk"]
    assert differences(database, [row for row in rows if row["key"] not in hangs]) == []


def test_a_task_that_a_human_cancelled_stays_away(
    database: Any, company: Any, engine: sa.Engine, odoo: OdooTarget
) -> None:
    names = company("cancel", 4)
    put(engine, list(wanted(names)))
    send(engine, odoo)
    tasks = database.find("mail.activity", [["x_expansion_account_id", "in", names]], ["id"])
    leads = database.find("crm.lead", [["x_expansion_account_id", "in", names]], ["id"])
    database.call("mail.activity", "action_cancel", ids=[task["id"] for task in tasks])
    database.client("admin").call("crm.lead", "unlink", ids=[lead["id"] for lead in leads])
    rows = list(wanted(names, week=1))
    for row in rows:
        if row["kind"] == "task":
            row.update(fields={**row["fields"], "subject": "Talk again"}, digest="another")
    put(engine, rows)

    sent = send(engine, odoo)

    assert sent.gone == len(tasks) + len(leads)
    assert not database.find("mail.activity", [["x_expansion_account_id", "in", names]], ["id"])
    assert not database.find("crm.lead", [["x_expansion_account_id", "in", names]], ["id"])


def test_two_installations_at_once_double_nothing(
    database: Any, company: Any, tmp_path: Path
) -> None:
    rows = list(wanted(company("twice", 120)))
    engines = [store.open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("one", "two")]
    targets = [database.odoo(pace=RateLimit(rows_per_call=10)) for _ in engines]
    for engine in engines:
        put(engine, rows)

    with ThreadPoolExecutor(2) as pool:
        sents = list(pool.map(send, engines, targets))

    for target, engine in zip(targets, engines, strict=True):
        target.close()
        engine.dispose()
    assert [sent.words for sent in sents] == [None, None]
    assert differences(database, rows) == []


def test_odoo_is_killed_in_the_middle_and_started_again(
    database: Any, company: Any, engine: sa.Engine
) -> None:
    rows = list(wanted(company("outage", 400)))
    put(engine, rows)
    target = database.odoo(pace=RateLimit(rows_per_call=10))
    draw = random.Random(5)  # noqa: S311
    told: list[SyncSummary] = []
    thread = threading.Thread(target=lambda: told.append(send(engine, target)))

    thread.start()
    for _ in range(3):
        time.sleep(draw.uniform(0.3, 2.0))
        database.server.kill()
        database.server.start()
    thread.join()
    target.close()

    assert told[0].words is None
    assert told[0].failures > 0
    assert differences(database, rows) == []


def test_a_sender_killed_at_random_points_loses_and_doubles_nothing(
    database: Any, company: Any, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    engine = store.open_engine(url)
    names, draw = company("killed", 60), random.Random(11)  # noqa: S311
    script = str(Path(__file__).with_name("sending.py"))
    where = [database.server.url, database.name]
    environment = {**os.environ, "ODOO_API_KEY": database.server.keys["sender"]}

    def run(halves: int) -> int:
        command = [sys.executable, script, url, *where, str(halves)]
        return subprocess.run(command, env=environment, check=False).returncode

    put(engine, list(wanted(names)))
    ends = [run(draw.randrange(2, 16)) for _ in range(10)]
    week = list(wanted(names, week=1))
    put(engine, week)
    ends += [run(draw.randrange(2, 16)) for _ in range(10)]
    finished = run(10_000)

    assert ends.count(-9) >= 10
    assert finished == 0
    assert differences(database, week) == []
    with store.read_transaction(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(APPLIED_OBJECTS)) == len(
            week
        )
    engine.dispose()
