"""The sender before a HubSpot portal: what arrives, what stays a human's, what a bad day costs."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hubspot_judge as judge
import hubspot_outbox as outbox
import sqlalchemy as sa
from hubspot_portal.service import Service

from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.reconcile.sender import send_pending
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import REJECTED_OBJECTS

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
SHARE = 0.3
HERE = Path(__file__).parent
Enter = Callable[[int], dict[str, str]]


def sent(database: sa.Engine, target: HubSpotTarget, **more: Any) -> SyncSummary:
    return send_pending(database, target, now=NOW, sleep=lambda _: None, **more)


def well(service: Service, rows: list[dict[str, Any]]) -> None:
    """Nothing lost, nothing doubled, nothing left hanging in the air."""
    assert judge.lost(service.portal, rows) == []
    assert judge.doubled(service.portal) == []
    assert judge.untied(service.portal, rows) == []


def test_a_list_arrives_whole_and_a_second_run_writes_nothing(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    enter(100)
    rows = outbox.put(database, 100)
    first = sent(database, target)
    before = service.requests.copy()

    again = sent(database, target, full=True)

    well(service, rows)
    assert first.made == {"opportunity": 12, "task": 25}
    assert first.changed == {"account": 100}
    assert (again.written, again.left, again.theirs) == (0, 0, 0)
    changes = service.requests - before
    assert not {"upsert", "update", "tie"} & set(changes)


def test_the_next_week_changes_what_is_there(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    enter(40)
    outbox.put(database, 40)
    sent(database, target)
    made = len(service.portal.made)

    rows = outbox.put(database, 40, week=1)
    sent(database, target)

    well(service, rows)
    assert len(service.portal.made) == made


def test_what_a_human_edited_stays(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    names = enter(40)
    outbox.put(database, 40)
    sent(database, target)
    deal = judge.found(service.portal, "opportunity", "acc_00008:seats:1").id
    task = judge.found(service.portal, "task", "acc_00008:seats:1:talk").id
    service.portal.edit("companies", names["acc_00008"], expansion_buyer="Zoë")
    service.portal.edit("deals", deal, amount="77", dealname="Zoë's deal")
    service.portal.edit("tasks", task, hs_task_body="<p>called her</p>", hs_task_status="WAITING")

    rows = outbox.put(database, 40, week=1)
    told = sent(database, target)

    kept = {
        "acc_00008.expansion_buyer",
        "acc_00008:seats:1.amount",
        "acc_00008:seats:1.dealname",
        "acc_00008:seats:1:talk.hs_task_body",
    }
    assert judge.lost(service.portal, rows, frozenset(kept)) == []
    assert (
        service.portal.records["companies"][names["acc_00008"]].properties["expansion_buyer"]
        == "Zoë"
    )
    deals = service.portal.records["deals"][deal].properties
    assert (deals["amount"], deals["dealname"]) == ("77", "Zoë's deal")
    tasks = service.portal.records["tasks"][task].properties
    assert (tasks["hs_task_body"], tasks["hs_task_status"]) == ("<p>called her</p>", "WAITING")
    assert told.theirs == 3  # of the account and the deal; the task did not differ


def test_a_deal_that_a_human_opened_is_adopted_and_only_filled(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    names = enter(8)
    pipeline = next(each for each in service.portal.pipelines if each["label"] == "Expansion")
    stage = pipeline["stages"][1]["id"]
    hers = service.portal.make(
        "deals",
        {"dealname": "Zoë's", "pipeline": pipeline["id"], "dealstage": stage, "amount": "5"},
        companies=names["acc_00008"],
    )
    outbox.put(database, 8)

    told = sent(database, target)
    sent(database, target, full=True)

    kept = service.portal.records["deals"][hers].properties
    assert list(service.portal.records["deals"]) == [hers]
    assert (kept["dealname"], kept["amount"], kept["dealstage"]) == ("Zoë's", "5", stage)
    assert kept["expansion_buyer"] == "department head"
    assert told.adopted == 1
    task = judge.found(service.portal, "task", "acc_00008:seats:1:talk")
    assert service.portal.links["tasks", "deals"][task.id] == {hers}


def test_a_bad_row_is_told_in_the_portals_words_and_the_others_arrive(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    enter(39)  # one company is missing
    rows = outbox.put(database, 40)
    bad = next(row for row in rows if row["key"] == "acc_00003")
    fields = {**bad["fields"], "limit": "no such limit"}
    with database.execution_options(writes=True).begin() as connection:
        table = outbox.DESIRED_OBJECTS
        connection.execute(
            sa.update(table).where(table.c.key == bad["key"]).values(fields=fields, digest="x")
        )

    told = sent(database, target)

    with database.connect() as connection:
        refused = {row.key: row.words for row in connection.execute(sa.select(REJECTED_OBJECTS))}
    missing = {row["key"] for row in rows if row["account_id"] == "acc_00040"}
    assert set(refused) == {"acc_00003", "acc_00040"}
    assert "was not one of the allowed options" in refused["acc_00003"]
    assert "no company carries this account_id" in refused["acc_00040"]
    others = [row for row in rows if row["key"] not in missing | set(refused)]
    well(service, others)
    assert told.waiting == len(missing) - 1


def test_a_deal_that_was_deleted_stays_deleted(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    enter(8)
    outbox.put(database, 8)
    sent(database, target)
    deal = judge.found(service.portal, "opportunity", "acc_00008:seats:1").id

    service.portal.archive("deals", deal)
    outbox.put(database, 8, week=1)
    told = sent(database, target)

    assert [kept.archived for kept in service.portal.records["deals"].values()] == [True]
    assert told.gone == 1


def test_two_companies_that_were_merged_are_one_account(
    service: Service, target: HubSpotTarget, database: sa.Engine, enter: Enter
) -> None:
    names = enter(8)
    outbox.put(database, 8)
    sent(database, target)
    heir = service.portal.make("companies", {"name": "Heir"})

    service.portal.merge("companies", heir, names["acc_00003"])
    rows = outbox.put(database, 8, week=1)
    sent(database, target)

    heirs = service.portal.records["companies"][heir].properties
    assert judge.found(service.portal, "account", "acc_00003") is None
    wanted = next(row for row in rows if row["key"] == "acc_00003")["fields"]
    assert float(heirs["expansion_probability"]) == wanted["probability"]
