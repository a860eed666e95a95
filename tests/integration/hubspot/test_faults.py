"""Injected faults and killed senders: nothing lost, duplicated or reverted."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving import store
from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.reconcile.sender import send_pending
from tests import ROOT
from tests.fakes.desired_objects import save_generated
from tests.fakes.hubspot.server import FAULTS, HubSpotServer
from tests.integration.hubspot import state_checker

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
SHARE, WEEKS, KILLS = 0.3, 4, 50
SENDER = "tests.integration.hubspot.sender_process"
AddCompanies = Callable[[int], dict[str, str]]
# Requests of four weeks without faults, computed by hand. Each week has two searches for human
# touches; ten batches of accounts and two of deals are read and written. The first week adds three
# batches of tasks. Deals need one request per batch for adoption; deals and tasks one for their
# company. Deals are associated with the company, tasks with the company and the deal.
_EVERY_WEEK = 2 + 2 * (10 + 2)
_FIRST_WEEK = 2 * 3 + 2 + (2 + 3) + 2 + 3 + 3
_ONCE = 1 + 1  # pipeline and owners
MIN_REQUESTS = WEEKS * _EVERY_WEEK + _FIRST_WEEK + _ONCE

pytestmark = pytest.mark.slow


@pytest.fixture
def target(open_target: Callable[..., HubSpotTarget]) -> HubSpotTarget:
    """Return a target of a provisioned portal, with a short timeout."""
    open_target().provision()
    return open_target(timeout_seconds=1.0)


def deliver_weeks(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, edits: dict[str, str]
) -> list[dict[str, object]]:
    """Deliver several weeks of a thousand accounts, and return the last week's objects."""
    rows = []
    for week in range(WEEKS):
        rows = save_generated(engine, "hubspot", 1_000, week)
        for _ in range(20):
            if send_pending(engine, target, now=NOW, sleep=lambda _: None).remaining == 0:
                break
        if week == 0:
            for name, text in edits.items():
                service.portal.edit("companies", name, expansion_contact_role=text)
    return rows


def test_without_faults_the_request_count_equals_the_hand_computed_one(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    add_companies(1_000)
    before = service.total

    rows = deliver_weeks(service, target, engine, {})

    assert state_checker.find_lost_values(service.portal, rows) == []
    assert service.total - before == MIN_REQUESTS


@pytest.mark.parametrize("fault", [*FAULTS, "any"])
def test_injected_faults_lose_and_duplicate_nothing_and_cost_few_requests(
    fault: str,
    service: HubSpotServer,
    target: HubSpotTarget,
    engine: sa.Engine,
    add_companies: AddCompanies,
) -> None:
    company_ids = add_companies(1_000)
    edits = {company_ids[key]: f"Zoë of {key}" for key in ("acc_00003", "acc_00008", "acc_00999")}
    service.fault, service.fault_share, before = fault, SHARE, service.total

    rows = deliver_weeks(service, target, engine, edits)
    service.fault = None

    human = frozenset(
        f"{key}.expansion_contact_role" for key, name in company_ids.items() if name in edits
    )
    assert state_checker.find_problems(service.portal, rows, human) == []
    companies = service.portal.records["companies"]
    assert {name: companies[name].properties["expansion_contact_role"] for name in edits} == edits
    assert service.failed > SHARE * MIN_REQUESTS / 2  # faults did occur
    assert service.total - before <= 1.2 * MIN_REQUESTS / (1 - SHARE)


def test_two_senders_with_separate_databases_create_each_object_once(
    service: HubSpotServer,
    open_target: Callable[..., HubSpotTarget],
    target: HubSpotTarget,
    add_companies: AddCompanies,
    tmp_path: Path,
) -> None:
    add_companies(400)
    engines = [store.open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("one", "two")]
    rows, _ = [save_generated(engine, "hubspot", 400) for engine in engines]
    service.fault, service.fault_share = "any", 0.1
    gate = threading.Barrier(2)

    def run_sender(engine: sa.Engine) -> None:
        own_target = open_target(timeout_seconds=1.0)
        gate.wait()
        for _ in range(20):
            if send_pending(engine, own_target, now=NOW, sleep=lambda _: None).remaining == 0:
                break

    threads = [threading.Thread(target=run_sender, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    service.fault = None
    assert state_checker.find_problems(service.portal, rows) == []
    for engine in engines:
        engine.dispose()


def test_senders_killed_at_random_requests_leave_a_consistent_portal(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    add_companies(400)
    rng = random.Random(7)  # noqa: S311 - made up, not secret
    rows = save_generated(engine, "hubspot", 400)
    week, kill_count, human_edits = 0, 0, dict[str, str]()

    while kill_count < KILLS:
        code = _run_sender(service, engine, kills_at=rng.randrange(1, 24))
        kill_count += code < 0
        _edit_as_human(service, rng, human_edits)
        if code == 0:
            week += 1
            rows = save_generated(engine, "hubspot", 400, week)
    assert _run_sender(service, engine, kills_at=None) == 0

    assert week >= 2
    assert state_checker.find_problems(service.portal, rows, frozenset(human_edits)) == []
    assert _read_values(service, human_edits) == human_edits


def _run_sender(service: HubSpotServer, engine: sa.Engine, kills_at: int | None) -> int:
    """Run a sender and kill it when its nth request arrives, before or during its effect."""
    arrived = 0

    def count(_: str) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == kills_at:
            child.kill()

    service.on_request = count
    command = [sys.executable, "-m", SENDER, str(engine.url), service.url]
    child = subprocess.Popen(command, cwd=ROOT)
    code = child.wait(timeout=120)
    service.on_request = lambda _: None
    time.sleep(0.1)  # let requests in flight arrive
    return code


EDITED_PROPERTIES = {
    "account": "expansion_contact_role",
    "opportunity": "dealname",
    "task": "hs_task_subject",
}


def _edit_as_human(service: HubSpotServer, rng: random.Random, human_edits: dict[str, str]) -> None:
    """Set a property of an existing record as a human."""
    kind, name = rng.choice(list(EDITED_PROPERTIES.items()))
    id_property = "expansion_account_id" if kind == "account" else "expansion_key"
    object_type = state_checker.OBJECT_TYPES[kind]
    keys = sorted(
        key
        for record in service.portal.records[object_type].values()
        if (key := record.properties.get(id_property)) and name in record.properties
    )
    if keys:
        key, text = rng.choice(keys), f"Zoë {len(human_edits)}"
        record = state_checker.find_record(service.portal, kind, key)
        service.portal.edit(object_type, record.id, **{name: text})
        human_edits[f"{key}.{name}"] = text


def _read_values(service: HubSpotServer, human_edits: dict[str, str]) -> dict[str, str]:
    kind_by_property = {name: kind for kind, name in EDITED_PROPERTIES.items()}
    values = {}
    for path in human_edits:
        key, _, name = path.rpartition(".")
        record = state_checker.find_record(service.portal, kind_by_property[name], key)
        values[path] = record.properties.get(name, "")
    return values
