"""The Salesforce target with the real client and sender, over HTTP, against a fake org."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.delivery import SalesforceConfig
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
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.field_mapping import (
    SOBJECTS,
    SalesforceFieldMapping,
    normalize_record_id,
)
from serving.delivery.crm.salesforce.provision import build_field_type, format_label
from tests.fakes.desired_objects import FIRST_MONDAY as MONDAY
from tests.fakes.field_values import value_of
from tests.fakes.salesforce.org import build_standard_fields, check_json, parse_field, to_stored
from tests.fakes.salesforce.server import SalesforceServer
from tests.integration.salesforce.company import Company, build_config

FIELD_MAPPING = SalesforceFieldMapping.from_config(SalesforceConfig(create_accounts=True))
CreateCompany = Callable[[int], Company]


def count_writes(server: SalesforceServer) -> int:
    return sum(count for name, count in server.call_counts.items() if name.startswith("PATCH"))


# -- written values ------------------------------------------------------------------------------


def test_all_values_of_a_list_are_written_once(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(300)

    summary = company.run_sender()
    calls, written = server.calls, count_writes(server)
    second, full = company.run_sender(), company.run_sender(resync=True)

    assert summary.written == 412
    assert (summary.rejected, summary.waiting_for_parent, summary.remaining) == (0, 0, 0)
    assert company.find_problems() == []
    assert written == 4  # two calls of accounts, one of opportunities, one of tasks
    assert (second.written, full.written, count_writes(server)) == (0, 0, written)
    assert server.calls - calls <= 2 + 6  # human touches; with resync also the remote values


def test_an_opportunity_has_all_required_fields_and_the_csm_as_owner(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(8)

    company.run_sender()

    [deal] = server.org.find_by_key("Opportunity", "acc_00008:seats:1")
    [task] = server.org.find_by_key("Task", "acc_00008:seats:1:talk")
    [qbr] = server.org.find_by_key("Task", "acc_00001:seats:1:talk")
    assert deal["AccountId"] == company.ids["acc_00008"]
    assert (deal["StageName"], deal["Type"]) == ("Prospecting", "Expansion")
    days = {str(MONDAY + timedelta(days=after)) for after in (40, 60)}
    assert deal["CloseDate"] in days
    assert deal["OwnerId"] == task["OwnerId"] == company.csms["cleo@acme.example"]
    assert (task["WhatId"], qbr["WhatId"]) == (deal["Id"], company.ids["acc_00001"])


def test_without_an_active_csm_user_the_account_owner_gets_the_work(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(8)
    org = server.org
    anna = org.add("User", Email="anna@acme.example", IsActive=True)
    org.edit("Account", company.ids["acc_00008"], OwnerId=anna)
    org.edit("User", company.csms["cleo@acme.example"], IsActive=False)

    company.run_sender()

    [deal] = org.find_by_key("Opportunity", "acc_00008:seats:1")
    assert deal["OwnerId"] == anna


# -- human edits ---------------------------------------------------------------------------------


def test_a_new_week_writes_the_changes_and_preserves_edits_by_humans(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(16)
    company.run_sender()
    [deal] = server.org.find_by_key("Opportunity", "acc_00008:seats:1")
    server.org.edit("Account", company.ids["acc_00003"], Expansion_Rank__c=99)
    server.org.edit("Opportunity", deal["Id"], Amount=123.0, StageName="Negotiation/Review")

    company.replace_desired_objects(week=1)
    summary = company.run_sender(resync=True)

    assert summary.updated["account"] == 16
    assert not summary.created
    assert summary.human_fields == 2
    assert (deal["Amount"], deal["StageName"]) == (123.0, "Negotiation/Review")
    human_edits = frozenset({("acc_00003", "rank"), ("acc_00008:seats:1", "amount")})
    assert company.find_problems(human_edits=human_edits) == []


def test_an_open_opportunity_of_a_human_is_adopted_and_only_empty_fields_are_filled(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(16)
    values = {"Type": "Expansion", "CloseDate": "2026-09-01", "AccountId": company.ids["acc_00008"]}
    add = server.org.add
    values |= {"StageName": "Prospecting"}
    closed = add(
        "Opportunity", Name="old", **values | {"StageName": "Closed Lost", "IsClosed": True}
    )
    other = add("Opportunity", Name="renewal", **values | {"Type": "Renewal"})
    limit = add("Opportunity", Name="of usage", **values | {"Expansion_Limit__c": "usage"})
    adopted = add("Opportunity", Name="Their deal", Amount=7.0, **values)

    summary = company.run_sender()
    second = company.run_sender(resync=True)

    deal = server.org.records["Opportunity"][adopted]
    assert summary.adopted == 1
    assert len(server.org.records["Opportunity"]) == 4 + 1
    assert (deal["Name"], deal["Amount"], deal["CloseDate"]) == ("Their deal", 7.0, "2026-09-01")
    assert deal["Expansion_State__c"] == "open"
    assert deal["Expansion_Key__c"] == "acc_00008:seats:1"
    assert second.written == 0
    for identity in (closed, other, limit):
        assert server.org.records["Opportunity"][identity]["Expansion_Key__c"] is None


def test_a_record_deleted_by_a_human_is_not_recreated(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(8)
    company.run_sender()
    [task] = server.org.find_by_key("Task", "acc_00008:seats:1:talk")
    server.org.delete("Task", task["Id"])

    company.replace_desired_objects(week=1)
    summary = company.run_sender(resync=True)

    assert summary.deleted_in_crm == 1
    assert server.org.find_by_key("Task", "acc_00008:seats:1:talk") == []


def test_human_touches_are_reported_by_account(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(16)
    company.run_sender()
    org, moved = server.org, str(MONDAY + timedelta(days=2))
    org.now = f"{moved}T09:30:00.000+0000"
    [task] = org.find_by_key("Task", "acc_00001:seats:1:talk")
    [deal] = org.find_by_key("Opportunity", "acc_00008:seats:1")
    [won] = org.find_by_key("Opportunity", "acc_00016:seats:1")
    org.edit("Task", task["Id"], Status="Completed")
    org.edit("Opportunity", deal["Id"], StageName="Negotiation/Review")
    org.edit("Opportunity", won["Id"], StageName="Closed Won")

    target, on = company.open_target(), MONDAY + timedelta(days=2)

    assert target.fetch_human_touches(MONDAY) == [
        HumanTouch("acc_00001", on, "task done"),
        HumanTouch("acc_00008", on, "opportunity moved to Negotiation/Review"),
        HumanTouch("acc_00016", on, "opportunity won"),
    ]
    assert target.fetch_human_touches(on + timedelta(days=1)) == []


def test_a_stage_changed_while_a_response_is_lost_is_preserved(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(8)
    target = company.open_target()
    parent = {"account_crm_id": company.ids["acc_00008"]}
    ref = ObjectRef("opportunity", "acc_00008:seats:1", "acc_00008", "seats", **parent)
    change = FieldChange(ref, {"name": "A deal", "state": "open"})
    target.read([ref])
    server.fault = lambda _: "reset after" if count_writes(server) else None

    with pytest.raises(RetryableError):
        target.write([change])
    server.fault = lambda _: None
    [deal] = server.org.find_by_key("Opportunity", ref.key)
    server.org.edit(
        "Opportunity", deal["Id"], StageName="Negotiation/Review", CloseDate="2026-12-24"
    )
    answers = target.write([change])

    assert answers == [Applied(deal["Id"])]
    assert (deal["StageName"], deal["CloseDate"]) == ("Negotiation/Review", "2026-12-24")
    assert server.org.created_counts["Opportunity"] == 1


# -- account matching ----------------------------------------------------------------------------


def test_an_account_found_by_record_id_gets_our_account_id(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(1)
    bare = server.org.add("Account", Name="Bare")
    target = company.open_target()
    ref = ObjectRef("account", "acc_x", "acc_x", crm_id=bare[:15])

    [remote] = target.read([ref])
    assert remote is not None
    target.write([FieldChange(replace(ref, crm_id=remote.crm_id), {"rank": 3})])

    record = server.org.records["Account"][bare]
    assert (record["Expansion_Account_Id__c"], record["Expansion_Rank__c"]) == ("acc_x", 3)


def test_an_unmatched_account_is_rejected_and_nothing_is_created(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(9)
    org = server.org
    org.edit("Account", company.ids["acc_00008"], Expansion_Account_Id__c=None)
    before = len(org.records["Account"])

    summary = company.run_sender()

    assert (summary.rejected, summary.waiting_for_parent) == (1, 2)
    assert len(org.records["Account"]) == before


def test_accounts_are_created_if_enabled(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(9)
    org = server.org
    org.creatable.add("Account")
    org.edit("Account", company.ids["acc_00008"], Expansion_Account_Id__c=None)

    summary = company.run_sender(create_accounts=True)

    assert (summary.rejected, summary.created["account"]) == (0, 1)
    [new] = [r for r in org.records["Account"].values() if r["Name"] == "Company acc_00008"]
    assert new["Expansion_Account_Id__c"] == "acc_00008"


def test_a_custom_field_may_hold_the_account_ids_and_an_ambiguous_one_is_rejected(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(3)
    first = server.org.add("Account", Name="One", Product_Id__c="p-1")
    both = [server.org.add("Account", Name=name, Product_Id__c="p-2") for name in ("Two", "Three")]
    target = company.open_target(match="Product_Id__c")
    refs = [ObjectRef("account", key, key) for key in ("p-1", "p-2", "p-3")]

    one, two, three = target.read(refs)
    results = target.write([FieldChange(refs[1], {"rank": 1})])

    assert one is not None
    assert (one.crm_id, two, three) == (first, None, None)
    assert results == [
        Rejected(
            f"2 accounts have Product_Id__c = p-2 ({', '.join(both)}); clear it in all but one, or"
            " merge them"
        )
    ]


# -- errors --------------------------------------------------------------------------------------


def test_only_locked_rows_are_written_again(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(40)
    for place in (3, 8, 17):
        server.org.locked[company.ids[f"acc_{place:05}"]] = 2
    batch_sizes: list[int] = []
    update = server.org.update
    server.org.update = lambda records: (batch_sizes.append(len(records)), update(records))[1]  # type: ignore[method-assign]

    summary = company.run_sender()

    assert company.find_problems() == []
    assert batch_sizes == [40, 3, 3]
    assert summary.failures >= 2


def test_a_row_rejected_by_a_validation_rule_is_stored_and_the_rest_is_written(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(20)
    server.org.validation.add("acc_00008: more seats")

    summary = company.run_sender()

    assert (summary.rejected, summary.waiting_for_parent) == (1, 1)
    assert summary.written == 20 + 1 + 4
    with company.engine.connect() as connection:
        reason = connection.exec_driver_sql("SELECT reason FROM rejected_objects").scalar_one()
    assert reason == "FIELD_CUSTOM_VALIDATION_EXCEPTION: Please see the admin"


def test_an_expired_session_is_renewed(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(3)
    target = company.open_target()
    target.preflight([])
    server.tokens.clear()

    remote = target.read([ObjectRef("account", "acc_00001", "acc_00001")])

    assert remote[0] is not None
    assert server.logins == 3  # provision, preflight, read


def test_a_wrong_secret_is_reported(server: SalesforceServer) -> None:
    config = build_config(server.url, client_secret="wrong")  # noqa: S106
    client = SalesforceClient(config)

    with pytest.raises(AccessDeniedError, match=r"denies the login \(invalid_client: .*\); check"):
        client.query("SELECT Id FROM Account")
    assert "wrong" not in repr(client) + repr(config)


def test_an_expired_token_is_reported(server: SalesforceServer) -> None:
    client = SalesforceClient(build_config(server.url, access_token="old"))  # noqa: S106

    with pytest.raises(AccessDeniedError, match="fetch a new token"):
        client.query("SELECT Id FROM Account")


def test_sending_stops_at_the_daily_share_and_resumes_the_next_day(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(300)
    server.daily_limit = (server.calls + 4) * 2

    with pytest.raises(DeliveryError, match=r"stops at 50% of them .*the next run continues"):
        company.run_sender()
    assert server.calls <= server.daily_limit // 2 + 1
    server.daily_limit = 100_000
    company.run_sender()

    assert company.find_problems() == []


def test_an_exhausted_request_limit_is_reported(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(10)
    server.daily_limit = server.calls

    with pytest.raises(DeliveryError, match="daily request limit is reached"):
        company.run_sender()


def test_without_the_package_the_error_says_what_to_do(
    server: SalesforceServer, tmp_path: Any, engine: Any
) -> None:
    company = Company(server, engine, tmp_path, 0)
    target = company.open_target()

    with pytest.raises(AccessDeniedError, match="run expansion crm setup, and assign"):
        target.read([ObjectRef("account", "a", "a")])
    [_, _, rights, fields] = target.preflight([])
    assert (rights.subject, fields.subject) == ("permissions", "fields")
    assert (rights.passed, fields.passed) == (False, False)
    assert rights.examples == ("Opportunity is not createable",)
    assert "deploy the package" in fields.message


# -- provisioning and preflight -------------------------------------------------------------------


def test_provisioning_writes_a_package_until_it_is_deployed(
    server: SalesforceServer, tmp_path: Any, engine: Any
) -> None:
    company = Company(server, engine, tmp_path, 3)
    target = company.open_target()

    lines = target.provision()
    first = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    target.provision()
    second = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    company.deploy()

    assert "sf project deploy start --metadata-dir package --target-org" in lines[0]
    assert first == second
    assert target.provision() == []
    assert all(finding.passed for finding in target.preflight([]))


def test_preflight_lists_accounts_without_a_record_and_csms_without_a_user(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(3)
    server.org.edit("Account", company.ids["acc_00001"], Expansion_CSM__c="gone@acme.example")
    target = company.open_target(stage="Discovery")

    refs = [ObjectRef("account", key, key) for key in ("acc_00001", "acc_none")]
    refs += [ObjectRef("account", "named", "named", crm_id=company.ids["acc_00002"][:15] + "AAA")]
    refs += [ObjectRef("account", "gone", "gone", crm_id="001000000000999")]
    wrong = {f.subject: f for f in target.preflight(refs) if not f.passed}

    assert set(wrong) == {"stage", "accounts", "owners"}
    assert wrong["accounts"].examples == ("acc_none", "gone")
    assert wrong["owners"].examples == ("gone@acme.example",)
    assert "has no value 'Discovery'" in wrong["stage"].message


# -- size ----------------------------------------------------------------------------------------


def test_a_long_query_is_sent_in_a_body_and_a_long_result_is_paged(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(4)
    server.page_rows = 30
    keys = [f"{'x' * 100}-{n}" for n in range(200)]
    for key in keys:
        server.org.add("Account", Name=key, Expansion_Account_Id__c=key)

    remote = company.open_target().read([ObjectRef("account", key, key) for key in keys])

    assert all(remote)
    assert server.call_counts["POST /composite"] == 1


def test_concurrent_writers_create_each_record_once(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(80)
    refs = [
        ObjectRef("task", f"{account}:seats:1:talk", account, "seats", account_crm_id=crm_id)
        for account, crm_id in company.ids.items()
    ]
    changes = [FieldChange(ref, {"subject": "talk", "state": "open"}) for ref in refs]
    answers: list[Any] = []

    def make() -> None:
        target = company.open_target()
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

    assert server.org.created_counts["Task"] == 80
    assert answers[0] == answers[1] == answers[2]


def test_a_record_created_concurrently_by_another_writer_is_updated(
    create_company: CreateCompany, server: SalesforceServer
) -> None:
    company = create_company(24)
    server.org.concurrent_keys = {"acc_00008:seats:1", "acc_00016:seats:1:talk"}

    summary = company.run_sender()

    assert summary.rejected == 0
    assert company.find_problems() == []
    assert server.org.created_counts == {"Opportunity": 3, "Task": 6}


# -- values --------------------------------------------------------------------------------------

TEXTS = st.text(max_size=400) | st.text("ab \r\n\t\x00\ud800😀…", max_size=400)


TYPES = {"text": TEXTS, "multiline": TEXTS, "date": st.dates().map(str)}


@st.composite
def values(draw: Any) -> tuple[Any, str, Any]:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    name = draw(st.sampled_from(sorted(FIELD_MAPPING.fields[kind])))
    return kind, name, draw(value_of(kind, name, TYPES))


@given(values())
def test_a_normalized_value_survives_a_round_trip(drawn: tuple[Any, str, Any]) -> None:
    kind, name, value = drawn
    column = FIELD_MAPPING.fields[kind][name]
    fields = build_standard_fields()[SOBJECTS[kind]]
    if column.name.endswith("__c"):
        label = format_label(column.name)
        metadata = {"fullName": column.name, "label": label, **build_field_type(column)}
        fields[column.name] = parse_field({tag: str(each) for tag, each in metadata.items()})

    normalized = FIELD_MAPPING.normalize(kind, {name: value})
    [(api_name, sent)] = FIELD_MAPPING.serialize_fields(kind, normalized).items()
    check_json(fields[api_name], sent)
    back = FIELD_MAPPING.deserialize_record(kind, {api_name: to_stored(fields[api_name], sent)})

    assert FIELD_MAPPING.normalize(kind, normalized) == normalized
    assert back[name] == normalized[name]


@given(st.text(st.sampled_from("abcXYZ019"), min_size=12, max_size=12))
def test_a_short_record_id_normalizes_to_its_long_form(tail: str) -> None:
    long = normalize_record_id("account", f"001{tail}")

    assert long is not None
    assert normalize_record_id("account", long) == long
    assert normalize_record_id("opportunity", long) is None
