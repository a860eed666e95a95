"""The HubSpot target over real HTTP, through HubSpot's SDK."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Settings
from data.errors import SettingsError
from serving.delivery.crm import hubspot
from serving.delivery.crm.base import (
    KINDS,
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    Kind,
    ObjectRef,
    Rejected,
    RetryableError,
)
from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.crm.hubspot.client import HubSpotClient, to_error
from serving.delivery.crm.hubspot.field_mapping import FIELD_MAPPING
from tests.fakes.field_values import fields_of
from tests.fakes.hubspot.server import TOKEN, HubSpotServer

ACCOUNT = ObjectRef("account", "acme", "acme")
DEAL = ObjectRef("opportunity", "acme:seats:1", "acme", "seats")
TASK = ObjectRef("task", "acme:seats:1:talk", "acme", "seats")
DEAL_FIELDS = {"name": "Acme: more seats", "state": "open", "limit": "seats", "episode": DEAL.key}
TASK_FIELDS = {
    "subject": "talk",
    "state": "open",
    "due_date": "2026-06-15",
    "notes": "it's <9>\n& more",
    "episode": DEAL.key,
}
TEXT = st.text(max_size=40) | st.sampled_from(["a\nb", " x ", "<b>&amp;", "it's\r\n“9”\x00"])
TYPES = {"text": TEXT, "multiline": TEXT, "integer": st.integers(-(10**9), 10**9)}
CHOICES = {"limit": st.sampled_from(["seats", "usage", "plan", "none"]), "state": st.just("open")}


@given(st.data(), st.sampled_from(KINDS))
def test_normalized_fields_survive_a_round_trip(data: st.DataObject, kind: Kind) -> None:
    desired = data.draw(fields_of(kind, TYPES, **CHOICES))

    normalized = FIELD_MAPPING.normalize(kind, desired)

    assert FIELD_MAPPING.normalize(kind, normalized) == normalized
    back = FIELD_MAPPING.deserialize_record(kind, FIELD_MAPPING.serialize_fields(kind, normalized))
    assert {name: back[name] for name in normalized} == normalized


def test_a_too_long_text_is_truncated_to_hubspots_limit() -> None:
    normalized = FIELD_MAPPING.normalize("task", {"notes": "<&\n" * 40_000})

    assert len(FIELD_MAPPING.serialize_fields("task", normalized)["hs_task_body"]) <= 65_536


def create_company(service: HubSpotServer, **properties: str) -> str:
    return service.portal.create(
        "companies", {"name": "Acme", "expansion_account_id": "acme", **properties}
    )


def list_stages(service: HubSpotServer) -> tuple[str, dict[str, str]]:
    """Return the id of our pipeline, and the ids of its stages by label."""
    pipeline = next(each for each in service.portal.pipelines if each["label"] == "Expansion")
    return pipeline["id"], {stage["label"]: stage["id"] for stage in pipeline["stages"]}


def create_human_deal(service: HubSpotServer, company_id: str, **properties: str) -> str:
    """Create an open deal in our pipeline as a human; a stage is given by its label or id."""
    pipeline, stages = list_stages(service)
    deal = {"dealname": "hers", "pipeline": pipeline, "dealstage": "In conversation", **properties}
    deal["dealstage"] = stages.get(deal["dealstage"], deal["dealstage"])
    return service.portal.create("deals", deal, companies=company_id)


def create_deal_and_task(
    service: HubSpotServer, target: HubSpotTarget
) -> tuple[ObjectRef, ObjectRef, str]:
    """Create a deal and a task of Acme through the target, and return them with the company id."""
    company_id = create_company(service)
    deal = replace(DEAL, account_crm_id=company_id)
    [created] = target.write([FieldChange(deal, DEAL_FIELDS)])
    assert isinstance(created, Applied)
    task = replace(TASK, account_crm_id=company_id, opportunity_crm_id=created.crm_id)
    [remote_task] = target.write([FieldChange(task, TASK_FIELDS)])
    assert isinstance(remote_task, Applied)
    return (
        replace(deal, crm_id=created.crm_id),
        replace(task, crm_id=remote_task.crm_id),
        company_id,
    )


def test_provisioning_is_idempotent(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    target = open_target()

    first, second = target.provision(), target.provision()

    assert len(first) == 49
    assert "property deals.expansion_key (unique, permanent)" in first
    assert second == []
    assert all(finding.passed for finding in target.preflight([]))
    unique = [
        f"{object_type}.{name}"
        for object_type, definitions in service.portal.properties.items()
        for name, definition in definitions.items()
        if definition.get("hasUniqueValue")
    ]
    assert unique == [
        "companies.expansion_account_id",
        "deals.expansion_key",
        "tasks.expansion_key",
    ]


def test_a_conflicting_property_is_reported_and_left_unchanged(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    key = {"name": "expansion_key", "type": "string"}
    conflicting = {**key, "hasUniqueValue": False, "options": []}
    service.portal.properties["deals"]["expansion_key"] = conflicting
    target = open_target()

    with pytest.raises(
        AccessDeniedError, match=r"deals.expansion_key does not have unique values"
    ) as result:
        target.provision()

    assert "they were not changed" in str(result.value)
    assert service.portal.properties["deals"]["expansion_key"] == conflicting
    failures = [finding.message for finding in target.preflight([]) if not finding.passed]
    assert failures == [
        "expansion_key does not have unique values, which cannot be changed after creation"
    ]


def test_a_custom_pipeline_from_the_settings_is_used(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    stages = {
        "open": "Appointment",
        "expanded": "Closed won",
        **dict.fromkeys(["relieved", "expired", "lapsed", "withdrawn"], "Closed lost"),
    }
    target = open_target(pipeline="Sales Pipeline", stages=stages)
    target.provision()
    deal, _, _ = create_deal_and_task(service, target)

    for state, stage in (
        ("relieved", "closedlost"),
        ("withdrawn", "closedlost"),
        ("expanded", "closedwon"),
    ):
        target.write([FieldChange(deal, {"state": state})])

        [remote] = target.read([deal])
        assert remote is not None
        assert remote.fields["state"] == state
        assert service.portal.records["deals"][remote.crm_id].properties["dealstage"] == stage
    assert [each["label"] for each in service.portal.pipelines] == ["Sales Pipeline"]


def test_a_missing_stage_is_reported_with_the_existing_ones(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    with pytest.raises(
        AccessDeniedError, match="'Sales Pipeline' has no stage 'Ready to talk'"
    ) as result:
        open_target(pipeline="Sales Pipeline").provision()

    assert "map the state to one of Appointment, Closed won, Closed lost" in str(result.value)


def test_deals_and_tasks_are_associated_with_their_company_and_read_back_as_written(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    deal, task, company_id = create_deal_and_task(service, target)

    [remote], [remote_task] = target.read([deal]), target.read([task])

    assert remote is not None
    assert remote_task is not None
    assert {name: value for name, value in remote.fields.items() if value} == DEAL_FIELDS
    assert {name: value for name, value in remote_task.fields.items() if value} == TASK_FIELDS
    assert service.portal.associations["deals", "companies"][remote.crm_id] == {company_id}
    assert service.portal.associations["tasks", "companies"][remote_task.crm_id] == {company_id}
    assert service.portal.associations["tasks", "deals"][remote_task.crm_id] == {remote.crm_id}
    # Due at noon UTC: the same day in every time zone.
    due = service.portal.records["tasks"][remote_task.crm_id].properties["hs_timestamp"]
    assert due == "2026-06-15T12:00:00Z"


def test_a_missing_association_of_a_created_record_is_completed_next_time(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    deal, task, _ = create_deal_and_task(service, target)
    service.portal.dissociate("tasks", "deals", task.crm_id or "", deal.crm_id or "")
    unconfirmed = replace(task, crm_id=None)  # the response was lost

    [remote] = target.read([unconfirmed])

    assert remote is not None
    assert remote.fields["episode"] is None
    target.write([FieldChange(replace(task, crm_id=remote.crm_id), {"episode": DEAL.key})])
    assert service.portal.associations["tasks", "deals"][remote.crm_id] == {deal.crm_id}
    assert target.read([unconfirmed])[0].fields["episode"] == DEAL.key  # type: ignore[union-attr]


def test_nothing_is_created_for_a_deleted_company(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    company_id, gone = create_company(service), service.portal.create("companies", {"name": "gone"})
    service.portal.archive("companies", gone)
    other = replace(DEAL, key="b:seats:1", account_id="b", account_crm_id=gone)

    deal = replace(DEAL, account_crm_id=company_id)
    refused, created = target.write([FieldChange(ref, DEAL_FIELDS) for ref in (other, deal)])

    assert refused == Rejected(f"its company {gone} no longer exists in HubSpot.")
    assert isinstance(created, Applied)
    assert list(service.portal.records["deals"]) == [created.crm_id]


def test_an_association_removed_by_a_human_stays_removed(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    deal, _, company_id = create_deal_and_task(service, target)
    service.portal.dissociate("deals", "companies", deal.crm_id or "", company_id)

    [remote] = target.read([deal])

    assert remote is not None
    assert remote.fields["episode"] == DEAL.key


@pytest.mark.parametrize(
    ("csm", "owner"), [("Ada@acme.com", "77"), ("ada lovelace", "77"), ("nobody@acme.com", None)]
)
def test_created_records_are_owned_by_the_csm_of_the_company(
    csm: str, owner: str | None, target: HubSpotTarget, service: HubSpotServer
) -> None:
    person = {"id": "77", "email": "ada@acme.com", "firstName": "Ada", "lastName": "Lovelace"}
    service.portal.owners.append(person)
    company_id = create_company(service, expansion_csm=csm)

    [created] = target.write([FieldChange(replace(DEAL, account_crm_id=company_id), DEAL_FIELDS)])

    assert isinstance(created, Applied)
    stored = service.portal.records["deals"][created.crm_id].properties
    assert stored.get("hubspot_owner_id") == owner


@pytest.mark.parametrize(
    ("deal", "is_found"),
    [
        ({}, True),
        ({"expansion_limit": "seats"}, True),
        ({"expansion_limit": "usage"}, False),
        ({"pipeline": "default", "dealstage": "appointmentscheduled"}, False),
        ({"dealstage": "Lost"}, False),
        ({"expansion_key": "acme:seats:0"}, False),
        ({"expansion_episode": "acme:seats:0"}, False),
        ({"expansion_episode": "acme:seats:1", "dealstage": "Won"}, True),
    ],
)
def test_an_open_deal_of_a_human_about_the_same_limit_is_adopted(
    deal: dict[str, str], is_found: bool, target: HubSpotTarget, service: HubSpotServer
) -> None:
    company_id = create_company(service)
    human_deal = create_human_deal(service, company_id, **deal)

    [remote] = target.read([replace(DEAL, account_crm_id=company_id)])

    assert (remote is not None) == is_found
    if remote is not None:
        found = (remote.crm_id, remote.created_by_us, remote.fields["name"])
        assert found == (human_deal, False, "hers")


def test_all_pages_of_a_companys_deals_are_searched(
    target: HubSpotTarget, service: HubSpotServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fakes.hubspot.operations.ASSOCIATION_PAGE_SIZE", 3)
    company_id = create_company(service)
    for number in range(7):
        service.portal.create("deals", {"dealname": str(number)}, companies=company_id)
    human_deal = create_human_deal(service, company_id)

    [remote] = target.read([replace(DEAL, account_crm_id=company_id)])

    assert remote is not None
    assert remote.crm_id == human_deal


def test_a_company_is_created_only_if_enabled(
    open_target: Callable[..., HubSpotTarget], target: HubSpotTarget, service: HubSpotServer
) -> None:
    change = FieldChange(ACCOUNT, {"name": "Acme", "rank": 1})

    [refused] = target.write([change])
    creating = open_target(create_companies=True)
    [first] = creating.write([change])
    [second] = creating.write([change])

    assert isinstance(refused, Rejected)
    assert "crm.hubspot.create_companies" in refused.reason
    assert first == second
    [stored] = service.portal.records["companies"].values()
    assert (stored.properties["name"], stored.properties["expansion_rank"]) == ("Acme", "1")
    assert "name" not in target.normalize("account", {"name": "Acme"})


def test_a_custom_unique_property_can_hold_the_account_id(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    definition = {"name": "product_id", "type": "string", "hasUniqueValue": True, "options": []}
    service.portal.properties["companies"]["product_id"] = definition
    target = open_target(account_property="product_id")
    target.provision()
    stored = service.portal.create("companies", {"name": "Acme", "product_id": "acme"})

    [remote] = target.read([ACCOUNT])

    assert remote is not None
    assert remote.crm_id == stored
    assert "expansion_account_id" not in service.portal.properties["companies"]


def test_a_rejected_row_does_not_affect_the_others(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    company_id = create_company(service)
    good = FieldChange(replace(ACCOUNT, crm_id=company_id), {"rank": 1})
    gone = FieldChange(ObjectRef("account", "gone", "gone", crm_id="999999"), {"rank": 2})
    other = service.portal.create("companies", {"name": "other"})
    bad = FieldChange(ObjectRef("account", "bad", "bad", crm_id=other), {"limit": "none of these"})

    result = target.write([good, gone, bad])

    assert result[0] == Applied(company_id)
    assert isinstance(result[1], Rejected)
    assert isinstance(result[2], Rejected)
    assert "was not one of the allowed options" in result[2].reason


def test_a_conflict_rejects_the_whole_batch_and_writes_nothing(
    target: HubSpotTarget, service: HubSpotServer, open_target: Callable[..., HubSpotTarget]
) -> None:
    name = "expansion_contact_role"
    definition = {"name": name, "type": "string", "hasUniqueValue": True, "options": []}
    service.portal.properties["companies"][name] = definition
    service.portal.create("companies", {"expansion_contact_role": "taken"})
    company_id = create_company(service)

    other = ObjectRef("account", "b", "b", crm_id=service.portal.create("companies", {}))
    changes = [
        FieldChange(replace(ACCOUNT, crm_id=company_id), {"rank": 1}),
        FieldChange(other, {"contact_role": "taken"}),
    ]

    with pytest.raises(BatchRejectedError, match="already has that value"):
        target.write(changes)

    assert "expansion_rank" not in service.portal.records["companies"][company_id].properties


def test_a_retried_operation_resumes_at_the_failed_step(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    company_id = create_company(service)
    change = FieldChange(replace(DEAL, account_crm_id=company_id), DEAL_FIELDS)
    faults = iter([None, None, None, "503"])  # pipeline, CSM, deal, then the association fails
    service.on_request = lambda _: setattr(service, "fault", next(faults, None))
    service.fault_share = 1.0
    before = service.requests.copy()

    with pytest.raises(RetryableError):
        target.write([change])
    [created] = target.write([change])

    assert isinstance(created, Applied)
    used = service.requests - before
    assert (used["upsert"], used["tie"], used["read"]) == (1, 2, 1)


def test_human_touches_exclude_our_own_writes(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    service.portal.lag_seconds = 0.0
    _, task, company_id = create_deal_and_task(service, target)
    second = replace(DEAL, key="a%3Ab:usage:1", account_crm_id=company_id, account_id="a:b")
    [second_result] = target.write([FieldChange(second, {**DEAL_FIELDS, "episode": second.key})])
    assert isinstance(second_result, Applied)
    target.write([FieldChange(replace(second, crm_id=second_result.crm_id), {"state": "expired"})])
    target.write([FieldChange(task, {"state": "expired"})])
    today = datetime.now(UTC).date()
    assert target.fetch_human_touches(today) == []

    _, stages = list_stages(service)
    service.portal.edit("deals", second_result.crm_id, dealstage=stages["Offer made"])
    target.write([FieldChange(task, {"state": "open"})])
    service.portal.edit("tasks", task.crm_id or "", hs_task_status="COMPLETED")
    result = target.fetch_human_touches(today)

    assert [(each.account_id, each.touched_on, each.activity) for each in result] == [
        ("a:b", today, "opportunity moved"),
        ("acme", today, "task done"),
    ]
    assert target.fetch_human_touches(date(2100, 1, 1)) == []


def test_preflight_names_what_an_administrator_must_do(
    open_target: Callable[..., HubSpotTarget], target: HubSpotTarget, service: HubSpotServer
) -> None:
    create_company(service, expansion_csm="nobody@acme.com")
    service.scopes -= {"crm.objects.owners.read", "crm.schemas.deals.write"}
    accounts = [
        ACCOUNT,
        ObjectRef("account", "core", "core"),
        ObjectRef("account", "dora", "dora", crm_id="x"),
    ]

    result = {finding.subject: finding for finding in target.preflight(accounts)}

    assert result["access token"].examples == ("crm.objects.owners.read",)
    assert not result["access token"].passed
    assert result["companies"].message.startswith("1 of 3 accounts have a company")
    assert result["companies"].examples == ("core", "dora")
    assert "Add the scope(s) crm.objects.owners.read to the token." in result["owners"].message
    service.scopes |= {"crm.objects.owners.read"}
    result = {finding.subject: finding for finding in open_target().preflight(accounts)}
    assert result["access token"].passed
    assert result["owners"].examples == ("nobody@acme.com",)


def test_preflight_reports_a_lower_rate_limit_than_the_plan(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    service.max_calls = 100
    target = open_target()
    target.provision()

    failures = [
        finding.message
        for finding in target.preflight([ACCOUNT])
        if finding.subject == "rate limits"
    ]

    assert failures == ["HubSpot allows 100 calls per 10 s, fewer than crm.hubspot.plan"]


def test_before_provisioning_the_error_names_the_command_to_run(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    company_id = service.portal.create("companies", {"name": "Acme"})

    with pytest.raises(AccessDeniedError, match="expansion crm check"):
        open_target().read([ACCOUNT])
    with pytest.raises(AccessDeniedError, match=r"does not exist.*Run: expansion crm setup"):
        open_target().write([FieldChange(replace(ACCOUNT, crm_id=company_id), {"rank": 1})])
    with pytest.raises(
        AccessDeniedError, match=r"no deal pipeline 'Expansion'. Run: expansion crm setup"
    ):
        open_target().read([DEAL])


def test_an_invalid_token_and_a_missing_scope_are_reported(
    open_target: Callable[..., HubSpotTarget], target: HubSpotTarget, service: HubSpotServer
) -> None:
    with pytest.raises(
        AccessDeniedError, match=r"rejects the access token.*crm.hubspot.token"
    ) as result:
        open_target(token="pat-wrong").read([ACCOUNT])  # noqa: S106
    assert "pat-wrong" not in str(result.value)

    service.scopes -= {"crm.objects.companies.read"}
    with pytest.raises(
        AccessDeniedError, match=r"Add the scope\(s\) crm.objects.companies.read to the token"
    ):
        target.read([ACCOUNT])


def test_an_exhausted_daily_limit_stops_with_a_message(
    target: HubSpotTarget, service: HubSpotServer
) -> None:
    service.daily_remaining = 0

    with pytest.raises(AccessDeniedError, match="the next run sends the rest"):
        target.read([ACCOUNT])


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (423, {}, {}, 2.0),
        (429, {"Retry-After": "7"}, {"policyName": "TEN_SECONDLY_ROLLING"}, 7.0),
        (429, {}, {"policyName": "TEN_SECONDLY_ROLLING"}, 10.0),
        (429, {}, {"policyName": "SECONDLY"}, 1.0),
        (477, {"retry-after": "30"}, {}, 30.0),
        *[(status, {}, {}, None) for status in (500, 502, 503, 504, 521, 523, 524)],
    ],
)
def test_retryable_errors_carry_the_delay(
    status: int, headers: dict[str, str], body: dict[str, str], seconds: float | None
) -> None:
    result = to_error(status, headers, json.dumps(body))

    assert isinstance(result, RetryableError)
    assert result.retry_after_seconds == seconds


@given(st.integers(0, 599), st.text(max_size=80))
def test_any_response_maps_to_an_error_of_the_protocol(status: int, body: str) -> None:
    result = to_error(status, {}, body)

    assert isinstance(result, RetryableError | AccessDeniedError | BatchRejectedError)
    assert "\n" not in str(result)


def test_the_rate_limit_applies_to_all_calls(
    open_target: Callable[..., HubSpotTarget], service: HubSpotServer
) -> None:
    service.max_calls = 100
    now = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    client = HubSpotClient(
        TOKEN,
        service.url,
        rate_limit=open_target(plan="starter").rate_limit,
        timeout_seconds=30.0,
        clock=lambda: now[0],
        sleep=sleep,
    )
    for _ in range(100):
        client.request(client.pipelines.get_all, "deals")
    assert waits == []
    service.restrict_calls(100)  # the portal's clock has not advanced

    client.request(client.pipelines.get_all, "deals")

    client.close()
    assert waits == [10.0]


def test_the_fake_portal_answers_as_the_sdk_expects(
    target: HubSpotTarget, client: HubSpotClient, service: HubSpotServer
) -> None:
    deal, _, company_id = create_deal_and_task(service, target)

    read = client.objects.read(
        "deals",
        {
            "inputs": [{"id": deal.crm_id}, {"id": "1"}],
            "properties": ["dealname"],
            "propertiesWithHistory": ["dealstage"],
        },
    )
    links = client.associations.get_page("deals", "companies", {"inputs": [{"id": deal.crm_id}]})
    pipelines = client.pipelines.get_all("deals")
    definition = client.properties.get_all("deals")

    assert read.results[0].properties["dealname"] == "Acme: more seats"
    assert (read.num_errors, read.errors[0].category) == (1, "OBJECT_NOT_FOUND")
    assert links.results[0].to[0].to_object_id == company_id
    assert pipelines.results[1].label == "Expansion"
    assert len(definition.results) > 9


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["inputs"][0].update(extra=1),
        lambda body: body["inputs"][0]["properties"].update(expansion_rank=1),
        lambda body: body["inputs"][0].pop("id"),
        lambda body: body.update(inputs={}),
    ],
)
def test_the_fake_portal_rejects_requests_outside_the_contract(
    change: Callable[[Any], None],
    target: HubSpotTarget,
    client: HubSpotClient,
    service: HubSpotServer,
) -> None:
    body: dict[str, Any] = {
        "inputs": [{"id": create_company(service), "properties": {"expansion_rank": "1"}}]
    }
    change(body)

    with pytest.raises(BatchRejectedError, match="Invalid input JSON"):
        client.request(client.objects.update, "companies", body)

    assert len(service.contract_violations) == 1
    service.contract_violations.clear()


def test_a_target_without_a_token_names_the_variable_to_set() -> None:
    with pytest.raises(SettingsError, match="HUBSPOT_TOKEN"):
        hubspot.create_target(Settings())


def test_the_token_is_never_printed(
    target: HubSpotTarget, settings: Callable[..., Settings]
) -> None:
    assert TOKEN not in repr(target)
    assert TOKEN not in repr(settings())


def test_an_unreachable_portal_is_a_retryable_error(
    open_target: Callable[..., HubSpotTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr(time, "sleep", sleeps.append)

    with pytest.raises(RetryableError, match="no response from HubSpot"):
        open_target(url="http://127.0.0.1:9").read([ACCOUNT])

    assert sleeps == []  # the caller retries, not the client
