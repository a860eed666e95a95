"""Salesforce as a target: the real client and sender, over HTTP, against an org's rules."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DeliveryError
from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    FieldChange,
    HumanTouch,
    ObjectRef,
    Rejected,
    RetryableError,
)
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.salesforce.client import SalesforceClient, SalesforceCredentials
from serving.delivery.crm.salesforce.field_mapping import (
    SalesforceFieldMapping,
    normalize_record_id,
)
from tests.salesforce.company import MONDAY, Company
from tests.salesforce.org import _check_json, _field, _standard, _stored
from tests.salesforce.server import Server

NAMES = SalesforceFieldMapping.from_config({}, create_accounts=True)
Made = Callable[[int], Company]


def writes(server: Server) -> int:
    return sum(count for name, count in server.seen.items() if name.startswith("PATCH"))


# -- what is delivered ---------------------------------------------------------------------------


def test_a_list_arrives_value_by_value_and_is_not_written_twice(
    company: Made, server: Server
) -> None:
    made = company(300)

    sent = made.send()
    calls, written = server.calls, writes(server)
    again, full = made.send(), made.send(full=True)

    assert (sent.written, sent.rejected, sent.waiting, sent.left) == (412, 0, 0, 0)
    assert made.judge() == []
    assert written == 4  # two calls of accounts, one of opportunities, one of tasks
    assert (again.written, full.written, writes(server)) == (0, 0, written)
    assert server.calls - calls <= 2 + 6  # who was worked; and with full, what stands there


def test_a_new_week_writes_what_has_changed(company: Made) -> None:
    made = company(50)
    made.send()

    made.put(week=1)
    sent = made.send()

    assert made.judge() == []
    assert sum(sent.changed.values()) >= 50
    assert not sent.made


def test_an_opportunity_has_all_that_salesforce_wants_and_its_owner_is_the_csm(
    company: Made, server: Server
) -> None:
    made = company(8)

    made.send()

    [deal] = server.org.keyed("Opportunity", "acc_00008:seats:1")
    [task] = server.org.keyed("Task", "acc_00008:seats:1:talk")
    [qbr] = server.org.keyed("Task", "acc_00001:seats:1:talk")
    assert deal["AccountId"] == made.ids["acc_00008"]
    assert (deal["StageName"], deal["Type"]) == ("Prospecting", "Expansion")
    days = {str(MONDAY + timedelta(days=after)) for after in (40, 60)}
    assert deal["CloseDate"] in days
    assert deal["OwnerId"] == task["OwnerId"] == made.csms["cleo@acme.example"]
    assert (task["WhatId"], qbr["WhatId"]) == (deal["Id"], made.ids["acc_00001"])


def test_work_of_a_csm_who_is_no_user_goes_to_the_owner_of_the_account(
    company: Made, server: Server
) -> None:
    made = company(8)
    org = server.org
    anna = org.add("User", Email="anna@acme.example", IsActive=True)
    org.edit("Account", made.ids["acc_00008"], OwnerId=anna)
    org.edit("User", made.csms["cleo@acme.example"], IsActive=False)

    made.send()

    [deal] = org.keyed("Opportunity", "acc_00008:seats:1")
    assert deal["OwnerId"] == anna


# -- humans --------------------------------------------------------------------------------------


def test_what_a_human_edits_stays(company: Made, server: Server) -> None:
    made = company(16)
    made.send()
    [deal] = server.org.keyed("Opportunity", "acc_00008:seats:1")
    server.org.edit("Account", made.ids["acc_00003"], Expansion_Rank__c=99)
    server.org.edit("Opportunity", deal["Id"], Amount=123.0, StageName="Negotiation/Review")

    made.put(week=1)
    sent = made.send(full=True)

    assert sent.theirs == 2
    assert (deal["Amount"], deal["StageName"]) == (123.0, "Negotiation/Review")
    theirs = frozenset({("acc_00003", "rank"), ("acc_00008:seats:1", "amount")})
    assert made.judge(but=theirs) == []


def test_an_open_opportunity_of_a_human_is_adopted_and_only_what_is_empty_is_filled(
    company: Made, server: Server
) -> None:
    made = company(16)
    told = {"Type": "Expansion", "CloseDate": "2026-09-01", "AccountId": made.ids["acc_00008"]}
    add = server.org.add
    closed = add("Opportunity", Name="old", StageName="Closed Lost", IsClosed=True, **told)
    other = add(
        "Opportunity", Name="renewal", StageName="Prospecting", **told | {"Type": "Renewal"}
    )
    usage = told | {"Expansion_Limit__c": "usage"}
    limit = add("Opportunity", Name="of another limit", StageName="Prospecting", **usage)
    theirs = add("Opportunity", Name="Their deal", StageName="Prospecting", Amount=7.0, **told)

    sent = made.send()
    again = made.send(full=True)

    deal = server.org.records["Opportunity"][theirs]
    assert sent.adopted == 1
    assert len(server.org.records["Opportunity"]) == 4 + 1
    assert (deal["Name"], deal["Amount"], deal["CloseDate"]) == ("Their deal", 7.0, "2026-09-01")
    assert deal["Expansion_State__c"] == "open"
    assert deal["Expansion_Key__c"] == "acc_00008:seats:1"
    assert again.written == 0
    for identity in (closed, other, limit):
        assert server.org.records["Opportunity"][identity]["Expansion_Key__c"] is None


def test_what_a_human_deletes_is_not_made_again(company: Made, server: Server) -> None:
    made = company(8)
    made.send()
    [task] = server.org.keyed("Task", "acc_00008:seats:1:talk")
    server.org.delete("Task", task["Id"])

    made.put(week=1)
    sent = made.send(full=True)

    assert sent.gone == 1
    assert server.org.keyed("Task", "acc_00008:seats:1:talk") == []


def test_it_tells_which_accounts_humans_have_dealt_with(company: Made, server: Server) -> None:
    made = company(16)
    made.send()
    org, moved = server.org, str(MONDAY + timedelta(days=2))
    org.now = f"{moved}T09:30:00.000+0000"
    [task] = org.keyed("Task", "acc_00001:seats:1:talk")
    [deal] = org.keyed("Opportunity", "acc_00008:seats:1")
    [won] = org.keyed("Opportunity", "acc_00016:seats:1")
    org.edit("Task", task["Id"], Status="Completed")
    org.edit("Opportunity", deal["Id"], StageName="Negotiation/Review")
    org.edit("Opportunity", won["Id"], StageName="Closed Won")

    target, on = made.target(), MONDAY + timedelta(days=2)

    assert target.fetch_human_touches(MONDAY) == [
        HumanTouch("acc_00001", on, "task done"),
        HumanTouch("acc_00008", on, "opportunity moved to Negotiation/Review"),
        HumanTouch("acc_00016", on, "opportunity won"),
    ]
    assert target.fetch_human_touches(on + timedelta(days=1)) == []


def test_a_stage_that_is_moved_while_an_answer_is_lost_stays_moved(
    company: Made, server: Server
) -> None:
    made = company(8)
    target = made.target()
    ref = ObjectRef("opportunity", "acc_00008:seats:1", "acc_00008", "seats")
    ref = ObjectRef(*_parts(ref), account_crm_id=made.ids["acc_00008"])
    change = FieldChange(ref, {"name": "A deal", "state": "open"})
    target.read([ref])
    server.fault = lambda _: "reset after" if writes(server) else None

    with pytest.raises(RetryableError):
        target.write([change])
    server.fault = lambda _: None
    [deal] = server.org.keyed("Opportunity", ref.key)
    server.org.edit(
        "Opportunity", deal["Id"], StageName="Negotiation/Review", CloseDate="2026-12-24"
    )
    answers = target.write([change])

    assert answers == [Applied(deal["Id"])]
    assert (deal["StageName"], deal["CloseDate"]) == ("Negotiation/Review", "2026-12-24")
    assert server.org.made["Opportunity"] == 1


def _parts(ref: ObjectRef) -> tuple[Any, ...]:
    return ref.kind, ref.key, ref.account_id, ref.limit


# -- which account is which ----------------------------------------------------------------------


def test_an_account_is_known_by_its_record_id_and_then_carries_ours(
    company: Made, server: Server
) -> None:
    made = company(1)
    bare = server.org.add("Account", Name="Bare")
    target = made.target()
    ref = ObjectRef("account", "acc_x", "acc_x", crm_id=bare[:15])

    [found] = target.read([ref])
    assert found is not None
    target.write(
        [FieldChange(ObjectRef("account", "acc_x", "acc_x", crm_id=found.crm_id), {"rank": 3})]
    )

    record = server.org.records["Account"][bare]
    assert (record["Expansion_Account_Id__c"], record["Expansion_Rank__c"]) == ("acc_x", 3)


def test_an_account_that_matches_none_or_several_is_refused_in_words_and_nothing_is_made(
    company: Made, server: Server
) -> None:
    made = company(9)
    org = server.org
    org.edit("Account", made.ids["acc_00008"], Expansion_Account_Id__c=None)
    before = len(org.records["Account"])

    sent = made.send()

    assert (sent.rejected, sent.waiting, len(org.records["Account"])) == (1, 2, before)
    target = made.target()
    target._reader.ambiguous["acc_00008"] = ["001A", "001B"]
    ref = ObjectRef("account", "acc_00008", "acc_00008")
    told = target.write([FieldChange(ref, {"rank": 1})])
    assert told == [
        Rejected(
            "2 accounts have Expansion_Account_Id__c = acc_00008 (001A, 001B); clear it in all but"
            " one, or merge them"
        )
    ]


def test_accounts_are_made_where_the_settings_say_so(company: Made, server: Server) -> None:
    made = company(9)
    org = server.org
    org.may_make.add("Account")
    org.edit("Account", made.ids["acc_00008"], Expansion_Account_Id__c=None)

    sent = made.send(accounts=True)

    assert (sent.rejected, sent.made["account"]) == (0, 1)
    [new] = [r for r in org.records["Account"].values() if r["Name"] == "Account 8"]
    assert new["Expansion_Account_Id__c"] == "acc_00008"


def test_another_field_may_hold_the_ids_of_accounts(company: Made, server: Server) -> None:
    made = company(3)
    first = server.org.add("Account", Name="One", Product_Id__c="p-1")
    for name in ("Two", "Three"):
        server.org.add("Account", Name=name, Product_Id__c="p-2")
    target = made.target()
    object.__setattr__(target._reader, "match", "Product_Id__c")

    one, two, three = target.read([ObjectRef("account", key, key) for key in ("p-1", "p-2", "p-3")])

    assert one is not None
    assert (one.crm_id, two, three) == (first, None, None)
    assert list(target._reader.ambiguous) == ["p-2"]


# -- what Salesforce complains of ----------------------------------------------------------------


def test_a_locked_row_is_written_again_and_the_others_are_not(
    company: Made, server: Server
) -> None:
    made = company(40)
    for place in (3, 8, 17):
        server.org.locked[made.ids[f"acc_{place:05}"]] = 2
    told: list[int] = []
    update = server.org.update
    server.org.update = lambda records: (told.append(len(records)), update(records))[1]  # type: ignore[method-assign]

    sent = made.send()

    assert made.judge() == []
    assert told == [40, 3, 3]
    assert sent.failures >= 2


def test_a_row_that_a_rule_refuses_is_kept_with_its_words_and_the_rest_arrives(
    company: Made, server: Server
) -> None:
    made = company(20)
    server.org.validation.add("acc_00008: more seats")

    sent = made.send()

    assert (sent.rejected, sent.waiting) == (1, 1)
    assert sent.written == 20 + 1 + 4
    with made.engine.connect() as connection:
        words = connection.exec_driver_sql("SELECT words FROM rejected").scalar_one()
    assert words == "FIELD_CUSTOM_VALIDATION_EXCEPTION: Please see the admin"


def test_a_session_that_has_run_out_is_opened_once_more(company: Made, server: Server) -> None:
    made = company(3)
    target = made.target()
    target.preflight([])
    server.tokens.clear()

    found = target.read([ObjectRef("account", "acc_00001", "acc_00001")])

    assert found[0] is not None
    assert server.logins == 3  # setup, check, and now


def test_a_wrong_secret_is_said_in_one_sentence(server: Server) -> None:
    client = SalesforceClient(SalesforceCredentials(server.url, "an-id", "wrong"))

    with pytest.raises(
        AccessDeniedError, match=r"does not let us in \(invalid_client: .*\); look at"
    ):
        client.query("SELECT Id FROM Account")
    assert "wrong" not in repr(client) + repr(client._credentials)


def test_a_token_that_has_run_out_is_said_in_one_sentence(server: Server) -> None:
    client = SalesforceClient(SalesforceCredentials(server.url, token="old"))  # noqa: S106

    with pytest.raises(AccessDeniedError, match="fetch a new token"):
        client.query("SELECT Id FROM Account")


def test_the_days_last_requests_are_left_to_others_and_the_next_day_goes_on(
    company: Made, server: Server
) -> None:
    made = company(300)
    server.daily = (server.calls + 4) * 2

    with pytest.raises(DeliveryError, match=r"we stop at 50% of them .*the next run goes on"):
        made.send()
    assert server.calls <= server.daily // 2 + 1
    server.daily = 100_000
    made.send()

    assert made.judge() == []


def test_an_org_without_requests_left_stops_us_with_words(company: Made, server: Server) -> None:
    made = company(10)
    server.daily = server.calls

    with pytest.raises(DeliveryError, match="no more requests in these 24 hours"):
        made.send()


def test_without_the_package_it_says_what_to_do(server: Server, tmp_path: Any, engine: Any) -> None:
    made = Company(server, engine, tmp_path, 0)
    target = made.target()

    with pytest.raises(AccessDeniedError, match="run expansion crm setup, and give our user"):
        target.read([ObjectRef("account", "a", "a")])
    [_, _, rights, fields] = target.preflight([])
    assert (rights.subject, rights.passed, rights.examples) == (
        "rights",
        False,
        ("Opportunity is not createable",),
    )
    assert (fields.subject, fields.passed) == ("fields", False)
    assert "deploy what it writes" in fields.message


# -- setup and check -----------------------------------------------------------------------------


def test_setup_writes_a_package_once_and_has_nothing_to_do_when_it_is_deployed(
    server: Server, tmp_path: Any, engine: Any
) -> None:
    made = Company(server, engine, tmp_path, 3)
    target = made.target()

    told = target.provision()
    first = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    target.provision()
    second = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    made.deploy()

    assert "sf project deploy start --metadata-dir package --target-org" in told[0]
    assert first == second
    assert target.provision() == []
    assert all(finding.passed for finding in target.preflight([]))


def test_check_names_the_accounts_without_a_record_and_the_csms_without_a_user(
    company: Made, server: Server
) -> None:
    made = company(3)
    server.org.edit("Account", made.ids["acc_00001"], Expansion_CSM__c="gone@acme.example")
    target = made.target(stage="Discovery")

    refs = [ObjectRef("account", key, key) for key in ("acc_00001", "acc_none")]
    refs += [ObjectRef("account", "named", "named", crm_id=made.ids["acc_00002"][:15] + "AAA")]
    refs += [ObjectRef("account", "gone", "gone", crm_id="001000000000999")]
    wrong = {f.subject: f for f in target.preflight(refs) if not f.passed}

    assert set(wrong) == {"stage", "accounts", "owners"}
    assert wrong["accounts"].examples == ("acc_none", "gone")
    assert wrong["owners"].examples == ("gone@acme.example",)
    assert "offers no 'Discovery'" in wrong["stage"].message


# -- size ----------------------------------------------------------------------------------------


def test_a_long_query_goes_in_a_body_and_a_long_answer_comes_in_pages(
    company: Made, server: Server
) -> None:
    made = company(4)
    server.page_rows = 30
    keys = [f"{'x' * 100}-{n}" for n in range(200)]
    for key in keys:
        server.org.add("Account", Name=key, Expansion_Account_Id__c=key)

    found = made.target().read([ObjectRef("account", key, key) for key in keys])

    assert all(found)
    assert server.seen["POST /composite"] == 1


def test_two_who_make_the_same_at_once_make_it_once(company: Made, server: Server) -> None:
    made = company(80)
    refs = [
        ObjectRef(
            "task",
            f"acc_{n:05}:seats:1:talk",
            f"acc_{n:05}",
            "seats",
            None,
            made.ids[f"acc_{n:05}"],
        )
        for n in range(1, 81)
    ]
    changes = [FieldChange(ref, {"subject": "talk", "state": "open"}) for ref in refs]
    answers: list[Any] = []

    def make() -> None:
        target = made.target()
        target.read(refs)
        barrier.wait()
        for _ in range(3):
            try:
                answers.append(target.write(changes))
                return
            except RetryableError:
                continue

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert server.org.made["Task"] == 80
    assert answers[0] == answers[1] == answers[2]


def test_what_another_makes_at_the_same_moment_is_found_and_set(
    company: Made, server: Server
) -> None:
    made = company(24)
    server.org.racing = {"acc_00008:seats:1", "acc_00016:seats:1:talk"}

    sent = made.send()

    assert sent.rejected == 0
    assert made.judge() == []
    assert server.org.made == {"Opportunity": 3, "Task": 6}


# -- values --------------------------------------------------------------------------------------

TEXTS = st.text(max_size=400) | st.text("ab \r\n\t\x00\ud800😀…", max_size=400)


def _values(kind: str) -> st.SearchStrategy[Any]:
    return {
        "text": TEXTS,
        "lines": TEXTS,
        "number": st.floats(-1e9, 1e9),
        "whole": st.integers(-(10**9), 10**9),
        "flag": st.booleans(),
        "day": st.dates().map(str),
    }[kind]


@st.composite
def values(draw: Any) -> tuple[Any, str, Any]:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    name = draw(st.sampled_from(sorted(NAMES.fields[kind])))
    return kind, name, draw(st.none() | _values(FIELDS[kind][name].type))


@given(values())
def test_a_shaped_value_comes_back_from_salesforce_as_it_is(drawn: tuple[Any, str, Any]) -> None:
    kind, name, value = drawn
    column = NAMES.fields[kind][name]
    theirs = _standard()[{"account": "Account", "opportunity": "Opportunity", "task": "Task"}[kind]]
    if column.name.endswith("__c"):
        from serving.delivery.crm.salesforce.provision import build_field_type, format_label  # noqa: PLC0415

        told = {
            "fullName": column.name,
            "label": format_label(column.name),
            **build_field_type(column),
        }
        theirs[column.name] = _field(
            {
                key: str(each).lower() if isinstance(each, bool) else str(each)
                for key, each in told.items()
            }
        )

    shaped = NAMES.normalize(kind, {name: value})
    [(api, sent)] = NAMES.serialize_fields(kind, shaped).items()
    _check_json(theirs[api], sent)
    back = NAMES.deserialize_record(kind, {api: _stored(theirs[api], sent)})

    assert NAMES.normalize(kind, shaped) == shaped
    assert back[name] == shaped[name]


@given(st.text(st.sampled_from("abcXYZ019"), min_size=12, max_size=12))
def test_a_short_record_id_and_its_long_form_are_one(tail: str) -> None:
    long = normalize_record_id("account", f"001{tail}")

    assert long is not None
    assert normalize_record_id("account", long) == long
    assert normalize_record_id("opportunity", long) is None
