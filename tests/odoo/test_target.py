"""What the target does to a real Odoo, with no more rights than ODOO.md asks for."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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

pytestmark = pytest.mark.odoo

LINE: Fields = {
    "as_of": "2026-06-01",
    "rank": 3,
    "this_week": True,
    "probability": 0.684,
    "readiness_date": "2026-06-13",
    "tier": 1,
    "limit": "seats",
    "signals": "No seat is free, and 3 people joined\n26 people used the product <b>&\t“ü”",
    "note": None,
    "churn_probability": 0.0,
    "ask": False,
}
DEAL: Fields = {
    "name": "Acme: seats",
    "state": "open",
    "probability": 0.684,
    "amount": 12000.0,
    "expected_close_date": "2026-07-20",
    "limit": "seats",
    "signals": "No seat is free",
}
TODO: Fields = {
    "subject": "Talk to the admin",
    "state": "open",
    "due_date": "2026-06-13",
    "notes": "No seat is free & 3 people joined\n\n  26 people <use> it ",
}


@pytest.fixture
def odoo(database: Any) -> Iterator[OdooTarget]:
    target = database.odoo()
    yield target
    target.close()


def account(name: str, crm_id: str | None = None) -> ObjectRef:
    return ObjectRef("account", name, name, crm_id=crm_id)


def deal(name: str, partner: str | None, number: int = 1, **more: Any) -> ObjectRef:
    key = f"{name}:seats:{number}"
    return ObjectRef("opportunity", key, name, limit="seats", account_crm_id=partner, **more)


def todo(name: str, partner: str | None, lead: str | None = None) -> ObjectRef:
    return ObjectRef(
        "task",
        f"{name}:seats:1:talk",
        name,
        limit="seats",
        account_crm_id=partner,
        opportunity_crm_id=lead,
    )


def made(odoo: OdooTarget, ref: ObjectRef, fields: Fields) -> str:
    (answer,) = odoo.write([FieldChange(ref, fields)])
    assert isinstance(answer, Applied), answer
    return answer.crm_id


def standing(odoo: OdooTarget, ref: ObjectRef) -> RemoteObject:
    (found,) = odoo.read([ref])
    assert found is not None
    return found


def subset(found: RemoteObject, fields: Fields) -> dict[str, Any]:
    return {name: found.fields[name] for name in fields}


def test_an_account_reads_back_as_it_was_shaped(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("round")["round"]
    before = standing(odoo, account("round"))

    answers = odoo.write([FieldChange(account("round", partner), LINE)])

    assert not any(before.fields.values())
    assert answers == [Applied(partner)]
    assert subset(standing(odoo, account("round")), LINE) == odoo.normalize("account", LINE)


def test_writing_nothing_empties_a_field(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("emptied")["emptied"]
    made(odoo, account("emptied", partner), LINE)

    made(odoo, account("emptied", partner), dict.fromkeys(LINE))

    assert not any(standing(odoo, account("emptied")).fields.values())


def test_a_partner_that_is_named_goes_before_one_that_matches(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.partners("named", "other")

    found = standing(odoo, account("named", ids["other"]))

    assert found.crm_id == ids["other"]


def test_of_partners_that_match_the_company_in_use_is_meant(
    odoo: OdooTarget, database: Any
) -> None:
    company = database.partners("group")["group"]
    database.call(
        "res.partner",
        "create",
        vals_list=[
            {"name": "Ann", "ref": "group", "parent_id": int(company)},
            {"name": "Old Group", "ref": "group", "is_company": True, "active": False},
        ],
    )

    assert standing(odoo, account("group")).crm_id == company


def test_two_partners_that_match_are_not_guessed_between(odoo: OdooTarget, database: Any) -> None:
    database.partners("twin")
    database.partners("twin")

    assert odoo.read([account("twin")]) == [None]
    (answer,) = odoo.write([FieldChange(account("twin"), LINE)])
    assert isinstance(answer, Rejected)
    assert "several partners have ref = twin" in answer.reason


def test_an_account_without_a_partner_gets_one_only_where_that_is_set(
    odoo: OdooTarget, database: Any
) -> None:
    (refused,) = odoo.write([FieldChange(account("fresh"), LINE)])
    maker = database.odoo(make_partners=True)
    line = {**LINE, "name": "Fresh Ltd"}

    first, again = made(maker, account("fresh"), line), maker.read([account("fresh")])

    assert isinstance(refused, Rejected)
    assert "no partner has ref = fresh" in refused.reason
    assert again[0] is not None
    assert again[0].crm_id == first
    assert again[0].fields["name"] == "Fresh Ltd"


def test_an_opportunity_is_made_once_however_often_it_is_asked(
    odoo: OdooTarget, database: Any
) -> None:
    partner = database.partners("once")["once"]
    ref = deal("once", partner)

    first = made(odoo, ref, DEAL)
    again = made(odoo, ref, DEAL)

    assert first == again
    (lead,) = database.find(
        "crm.lead",
        [["partner_id", "=", int(partner)]],
        ["type", "team_id", "user_id", "won_status"],
    )
    assert lead["type"] == "opportunity"
    assert lead["team_id"][1] == "Expansion"
    assert lead["user_id"] is False
    assert subset(standing(odoo, ref), DEAL) == odoo.normalize("opportunity", DEAL)


def test_whoever_looks_after_the_partner_gets_opportunity_and_task(
    odoo: OdooTarget, database: Any
) -> None:
    partner = database.partners("owned")["owned"]
    (cleo,) = database.find("res.users", [["login", "=", "cleo"]], ["id"])
    database.call("res.partner", "write", ids=[int(partner)], vals={"user_id": cleo["id"]})

    lead = made(odoo, deal("owned", partner), DEAL)
    task = made(odoo, todo("owned", partner, lead), TODO)

    (opportunity,) = database.find("crm.lead", [["id", "=", int(lead)]], ["user_id"])
    (activity,) = database.find(
        "mail.activity", [["id", "=", int(task)]], ["user_id", "res_model", "res_id"]
    )
    assert opportunity["user_id"][0] == activity["user_id"][0] == cleo["id"]
    assert (activity["res_model"], activity["res_id"]) == ("crm.lead", int(lead))


def test_eight_at_once_make_one_opportunity(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("crowd")["crowd"]
    refs = [deal("crowd", partner, number) for number in range(1, 6)]

    def send(_: int) -> list[Any]:
        target = database.odoo()
        while True:
            try:
                return target.write([FieldChange(ref, DEAL) for ref in refs])
            except RetryableError:
                continue

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))

    assert all(answer == answers[0] for answer in answers)
    assert len(database.find("crm.lead", [["partner_id", "=", int(partner)]], ["id"])) == 5


def test_a_task_reads_back_as_it_was_shaped(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("task")["task"]
    ref = todo("task", partner)

    first, again = made(odoo, ref, TODO), made(odoo, ref, TODO)

    assert first == again
    assert subset(standing(odoo, ref), TODO) == odoo.normalize("task", TODO)
    assert standing(odoo, ref).fields["notes"] == (
        "No seat is free & 3 people joined\n26 people <use> it"
    )


def test_any_text_reads_back_as_it_was_shaped(odoo: OdooTarget, database: Any) -> None:
    texts = [
        "<script>alert(1)</script> &amp; &nbsp;",
        "  many   blanks\tand tabs \n\n\r\n end ",
        "no-break\u00a0blank, line\u2028mark, zero\u200bwidth, \x00\x07 bells, \ufeff, \ufffe",
        "emoji 👩‍👩‍👧 and עברית and 日本語, e\u0301 and é",
        "${7*7} {{7*7}} %s %(a)s \\n 'quote\" `",
        "https://example.com/a?b=c&d=e <mail@example.com>",
        "- list\n1. numbers\n# heading\n> quote",
    ]
    ids = database.partners(*(f"text{number}" for number in range(len(texts))))
    for (name, partner), text in zip(ids.items(), texts, strict=True):
        made(odoo, account(name, partner), {"note": text, "signals": text})
        made(odoo, todo(name, partner), {**TODO, "notes": text})

        line, task = standing(odoo, account(name)), standing(odoo, todo(name, partner))

        wanted = odoo.normalize("account", {"note": text, "signals": text})
        assert subset(line, wanted) == wanted
        assert task.fields["notes"] == odoo.normalize("task", {"notes": text})["notes"]


def test_a_task_that_is_done_does_not_come_back(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("done")["done"]
    task = made(odoo, todo("done", partner), TODO)
    database.call("mail.activity", "action_feedback", ids=[int(task)], feedback="Sold ten")

    found = standing(odoo, todo("done", partner))
    again = made(odoo, todo("done", partner), {**TODO, "subject": "Talk again"})

    assert found.crm_id == again == task
    (activity,) = database.find("mail.activity", [["id", "=", int(task)]], ["active"])
    assert activity["active"] is False


def test_a_task_that_a_human_cancelled_stands_no_more(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("cancelled")["cancelled"]
    task = made(odoo, todo("cancelled", partner), TODO)
    database.call("mail.activity", "action_cancel", ids=[int(task)])
    known = todo("cancelled", partner)

    assert odoo.read([ObjectRef(**{**vars(known), "crm_id": task})]) == [None]


def test_an_open_opportunity_of_a_human_is_found_once(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("human")["human"]
    (team,) = database.find("crm.team", [["name", "=", "Expansion"]], ["id"])
    (person,) = database.call(
        "res.partner", "create", vals_list=[{"name": "Ann", "parent_id": int(partner)}]
    )
    row = {"type": "opportunity", "team_id": team["id"], "partner_id": person, "name": "Ann asks"}
    (lead,) = database.call("crm.lead", "create", vals_list=[row])

    first, second = odoo.read([deal("human", partner, 1), deal("human", partner, 2)])

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
def test_what_is_no_open_expansion_opportunity_here_is_not_adopted(
    odoo: OdooTarget, database: Any, change: dict[str, Any]
) -> None:
    name = "not" + "".join(filter(str.isalpha, str(change))).lower()
    partner = database.partners(name)[name]
    (team,) = database.find("crm.team", [["name", "=", "Expansion"]], ["id"])
    row = {"type": "opportunity", "team_id": team["id"], "partner_id": int(partner), "name": "X"}
    database.call("crm.lead", "create", vals_list=[{**row, **change}])

    assert odoo.read([deal(name, partner)]) == [None]


def test_a_tag_is_enough_to_adopt_and_won_is_not_open(odoo: OdooTarget, database: Any) -> None:
    partner = database.partners("tagged")["tagged"]
    (tag,) = database.find("crm.tag", [["name", "=", "Expansion"]], ["id"])
    row = {"type": "opportunity", "partner_id": int(partner), "name": "X", "tag_ids": [tag["id"]]}
    (lead,) = database.call("crm.lead", "create", vals_list=[row])
    open_one = standing(odoo, deal("tagged", partner))

    database.call("crm.lead", "action_set_won", ids=[lead])

    assert (open_one.crm_id, open_one.created_by_us) == (str(lead), False)
    assert odoo.read([deal("tagged", partner)]) == [None]


def test_an_adopted_opportunity_is_known_by_our_key_from_then_on(
    odoo: OdooTarget, database: Any
) -> None:
    partner = database.partners("adopted")["adopted"]
    (team,) = database.find("crm.team", [["name", "=", "Expansion"]], ["id"])
    row = {"type": "opportunity", "team_id": team["id"], "partner_id": int(partner), "name": "Mine"}
    (lead,) = database.call("crm.lead", "create", vals_list=[row])
    ref = deal("adopted", partner, crm_id=str(lead))

    made(odoo, ref, {"limit": "seats"})

    found = standing(odoo, deal("adopted", partner))
    assert (found.crm_id, found.fields["name"]) == (str(lead), "Mine")
    assert odoo.read([deal("adopted", partner, 2)]) == [None]


def test_a_bad_row_refuses_the_batch_and_nothing_of_it_is_written(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.partners("good", "bad")
    refs = [deal("good", ids["good"]), deal("bad", ids["bad"])]

    with pytest.raises(BatchRejectedError, match="not-a-date"):
        odoo.write(
            [
                FieldChange(refs[0], DEAL),
                FieldChange(refs[1], {**DEAL, "expected_close_date": "not-a-date"}),
            ]
        )

    assert odoo.read(refs) == [None, None]


def test_a_bad_value_refuses_the_batch_and_nothing_of_it_is_set(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.partners("fine", "wide")
    changes = [
        FieldChange(account("fine", ids["fine"]), {"rank": 1}),
        FieldChange(account("wide", ids["wide"]), {"rank": 2**40}),
    ]

    with pytest.raises(BatchRejectedError, match="out of range"):
        odoo.write(changes)

    assert standing(odoo, account("fine")).fields["rank"] is None


def test_a_partner_that_is_gone_refuses_its_batch(odoo: OdooTarget, database: Any) -> None:
    ids = database.partners("here")
    changes = [
        FieldChange(account("here", ids["here"]), {"rank": 1}),
        FieldChange(account("gone", "999999"), {"rank": 2}),
    ]

    with pytest.raises(BatchRejectedError, match="does not exist"):
        odoo.write(changes)


def test_when_new_rows_are_made_a_bad_old_one_is_told_by_itself(
    odoo: OdooTarget, database: Any
) -> None:
    ids = database.partners("mixed")
    old = made(odoo, deal("mixed", ids["mixed"]), DEAL)
    bad = deal("mixed", ids["mixed"], crm_id=old)
    new = deal("mixed", ids["mixed"], 2)

    answers = odoo.write([FieldChange(bad, {"expected_close_date": "no"}), FieldChange(new, DEAL)])

    assert isinstance(answers[0], Rejected)
    assert isinstance(answers[1], Applied)


def test_an_id_that_is_none_of_odoos_is_refused_by_itself(odoo: OdooTarget, database: Any) -> None:
    ids = database.partners("numbered")
    changes = [
        FieldChange(account("crm", "00Q5e"), {"rank": 1}),
        FieldChange(account("numbered", ids["numbered"]), {"rank": 2}),
    ]

    answers = odoo.write(changes)

    assert isinstance(answers[0], Rejected)
    assert answers[1] == Applied(ids["numbered"])


def test_keys_may_hold_any_sign(odoo: OdooTarget, database: Any) -> None:
    name = "ä b/c.d %s:'\"(☂)"
    partner = database.partners(name)[name]

    lead = made(odoo, deal(name, partner), DEAL)

    assert standing(odoo, deal(name, partner)).crm_id == lead
    assert made(odoo, deal(name, partner), DEAL) == lead


def test_what_humans_worked_on_is_told(odoo: OdooTarget, database: Any) -> None:
    ids = database.partners("talked", "moved", "won", "lost", "idle")
    leads = {name: int(made(odoo, deal(name, ids[name]), DEAL)) for name in ids if name != "talked"}
    task = made(odoo, todo("talked", ids["talked"]), TODO)
    (stage,) = database.find("crm.stage", [["name", "=", "Qualified"]], ["id"])
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)

    database.call("mail.activity", "action_done", ids=[int(task)])
    database.call("crm.lead", "write", ids=[leads["moved"]], vals={"stage_id": stage["id"]})
    database.call("crm.lead", "action_set_won", ids=[leads["won"]])
    database.call("crm.lead", "action_set_lost", ids=[leads["lost"]])

    told = [item for item in odoo.fetch_human_touches(yesterday) if item.account_id in ids]
    assert told == [
        HumanTouch("lost", today, "opportunity lost"),
        HumanTouch("moved", today, "opportunity moved to Qualified"),
        HumanTouch("talked", today, "task done"),
        HumanTouch("won", today, "opportunity won"),
    ]
    assert odoo.fetch_human_touches(today + timedelta(days=1)) == []


def test_the_look_before_names_accounts_without_a_partner(odoo: OdooTarget, database: Any) -> None:
    ids = database.partners("sole", "shared")
    database.partners("double")
    database.partners("double")
    refs = [
        account("sole"),
        account("nobody"),
        account("double"),
        account("shared"),
        account("sharer", ids["shared"]),
    ]

    findings = {finding.subject: finding for finding in odoo.preflight(refs)}

    unwell = {about: finding.examples for about, finding in findings.items() if not finding.passed}
    assert unwell == {
        "accounts without a partner": ("nobody",),
        "accounts with several partners": ("double",),
        "partners of several accounts": ("shared", "sharer"),
    }


def test_a_key_that_is_not_valid_is_told_in_words(database: Any) -> None:
    target = database.odoo()
    target._client._http.headers["Authorization"] = "bearer nonsense"

    (finding,) = target.check([])

    assert not finding.well
    assert "does not know the API key" in finding.words
    with pytest.raises(AccessDeniedError, match="API key"):
        target.read([account("a")])


def test_a_database_that_is_not_there_is_told_in_words(database: Any) -> None:
    client = database.client("sender")
    client._http.headers["X-Odoo-Database"] = "nowhere"

    with pytest.raises(AccessDeniedError, match="expected Odoo's JSON-2 API"):
        client.call("res.users", "context_get")


def test_setup_by_a_user_without_rights_is_denied(odoo: OdooTarget) -> None:
    admin_only = odoo._client

    with pytest.raises(AccessDeniedError, match="denies"):
        admin_only.call("ir.model.fields", "create", vals_list=[{"name": "x_expansion_no"}])


def test_before_setup_the_look_says_what_is_missing_and_after_it_all_is_there(
    new_database: Callable[[str], Any],
) -> None:
    bare = new_database("bare")
    admin = bare.odoo("admin")

    before = [finding.about for finding in admin.check([]) if not finding.well]
    first, second = admin.setup(), admin.setup()

    assert before == ["Contacts (res.partner)", "CRM (crm.lead)", "Discuss (mail.activity)"]
    assert len(first) > 50
    assert second == []
    assert all(finding.well for finding in bare.odoo("sender").check([]))
