"""The sender and a HubSpot portal: writes, preserved human edits, rejected rows."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.reconcile.sender import send_pending
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import DESIRED_OBJECTS, REJECTED_OBJECTS
from tests.fakes.desired_objects import save_generated
from tests.fakes.hubspot.server import HubSpotServer
from tests.integration.hubspot import state_checker

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
AddCompanies = Callable[[int], dict[str, str]]


def run_sender(engine: sa.Engine, target: HubSpotTarget, **options: Any) -> SyncSummary:
    return send_pending(engine, target, now=NOW, sleep=lambda _: None, **options)


def test_a_list_is_written_completely_and_a_second_run_writes_nothing(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    add_companies(100)
    rows = save_generated(engine, "hubspot", 100)
    first = run_sender(engine, target)
    before = service.requests.copy()

    second = run_sender(engine, target, resync=True)

    assert state_checker.find_problems(service.portal, rows) == []
    assert first.created == {"opportunity": 12, "task": 25}
    assert first.updated == {"account": 100}
    assert (second.written, second.remaining, second.human_fields) == (0, 0, 0)
    changes = service.requests - before
    assert not {"upsert", "update", "tie"} & set(changes)


def test_the_next_week_updates_records_and_preserves_human_edits(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    company_ids = add_companies(40)
    save_generated(engine, "hubspot", 40)
    run_sender(engine, target)
    created_before = len(service.portal.created)
    deal = state_checker.find_record(service.portal, "opportunity", "acc_00008:seats:1").id
    task = state_checker.find_record(service.portal, "task", "acc_00008:seats:1:talk").id
    service.portal.edit("companies", company_ids["acc_00008"], expansion_contact_role="Zoë")
    service.portal.edit("deals", deal, amount="77", dealname="Zoë's deal")
    service.portal.edit("tasks", task, hs_task_body="<p>called her</p>", hs_task_status="WAITING")

    rows = save_generated(engine, "hubspot", 40, week=1)
    summary = run_sender(engine, target)

    stored = {
        "acc_00008.expansion_contact_role",
        "acc_00008:seats:1.amount",
        "acc_00008:seats:1.dealname",
        "acc_00008:seats:1:talk.hs_task_body",
    }
    assert state_checker.find_lost_values(service.portal, rows, frozenset(stored)) == []
    company = service.portal.records["companies"][company_ids["acc_00008"]].properties
    assert company["expansion_contact_role"] == "Zoë"
    deals = service.portal.records["deals"][deal].properties
    assert (deals["amount"], deals["dealname"]) == ("77", "Zoë's deal")
    tasks = service.portal.records["tasks"][task].properties
    assert (tasks["hs_task_body"], tasks["hs_task_status"]) == ("<p>called her</p>", "WAITING")
    assert len(service.portal.created) == created_before
    assert summary.human_fields == 3  # two of the deal, one of the account; the task did not differ


def test_a_deal_opened_by_a_human_is_adopted_and_only_empty_fields_are_filled(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    company_ids = add_companies(8)
    pipeline = next(each for each in service.portal.pipelines if each["label"] == "Expansion")
    stage = pipeline["stages"][1]["id"]
    human_deal = service.portal.create(
        "deals",
        {"dealname": "Zoë's", "pipeline": pipeline["id"], "dealstage": stage, "amount": "5"},
        companies=company_ids["acc_00008"],
    )
    save_generated(engine, "hubspot", 8)

    summary = run_sender(engine, target)
    run_sender(engine, target, resync=True)

    stored = service.portal.records["deals"][human_deal].properties
    assert list(service.portal.records["deals"]) == [human_deal]
    assert (stored["dealname"], stored["amount"], stored["dealstage"]) == ("Zoë's", "5", stage)
    assert stored["expansion_contact_role"] == "department head"
    assert summary.adopted == 1
    task = state_checker.find_record(service.portal, "task", "acc_00008:seats:1:talk")
    assert service.portal.associations["tasks", "deals"][task.id] == {human_deal}


def test_a_rejected_row_keeps_hubspots_reason_and_the_others_are_written(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    add_companies(39)  # one of forty companies is missing
    rows = save_generated(engine, "hubspot", 40)
    bad = next(row for row in rows if row["key"] == "acc_00003")
    fields = {**bad["fields"], "limit": "no such limit"}
    with engine.execution_options(writes=True).begin() as connection:
        table = DESIRED_OBJECTS
        connection.execute(
            sa.update(table)
            .where(table.c.key == bad["key"])
            .values(fields=fields, content_hash="x")
        )

    summary = run_sender(engine, target)

    with engine.connect() as connection:
        refused = {row.key: row.reason for row in connection.execute(sa.select(REJECTED_OBJECTS))}
    missing = {row["key"] for row in rows if row["account_id"] == "acc_00040"}
    assert set(refused) == {"acc_00003", "acc_00040"}
    assert "was not one of the allowed options" in refused["acc_00003"]
    assert "no company has this account_id" in refused["acc_00040"]
    others = [row for row in rows if row["key"] not in missing | set(refused)]
    assert state_checker.find_problems(service.portal, others) == []
    assert summary.waiting_for_parent == len(missing) - 1


def test_a_deleted_deal_is_not_recreated(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    add_companies(8)
    save_generated(engine, "hubspot", 8)
    run_sender(engine, target)
    deal = state_checker.find_record(service.portal, "opportunity", "acc_00008:seats:1").id

    service.portal.archive("deals", deal)
    save_generated(engine, "hubspot", 8, week=1)
    summary = run_sender(engine, target)

    assert [record.archived for record in service.portal.records["deals"].values()] == [True]
    assert summary.deleted_in_crm == 1


def test_merged_companies_are_one_account(
    service: HubSpotServer, target: HubSpotTarget, engine: sa.Engine, add_companies: AddCompanies
) -> None:
    company_ids = add_companies(8)
    save_generated(engine, "hubspot", 8)
    run_sender(engine, target)
    survivor = service.portal.create("companies", {"name": "Heir"})

    service.portal.merge("companies", survivor, company_ids["acc_00003"])
    rows = save_generated(engine, "hubspot", 8, week=1)
    run_sender(engine, target)

    survivor_properties = service.portal.records["companies"][survivor].properties
    assert state_checker.find_record(service.portal, "account", "acc_00003") is None
    desired = next(row for row in rows if row["key"] == "acc_00003")["fields"]
    assert float(survivor_properties["expansion_probability"]) == desired["probability"]
