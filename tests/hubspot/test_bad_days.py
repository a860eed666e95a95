"""A portal on its bad days, and senders that die: nothing lost or doubled, no human undone."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import hubspot_judge as judge
import hubspot_outbox as outbox
import pytest
import sqlalchemy as sa
from hubspot_portal.service import FAULTS, Service

from serving import store
from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.reconcile.sender import send_pending

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
SHARE, WEEKS, KILLS = 0.3, 4, 50
HERE = Path(__file__).parent
Enter = Callable[[int], dict[str, str]]
# What four weeks take on good days, worked out by hand. A week looks for what humans did by two
# searches. Ten batches of accounts and two of deals are read and written. In the first week so are
# three of tasks; deals look for a human's by one request a batch, deals and tasks for their company
# by one; deals are tied to it, tasks to it and to their deal.
_EVERY_WEEK = 2 + 2 * (10 + 2)
_FIRST_WEEK = 2 * 3 + 2 + (2 + 3) + 2 + 3 + 3
_ONCE = 1 + 1  # the pipeline, and the owners
FEWEST = WEEKS * _EVERY_WEEK + _FIRST_WEEK + _ONCE

pytestmark = pytest.mark.slow


@pytest.fixture
def target(opened: Callable[..., HubSpotTarget]) -> HubSpotTarget:
    """The target of a portal that was set up, which does not wait long for an answer."""
    opened().provision()
    return opened(timeout_seconds=1.0)


def weeks(
    service: Service, target: HubSpotTarget, database: sa.Engine, edited: dict[str, str]
) -> list[dict[str, object]]:
    """Deliver some weeks of a thousand accounts; give the last."""
    rows = []
    for week in range(WEEKS):
        rows = outbox.put(database, 1_000, week)
        for _ in range(20):
            if send_pending(database, target, now=NOW, sleep=lambda _: None).left == 0:
                break
        if week == 0:
            for name, text in edited.items():
                service.portal.edit("companies", name, expansion_buyer=text)
    return rows


def test_good_days_take_as_many_requests_as_worked_out_by_hand(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    enter(1_000)
    before = service.total

    rows = weeks(service, target, database, {})

    assert judge.lost(service.portal, rows) == []
    assert service.total - before == FEWEST


@pytest.mark.parametrize("fault", [*FAULTS, "any"])
def test_a_bad_day_loses_and_doubles_nothing_and_costs_little(
    fault: str, service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    names = enter(1_000)
    edited = {names[key]: f"Zoë of {key}" for key in ("acc_00003", "acc_00008", "acc_00999")}
    service.fault, service.share, before = fault, SHARE, service.total

    rows = weeks(service, target, database, edited)
    service.fault = None

    human = frozenset(f"{key}.expansion_buyer" for key, name in names.items() if name in edited)
    assert judge.lost(service.portal, rows, human) == []
    assert judge.doubled(service.portal) == []
    assert judge.untied(service.portal, rows) == []
    companies = service.portal.records["companies"]
    assert {name: companies[name].properties["expansion_buyer"] for name in edited} == edited
    assert service.failed > SHARE * FEWEST / 2  # it was a bad day
    assert service.total - before <= 1.2 * FEWEST / (1 - SHARE)


def test_two_senders_of_two_databases_make_each_object_once(
    service: Service,
    opened: Callable[..., HubSpotTarget],
    target: HubSpotTarget,
    enter: Enter,
    tmp_path: Path,
) -> None:
    enter(400)
    engines = [store.open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("one", "two")]
    rows, _ = [outbox.put(engine, 400) for engine in engines]
    service.fault, service.share = "any", 0.1
    gate = threading.Barrier(2)

    def work(engine: sa.Engine) -> None:
        mine = opened(timeout_seconds=1.0)
        gate.wait()
        for _ in range(20):
            if send_pending(engine, mine, now=NOW, sleep=lambda _: None).left == 0:
                break

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    service.fault = None
    assert judge.lost(service.portal, rows) == []
    assert judge.doubled(service.portal) == []
    assert judge.untied(service.portal, rows) == []
    for engine in engines:
        engine.dispose()


def test_senders_that_are_killed_at_random_requests_leave_a_whole_portal(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    enter(400)
    draw = random.Random(7)  # noqa: S311 - made up, not secret
    rows, week, kills, theirs = outbox.put(database, 400), 0, 0, {}

    while kills < KILLS:
        code = _run(service, database, kills_at=draw.randrange(1, 24))
        kills += code < 0
        _edit(service, draw, theirs)
        if code == 0:
            week += 1
            rows = outbox.put(database, 400, week)
    assert _run(service, database, kills_at=None) == 0

    assert week >= 2
    assert judge.lost(service.portal, rows, frozenset(theirs)) == []
    assert judge.doubled(service.portal) == []
    assert judge.untied(service.portal, rows) == []
    assert _stand(service, theirs) == theirs


def _run(service: Service, database: sa.Engine, kills_at: int | None) -> int:
    """Run a sender, killed as its nth request arrives, before or while it takes effect."""
    arrived = 0

    def count(_: str) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == kills_at:
            child.kill()

    service.before = count
    arguments = [sys.executable, str(HERE / "hubspot_sender.py"), str(database.url), service.url]
    child = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(HERE)})
    code = child.wait(timeout=120)
    service.before = lambda _: None
    time.sleep(0.1)  # what was under way has arrived
    return code


def _edit(service: Service, draw: random.Random, theirs: dict[str, str]) -> None:
    """A human sets a field of something that stands there."""
    kind, name = draw.choice(
        [("account", "expansion_buyer"), ("opportunity", "dealname"), ("task", "hs_task_subject")]
    )
    by = "expansion_account_id" if kind == "account" else "expansion_key"
    of = judge.OBJECTS[kind]
    keys = sorted(
        key
        for kept in service.portal.records[of].values()
        if (key := kept.properties.get(by)) and name in kept.properties
    )
    if keys:
        key, text = draw.choice(keys), f"Zoë {len(theirs)}"
        service.portal.edit(of, judge.found(service.portal, kind, key).id, **{name: text})
        theirs[f"{key}.{name}"] = text


def _stand(service: Service, theirs: dict[str, str]) -> dict[str, str]:
    kinds = {"expansion_buyer": "account", "dealname": "opportunity", "hs_task_subject": "task"}
    stand = {}
    for where in theirs:
        key, _, name = where.rpartition(".")
        stand[where] = judge.found(service.portal, kinds[name], key).properties.get(name, "")
    return stand
