"""The Odoo target and a real Odoo, with only the permissions of docs/guides/odoo.md."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from data.config.delivery import OdooConfig
from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    Fields,
    HumanTouch,
    ObjectRef,
    Rejected,
    RemoteObject,
    RetryableError,
)
from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.crm.odoo.client import OdooClient

pytestmark = pytest.mark.odoo

ACCOUNT_FIELDS: Fields = {
    "as_of": "2026-06-01",
    "rank": 3,
    "in_weekly_capacity": True,
    "probability": 0.684,
    "readiness_date": "2026-06-13",
    "tier": 1,
    "limit": "seats",
    "signals": "No seat is free, and 3 people joined\n26 people used the product <b>&\t“ü”",
    "note": None,
    "churn_probability": 0.0,
    "outreach_allowed": False,
}
DEAL_FIELDS: Fields = {
    "name": "Acme: seats",
    "state": "open",
    "probability": 0.684,
    "amount": 12000.0,
    "expected_close_date": "2026-07-20",
    "limit": "seats",
    "signals": "No seat is free",
}
TASK_FIELDS: Fields = {
    "subject": "Talk to the admin",
    "state": "open",
    "due_date": "2026-06-13",
    "notes": "No seat is free & 3 people joined\n\n  26 people <use> it ",
}


@pytest.fixture
def odoo(database: Any) -> Iterator[OdooTarget]:
    target = database.create_target()
    yield target
    target.close()


def account_ref(name: str, crm_id: str | None = None) -> ObjectRef:
    return ObjectRef("account", name, name, crm_id=crm_id)


def deal_ref(name: str, partner: str | None, number: int = 1, **more: Any) -> ObjectRef:
    key = f"{name}:seats:{number}"
    return ObjectRef("opportunity", key, name, limit="seats", account_crm_id=partner, **more)


def task_ref(name: str, partner: str | None, lead: str | None = None) -> ObjectRef:
    parents = {"account_crm_id": partner, "opportunity_crm_id": lead}
    return ObjectRef("task", f"{name}:seats:1:talk", name, limit="seats", **parents)


def write_one(odoo: OdooTarget, ref: ObjectRef, fields: Fields) -> str:
    (result,) = odoo.write([FieldChange(ref, fields)])
    assert isinstance(result, Applied), result
    return result.crm_id


def read_one(odoo: OdooTarget, ref: ObjectRef) -> RemoteObject:
    (remote,) = odoo.read([ref])
    assert remote is not None
    return remote


def select_fields(remote: RemoteObject, fields: Fields) -> dict[str, Any]:
    return {name: remote.fields[name] for name in fields}


def test_a_normalized_account_survives_a_round_trip(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("round")["round"]
    before = read_one(odoo, account_ref("round"))

    results = odoo.write([FieldChange(account_ref("round", partner), ACCOUNT_FIELDS)])

    assert not any(before.fields.values())
    assert results == [Applied(partner)]
    assert select_fields(read_one(odoo, account_ref("round")), ACCOUNT_FIELDS) == odoo.normalize(
        "account", ACCOUNT_FIELDS
    )


def test_writing_none_clears_a_field(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("emptied")["emptied"]
    write_one(odoo, account_ref("emptied", partner), ACCOUNT_FIELDS)

    write_one(odoo, account_ref("emptied", partner), dict.fromkeys(ACCOUNT_FIELDS))

    assert not any(read_one(odoo, account_ref("emptied")).fields.values())


def test_a_crm_id_takes_precedence_over_a_match(odoo: OdooTarget, database: Any) -> None:
    ids = database.create_partners("named", "other")

    remote = read_one(odoo, account_ref("named", ids["other"]))

    assert remote.crm_id == ids["other"]


def test_an_active_company_is_preferred_among_matching_partners(
    odoo: OdooTarget, database: Any
) -> None:
    company = database.create_partners("group")["group"]
    database.call(
        "res.partner",
        "create",
        vals_list=[
            {"name": "Ann", "ref": "group", "parent_id": int(company)},
            {"name": "Old Group", "ref": "group", "is_company": True, "active": False},
        ],
    )

    assert read_one(odoo, account_ref("group")).crm_id == company


def test_an_ambiguous_match_is_rejected(odoo: OdooTarget, database: Any) -> None:
    database.create_partners("twin")
    database.create_partners("twin")

    assert odoo.read([account_ref("twin")]) == [None]
    (result,) = odoo.write([FieldChange(account_ref("twin"), ACCOUNT_FIELDS)])
    assert isinstance(result, Rejected)
    assert "several partners have ref = twin" in result.reason


def test_a_partner_is_created_only_if_enabled(odoo: OdooTarget, database: Any) -> None:
    (refused,) = odoo.write([FieldChange(account_ref("fresh"), ACCOUNT_FIELDS)])
    creating = database.create_target(create_partners=True)

    first = write_one(creating, account_ref("fresh"), {**ACCOUNT_FIELDS, "name": "Fresh Ltd"})
    second = read_one(creating, account_ref("fresh"))

    assert isinstance(refused, Rejected)
    assert "no partner has ref = fresh" in refused.reason
    assert (second.crm_id, second.fields["name"]) == (first, "Fresh Ltd")


def test_creating_an_opportunity_is_idempotent(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("once")["once"]
    ref = deal_ref("once", partner)

    first = write_one(odoo, ref, DEAL_FIELDS)
    second = write_one(odoo, ref, DEAL_FIELDS)

    assert first == second
    (lead,) = database.find_records(
        "crm.lead",
        [["partner_id", "=", int(partner)]],
        ["type", "team_id", "user_id", "won_status"],
    )
    assert lead["type"] == "opportunity"
    assert lead["team_id"][1] == "Expansion"
    assert lead["user_id"] is False
    assert select_fields(read_one(odoo, ref), DEAL_FIELDS) == odoo.normalize(
        "opportunity", DEAL_FIELDS
    )


def test_the_partners_salesperson_owns_opportunity_and_task(
    odoo: OdooTarget, database: Any
) -> None:
    partner = database.create_partners("owned")["owned"]
    (cleo,) = database.find_records("res.users", [["login", "=", "cleo"]], ["id"])
    database.call("res.partner", "write", ids=[int(partner)], vals={"user_id": cleo["id"]})

    lead = write_one(odoo, deal_ref("owned", partner), DEAL_FIELDS)
    task = write_one(odoo, task_ref("owned", partner, lead), TASK_FIELDS)

    (opportunity,) = database.find_records("crm.lead", [["id", "=", int(lead)]], ["user_id"])
    (activity,) = database.find_records(
        "mail.activity", [["id", "=", int(task)]], ["user_id", "res_model", "res_id"]
    )
    assert opportunity["user_id"][0] == activity["user_id"][0] == cleo["id"]
    assert (activity["res_model"], activity["res_id"]) == ("crm.lead", int(lead))


def test_eight_concurrent_writers_create_one_opportunity(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("crowd")["crowd"]
    refs = [deal_ref("crowd", partner, number) for number in range(1, 6)]

    def send(_: int) -> list[Any]:
        target = database.create_target()
        while True:
            try:
                return target.write([FieldChange(ref, DEAL_FIELDS) for ref in refs])
            except RetryableError:
                continue

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(send, range(8)))

    assert all(answer == results[0] for answer in results)
    assert len(database.find_records("crm.lead", [["partner_id", "=", int(partner)]], ["id"])) == 5


def test_a_normalized_task_survives_a_round_trip(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("task")["task"]
    ref = task_ref("task", partner)

    first, second = write_one(odoo, ref, TASK_FIELDS), write_one(odoo, ref, TASK_FIELDS)

    assert first == second
    assert select_fields(read_one(odoo, ref), TASK_FIELDS) == odoo.normalize("task", TASK_FIELDS)
    assert read_one(odoo, ref).fields["notes"] == (
        "No seat is free & 3 people joined\n26 people <use> it"
    )


def test_any_normalized_text_survives_a_round_trip(odoo: OdooTarget, database: Any) -> None:
    texts = [
        "<script>alert(1)</script> &amp; &nbsp;",
        "  many   blanks\tand tabs \n\n\r\n end ",
        "no-break\u00a0blank, line\u2028mark, zero\u200bwidth, \x00\x07 bells, \ufeff, \ufffe",
        "emoji 👩‍👩‍👧 and עברית and 日本語, e\u0301 and é",
        "${7*7} {{7*7}} %s %(a)s \\n 'quote\" `",
        "https://example.com/a?b=c&d=e <mail@example.com>",
        "- list\n1. numbers\n# heading\n> quote",
    ]
    ids = database.create_partners(*(f"text{number}" for number in range(len(texts))))
    for (name, partner), text in zip(ids.items(), texts, strict=True):
        write_one(odoo, account_ref(name, partner), {"note": text, "signals": text})
        write_one(odoo, task_ref(name, partner), {**TASK_FIELDS, "notes": text})

        line, task = read_one(odoo, account_ref(name)), read_one(odoo, task_ref(name, partner))

        expected = odoo.normalize("account", {"note": text, "signals": text})
        assert select_fields(line, expected) == expected
        assert task.fields["notes"] == odoo.normalize("task", {"notes": text})["notes"]


def test_a_completed_task_is_not_reopened(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("done")["done"]
    task = write_one(odoo, task_ref("done", partner), TASK_FIELDS)
    database.call("mail.activity", "action_feedback", ids=[int(task)], feedback="Sold ten")

    remote = read_one(odoo, task_ref("done", partner))
    second = write_one(odoo, task_ref("done", partner), {**TASK_FIELDS, "subject": "Talk again"})

    assert remote.crm_id == second == task
    (activity,) = database.find_records("mail.activity", [["id", "=", int(task)]], ["active"])
    assert activity["active"] is False


def test_a_task_cancelled_by_a_human_reads_as_missing(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("cancelled")["cancelled"]
    task = write_one(odoo, task_ref("cancelled", partner), TASK_FIELDS)
    database.call("mail.activity", "action_cancel", ids=[int(task)])
    ref = task_ref("cancelled", partner)

    assert odoo.read([ObjectRef(**{**vars(ref), "crm_id": task})]) == [None]


def test_an_open_opportunity_of_a_human_is_adopted_once(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("human")["human"]
    (person,) = database.call(
        "res.partner", "create", vals_list=[{"name": "Ann", "parent_id": int(partner)}]
    )
    lead = database.create_opportunity(person, name="Ann asks")

    first, second = odoo.read([deal_ref("human", partner, 1), deal_ref("human", partner, 2)])

    assert first is not None
    assert (first.crm_id, first.created_by_us, second) == (str(lead), False, None)
    assert first.fields["name"] == "Ann asks"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "lead"},
        {"active": False},
        {"team_id": False},
        {"x_expansion_limit": "usage"},
        {"partner_id": False},
        {"x_expansion_key": "of:another:1"},
    ],
    ids=str,
)
def test_other_opportunities_are_not_adopted(
    odoo: OdooTarget, database: Any, change: dict[str, Any]
) -> None:
    name = "not" + "".join(filter(str.isalpha, str(change))).lower()
    partner = database.create_partners(name)[name]
    database.create_opportunity(partner, **change)

    assert odoo.read([deal_ref(name, partner)]) == [None]


def test_a_tagged_opportunity_is_adopted_unless_it_is_won(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("tagged")["tagged"]
    (tag,) = database.find_records("crm.tag", [["name", "=", "Expansion"]], ["id"])
    lead = database.create_opportunity(partner, team_id=False, tag_ids=[tag["id"]])
    adopted = read_one(odoo, deal_ref("tagged", partner))

    database.call("crm.lead", "action_set_won", ids=[lead])

    assert (adopted.crm_id, adopted.created_by_us) == (str(lead), False)
    assert odoo.read([deal_ref("tagged", partner)]) == [None]


def test_an_adopted_opportunity_gets_our_key(odoo: OdooTarget, database: Any) -> None:
    partner = database.create_partners("adopted")["adopted"]
    lead = database.create_opportunity(partner, name="Mine")
    ref = deal_ref("adopted", partner, crm_id=str(lead))

    write_one(odoo, ref, {"limit": "seats"})

    remote = read_one(odoo, deal_ref("adopted", partner))
    assert (remote.crm_id, remote.fields["name"]) == (str(lead), "Mine")
    assert odoo.read([deal_ref("adopted", partner, 2)]) == [None]


def test_an_invalid_new_row_rejects_the_batch_and_writes_nothing(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.create_partners("good", "bad")
    refs = [deal_ref("good", ids["good"]), deal_ref("bad", ids["bad"])]

    bad = {**DEAL_FIELDS, "expected_close_date": "not-a-date"}

    with pytest.raises(BatchRejectedError, match="not-a-date"):
        odoo.write([FieldChange(refs[0], DEAL_FIELDS), FieldChange(refs[1], bad)])

    assert odoo.read(refs) == [None, None]


def test_an_invalid_value_rejects_the_batch_and_updates_nothing(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.create_partners("fine", "wide")
    changes = [
        FieldChange(account_ref("fine", ids["fine"]), {"rank": 1}),
        FieldChange(account_ref("wide", ids["wide"]), {"rank": 2**40}),
    ]

    with pytest.raises(BatchRejectedError, match="out of range"):
        odoo.write(changes)

    assert read_one(odoo, account_ref("fine")).fields["rank"] is None


def test_a_deleted_partner_rejects_its_batch(odoo: OdooTarget, database: Any) -> None:
    ids = database.create_partners("here")
    changes = [
        FieldChange(account_ref("here", ids["here"]), {"rank": 1}),
        FieldChange(account_ref("gone", "999999"), {"rank": 2}),
    ]

    with pytest.raises(BatchRejectedError, match="does not exist"):
        odoo.write(changes)


def test_with_new_rows_in_the_batch_an_invalid_update_is_rejected_alone(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.create_partners("mixed")
    old = write_one(odoo, deal_ref("mixed", ids["mixed"]), DEAL_FIELDS)
    bad = deal_ref("mixed", ids["mixed"], crm_id=old)
    new = deal_ref("mixed", ids["mixed"], 2)

    results = odoo.write(
        [FieldChange(bad, {"expected_close_date": "no"}), FieldChange(new, DEAL_FIELDS)]
    )

    assert isinstance(results[0], Rejected)
    assert isinstance(results[1], Applied)


def test_an_invalid_odoo_id_is_rejected_alone(odoo: OdooTarget, database: Any) -> None:
    ids = database.create_partners("numbered")
    changes = [
        FieldChange(account_ref("crm", "00Q5e"), {"rank": 1}),
        FieldChange(account_ref("numbered", ids["numbered"]), {"rank": 2}),
    ]

    results = odoo.write(changes)

    assert isinstance(results[0], Rejected)
    assert results[1] == Applied(ids["numbered"])


def test_keys_may_contain_any_character(odoo: OdooTarget, database: Any) -> None:
    name = "ä b/c.d %s:'\"(☂)"
    partner = database.create_partners(name)[name]

    lead = write_one(odoo, deal_ref(name, partner), DEAL_FIELDS)

    assert read_one(odoo, deal_ref(name, partner)).crm_id == lead
    assert write_one(odoo, deal_ref(name, partner), DEAL_FIELDS) == lead


def test_human_touches_are_reported(odoo: OdooTarget, database: Any) -> None:
    ids = database.create_partners("talked", "moved", "won", "lost", "idle")
    leads = {
        name: int(write_one(odoo, deal_ref(name, ids[name]), DEAL_FIELDS))
        for name in ids
        if name != "talked"
    }
    task = write_one(odoo, task_ref("talked", ids["talked"]), TASK_FIELDS)
    (stage,) = database.find_records("crm.stage", [["name", "=", "Qualified"]], ["id"])
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)

    database.call("mail.activity", "action_done", ids=[int(task)])
    database.call("crm.lead", "write", ids=[leads["moved"]], vals={"stage_id": stage["id"]})
    database.call("crm.lead", "action_set_won", ids=[leads["won"]])
    database.call("crm.lead", "action_set_lost", ids=[leads["lost"]])

    touches = [item for item in odoo.fetch_human_touches(yesterday) if item.account_id in ids]
    assert touches == [
        HumanTouch("lost", today, "opportunity lost"),
        HumanTouch("moved", today, "opportunity moved to Qualified"),
        HumanTouch("talked", today, "task done"),
        HumanTouch("won", today, "opportunity won"),
    ]
    assert odoo.fetch_human_touches(today + timedelta(days=1)) == []


def test_preflight_lists_accounts_without_a_unique_partner(odoo: OdooTarget, database: Any) -> None:
    ids = database.create_partners("sole", "shared")
    database.create_partners("double")
    database.create_partners("double")
    refs = [
        account_ref("sole"),
        account_ref("nobody"),
        account_ref("double"),
        account_ref("shared"),
        account_ref("sharer", ids["shared"]),
    ]

    checks = {finding.subject: finding for finding in odoo.preflight(refs)}

    failed = {about: finding.examples for about, finding in checks.items() if not finding.passed}
    assert failed == {
        "accounts without a partner": ("nobody",),
        "accounts with several partners": ("double",),
        "partners of several accounts": ("shared", "sharer"),
    }


def test_an_invalid_api_key_is_reported(database: Any) -> None:
    client = OdooClient(database.server.url, database.name, "nonsense")
    target = OdooTarget(client, OdooConfig())

    (check,) = target.preflight([])

    assert not check.passed
    assert "rejects the API key" in check.message
    with pytest.raises(AccessDeniedError, match="API key"):
        target.read([account_ref("a")])


def test_a_missing_database_is_reported(database: Any) -> None:
    client = OdooClient(database.server.url, "nowhere", database.server.keys["sender"])

    with pytest.raises(AccessDeniedError, match="expected Odoo's JSON-2 API"):
        client.call("res.users", "context_get")


def test_provisioning_without_permission_is_denied(database: Any) -> None:
    client = database.create_client("sender")

    with pytest.raises(AccessDeniedError, match="denies"):
        client.call("ir.model.fields", "create", vals_list=[{"name": "x_expansion_no"}])


def test_preflight_fails_before_provisioning_and_passes_after_it(
    new_database: Callable[[str], Any],
) -> None:
    bare = new_database("bare")
    admin = bare.create_target("admin")

    before = [finding.subject for finding in admin.preflight([]) if not finding.passed]
    first, second = admin.provision(), admin.provision()

    assert before == ["Contacts (res.partner)", "CRM (crm.lead)", "Discuss (mail.activity)"]
    assert len(first) > 50
    assert second == []
    assert all(finding.passed for finding in bare.create_target("sender").preflight([]))
