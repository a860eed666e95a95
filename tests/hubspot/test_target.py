"""The HubSpot target, asked over real HTTP by its own client."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hubspot_portal.service import TOKEN, Service
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Settings
from data.errors import SettingsError
from serving.delivery.crm import hubspot
from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    Kind,
    ObjectRef,
    Rejected,
    RetryableError,
)
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.hubspot import HubSpotTarget, errors, field_mapping

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
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "lines": TEXT,
    "number": st.floats(-1e9, 1e9),
    "whole": st.integers(-(10**9), 10**9),
    "day": st.dates(date(1971, 1, 1), date(2100, 1, 1)).map(str),
    "flag": st.booleans(),
}


@st.composite
def fields(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    """Values of some fields of one kind of object, as a run would want them."""
    kind: Kind = draw(st.sampled_from(["account", "opportunity", "task"]))
    chosen = draw(st.lists(st.sampled_from(sorted(FIELDS[kind])), unique=True))
    choices = st.sampled_from(["seats", "usage", "plan", "none"])
    told = {}
    for name in chosen:
        usual = BY_TYPE[FIELDS[kind][name].type]
        values = st.just("open") if name == "state" else choices if name == "limit" else usual
        told[name] = draw(st.none() | values)
    return kind, told


@given(fields())
def test_what_is_shaped_is_read_back_as_it_was_written(told: tuple[Kind, dict[str, Any]]) -> None:
    kind, wanted = told

    shaped = field_mapping.normalize_fields(kind, wanted)

    assert field_mapping.normalize_fields(kind, shaped) == shaped
    back = field_mapping.deserialize_fields(kind, field_mapping.serialize_fields(kind, shaped))
    assert {name: back[name] for name in shaped} == shaped


def test_a_text_that_is_too_long_is_cut_to_what_hubspot_takes() -> None:
    shaped = field_mapping.normalize_fields("task", {"notes": "<&\n" * 40_000})

    assert len(field_mapping.serialize_fields("task", shaped)["hs_task_body"]) <= 65_536


def company(service: Service, **properties: str) -> str:
    return service.portal.make(
        "companies", {"name": "Acme", "expansion_account_id": "acme", **properties}
    )


def hung(service: Service, target: HubSpotTarget) -> tuple[ObjectRef, ObjectRef, str]:
    """A deal and a task of Acme's, made by us; and the company."""
    above = company(service)
    deal = replace(DEAL, account_crm_id=above)
    [made] = target.write([FieldChange(deal, DEAL_FIELDS)])
    assert isinstance(made, Applied)
    task = replace(TASK, account_crm_id=above, opportunity_crm_id=made.crm_id)
    [done] = target.write([FieldChange(task, TASK_FIELDS)])
    assert isinstance(done, Applied)
    return replace(deal, crm_id=made.crm_id), replace(task, crm_id=done.crm_id), above


def test_setup_makes_what_is_missing_and_nothing_the_second_time(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    target = opened()

    first, second = target.provision(), target.provision()

    assert len(first) == 49
    assert "property deals.expansion_key (unique, for good)" in first
    assert second == []
    assert all(finding.passed for finding in target.preflight([]))
    unique = {
        of: [name for name, held in kept.items() if held.get("hasUniqueValue")]
        for of, kept in service.portal.properties.items()
    }
    assert unique == {
        "companies": ["expansion_account_id"],
        "deals": ["expansion_key"],
        "tasks": ["expansion_key"],
    }


def test_a_property_of_another_type_is_told_and_left_as_it_is(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    theirs = {"name": "expansion_key", "type": "string", "hasUniqueValue": False, "options": []}
    service.portal.properties["deals"]["expansion_key"] = theirs
    target = opened()

    with pytest.raises(
        AccessDeniedError, match=r"deals.expansion_key does not hold unique values"
    ) as told:
        target.provision()

    assert "nothing of them was changed" in str(told.value)
    assert service.portal.properties["deals"]["expansion_key"] == theirs
    wrong = [finding.message for finding in target.preflight([]) if not finding.passed]
    assert wrong == [
        "expansion_key does not hold unique values, which is settled when a property is made"
    ]


def test_a_pipeline_of_the_companys_own_is_used_as_the_settings_say(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    stages = {
        "open": "Appointment",
        "expanded": "Closed won",
        **dict.fromkeys(["relieved", "expired", "lapsed", "withdrawn"], "Closed lost"),
    }
    target = opened(pipeline="Sales Pipeline", stages=stages)
    target.provision()
    deal, _, _ = hung(service, target)

    for state, stage in (
        ("relieved", "closedlost"),
        ("withdrawn", "closedlost"),
        ("expanded", "closedwon"),
    ):
        target.write([FieldChange(deal, {"state": state})])

        [found] = target.read([deal])
        assert found is not None
        assert found.fields["state"] == state
        assert service.portal.records["deals"][found.crm_id].properties["dealstage"] == stage
    assert [each["label"] for each in service.portal.pipelines] == ["Sales Pipeline"]


def test_a_stage_that_is_missing_is_told_with_those_that_are_there(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    with pytest.raises(
        AccessDeniedError, match="'Sales Pipeline' has no stage 'Ready to talk'"
    ) as told:
        opened(pipeline="Sales Pipeline").provision()

    assert "which of Appointment, Closed won, Closed lost stands for it" in str(told.value)


def test_a_deal_and_a_task_hang_on_their_company_and_read_as_they_were_written(
    target: HubSpotTarget, service: Service
) -> None:
    deal, task, above = hung(service, target)

    [found], [done] = target.read([deal]), target.read([task])

    assert found is not None
    assert done is not None
    assert {name: value for name, value in found.fields.items() if value} == DEAL_FIELDS
    assert {name: value for name, value in done.fields.items() if value} == TASK_FIELDS
    assert service.portal.links["deals", "companies"][found.crm_id] == {above}
    assert service.portal.links["tasks", "companies"][done.crm_id] == {above}
    assert service.portal.links["tasks", "deals"][done.crm_id] == {found.crm_id}
    # Due at noon, UTC: the same day for every reader.
    due = service.portal.records["tasks"][done.crm_id].properties["hs_timestamp"]
    assert due == "2026-06-15T12:00:00Z"


def test_what_was_made_and_not_tied_is_tied_the_next_time(
    target: HubSpotTarget, service: Service
) -> None:
    deal, task, _ = hung(service, target)
    service.portal.untie("tasks", "deals", task.crm_id or "", deal.crm_id or "")
    forgotten = replace(task, crm_id=None)  # the answer never reached us

    [found] = target.read([forgotten])

    assert found is not None
    assert found.fields["episode"] is None
    target.write([FieldChange(replace(task, crm_id=found.crm_id), {"episode": DEAL.key})])
    assert service.portal.links["tasks", "deals"][found.crm_id] == {deal.crm_id}
    assert target.read([forgotten])[0].fields["episode"] == DEAL.key  # type: ignore[union-attr]


def test_nothing_is_made_for_a_company_that_is_gone(
    target: HubSpotTarget, service: Service
) -> None:
    above, gone = company(service), service.portal.make("companies", {"name": "gone"})
    service.portal.archive("companies", gone)
    other = replace(DEAL, key="b:seats:1", account_id="b", account_crm_id=gone)

    refused, made = target.write(
        [
            FieldChange(other, DEAL_FIELDS),
            FieldChange(replace(DEAL, account_crm_id=above), DEAL_FIELDS),
        ]
    )

    assert refused == Rejected(f"its company {gone} is no longer at HubSpot.")
    assert isinstance(made, Applied)
    assert list(service.portal.records["deals"]) == [made.crm_id]


def test_a_tie_that_a_human_has_cut_stays_cut(target: HubSpotTarget, service: Service) -> None:
    deal, _, above = hung(service, target)
    service.portal.untie("deals", "companies", deal.crm_id or "", above)

    [found] = target.read([deal])

    assert found is not None
    assert found.fields["episode"] == DEAL.key


@pytest.mark.parametrize(
    ("csm", "owner"), [("Ada@acme.com", "77"), ("ada lovelace", "77"), ("nobody@acme.com", None)]
)
def test_what_is_made_belongs_to_the_csm_of_its_company(
    csm: str, owner: str | None, target: HubSpotTarget, service: Service
) -> None:
    person = {"id": "77", "email": "ada@acme.com", "firstName": "Ada", "lastName": "Lovelace"}
    service.portal.owners.append(person)
    above = company(service, expansion_csm=csm)

    [made] = target.write([FieldChange(replace(DEAL, account_crm_id=above), DEAL_FIELDS)])

    assert isinstance(made, Applied)
    kept = service.portal.records["deals"][made.crm_id].properties
    assert kept.get("hubspot_owner_id") == owner


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
def test_an_open_deal_of_a_human_about_the_same_is_found(
    deal: dict[str, str], is_found: bool, target: HubSpotTarget, service: Service
) -> None:
    ours = next(each for each in service.portal.pipelines if each["label"] == "Expansion")
    stages = {stage["label"]: stage["id"] for stage in ours["stages"]}
    told = {"pipeline": ours["id"], "dealstage": "In conversation", **deal}
    told["dealstage"] = stages.get(told["dealstage"], told["dealstage"])
    above = company(service)
    hers = service.portal.make("deals", {"dealname": "hers", **told}, companies=above)

    [found] = target.read([replace(DEAL, account_crm_id=above)])

    assert (found is not None) == is_found
    if found is not None:
        assert (found.crm_id, found.created_by_us, found.fields["name"]) == (hers, False, "hers")


def test_a_company_of_many_deals_is_looked_through_to_the_last(
    target: HubSpotTarget, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubspot_portal.operations.LINK_PAGE", 3)
    above = company(service)
    ours = next(each for each in service.portal.pipelines if each["label"] == "Expansion")
    for number in range(7):
        service.portal.make("deals", {"dealname": str(number)}, companies=above)
    told = {"dealname": "hers", "pipeline": ours["id"], "dealstage": ours["stages"][0]["id"]}
    hers = service.portal.make("deals", told, companies=above)

    [found] = target.read([replace(DEAL, account_crm_id=above)])

    assert found is not None
    assert found.crm_id == hers


def test_a_company_is_made_only_where_that_is_asked_for(
    opened: Callable[..., HubSpotTarget], target: HubSpotTarget, service: Service
) -> None:
    change = FieldChange(ACCOUNT, {"name": "Acme", "rank": 1})

    [refused] = target.write([change])
    makes = opened(make_companies=True)
    [made] = makes.write([change])
    [again] = makes.write([change])

    assert isinstance(refused, Rejected)
    assert "crm.hubspot.create_companies" in refused.reason
    assert made == again
    [kept] = service.portal.records["companies"].values()
    assert (kept.properties["name"], kept.properties["expansion_rank"]) == ("Acme", "1")
    assert "name" not in target.normalize("account", {"name": "Acme"})


def test_a_column_of_the_companys_own_can_carry_the_account_id(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    held = {"name": "product_id", "type": "string", "hasUniqueValue": True, "options": []}
    service.portal.properties["companies"]["product_id"] = held
    target = opened(account_property="product_id")
    target.provision()
    kept = service.portal.make("companies", {"name": "Acme", "product_id": "acme"})

    [found] = target.read([ACCOUNT])

    assert found is not None
    assert found.crm_id == kept
    assert "expansion_account_id" not in service.portal.properties["companies"]


def test_one_row_that_is_refused_leaves_the_others(target: HubSpotTarget, service: Service) -> None:
    above = company(service)
    good = FieldChange(replace(ACCOUNT, crm_id=above), {"rank": 1})
    gone = FieldChange(ObjectRef("account", "gone", "gone", crm_id="999999"), {"rank": 2})
    other = service.portal.make("companies", {"name": "other"})
    bad = FieldChange(ObjectRef("account", "bad", "bad", crm_id=other), {"limit": "none of these"})

    told = target.write([good, gone, bad])

    assert told[0] == Applied(above)
    assert isinstance(told[1], Rejected)
    assert isinstance(told[2], Rejected)
    assert "was not one of the allowed options" in told[2].reason


def test_a_conflict_refuses_the_whole_call_and_writes_nothing(
    target: HubSpotTarget, service: Service, opened: Callable[..., HubSpotTarget]
) -> None:
    held = {"name": "code", "type": "string", "hasUniqueValue": True, "options": []}
    service.portal.properties["companies"]["expansion_buyer"] = held | {"name": "expansion_buyer"}
    service.portal.make("companies", {"expansion_buyer": "taken"})
    above = company(service)

    with pytest.raises(BatchRejectedError, match="already has that value"):
        target.write(
            [
                FieldChange(replace(ACCOUNT, crm_id=above), {"rank": 1}),
                FieldChange(
                    ObjectRef("account", "b", "b", crm_id=service.portal.make("companies", {})),
                    {"buyer": "taken"},
                ),
            ]
        )

    assert "expansion_rank" not in service.portal.records["companies"][above].properties


def test_a_question_asked_again_goes_on_where_it_failed(
    target: HubSpotTarget, service: Service
) -> None:
    above = company(service)
    change = FieldChange(replace(DEAL, account_crm_id=above), DEAL_FIELDS)
    hit = iter([False, False, False, True])  # the pipeline, the CSM, the deal, and then the tie
    service.before = lambda _: setattr(service, "fault", "503" if next(hit, False) else None)
    service.share = 1.0
    before = service.requests.copy()

    with pytest.raises(RetryableError):
        target.write([change])
    [made] = target.write([change])

    assert isinstance(made, Applied)
    spent = service.requests - before
    assert (spent["upsert"], spent["tie"], spent["read"]) == (1, 2, 1)


def test_what_humans_did_is_told_and_what_we_did_is_not(
    target: HubSpotTarget, service: Service
) -> None:
    service.portal.lag_seconds = 0.0
    _, task, above = hung(service, target)
    second = replace(DEAL, key="a%3Ab:usage:1", account_crm_id=above, account_id="a:b")
    [ended] = target.write([FieldChange(second, {**DEAL_FIELDS, "episode": second.key})])
    assert isinstance(ended, Applied)
    target.write([FieldChange(replace(second, crm_id=ended.crm_id), {"state": "expired"})])
    target.write([FieldChange(task, {"state": "expired"})])
    today = datetime.now(UTC).date()
    assert target.human_touches(today) == []

    ours = next(each for each in service.portal.pipelines if each["label"] == "Expansion")
    service.portal.edit("deals", ended.crm_id, dealstage=ours["stages"][2]["id"])
    target.write([FieldChange(task, {"state": "open"})])
    service.portal.edit("tasks", task.crm_id or "", hs_task_status="COMPLETED")
    told = target.human_touches(today)

    assert [(each.account_id, each.touched_on, each.activity) for each in told] == [
        ("a:b", today, "opportunity moved"),
        ("acme", today, "task done"),
    ]
    assert target.human_touches(date(2100, 1, 1)) == []


def test_check_names_what_an_admin_has_to_do(
    opened: Callable[..., HubSpotTarget], target: HubSpotTarget, service: Service
) -> None:
    company(service, expansion_csm="nobody@acme.com")
    service.scopes -= {"crm.objects.owners.read", "crm.schemas.deals.write"}
    accounts = [
        ACCOUNT,
        ObjectRef("account", "core", "core"),
        ObjectRef("account", "dora", "dora", crm_id="x"),
    ]

    told = {finding.subject: finding for finding in target.preflight(accounts)}

    assert told["key"].examples == ("crm.objects.owners.read",)
    assert not told["key"].passed
    assert told["match"].message.startswith("1 of 3 accounts have a company")
    assert told["match"].examples == ("core", "dora")
    assert "Add the scope(s) crm.objects.owners.read to the key." in told["owners"].message
    service.scopes |= {"crm.objects.owners.read"}
    told = {finding.subject: finding for finding in opened().preflight(accounts)}
    assert told["key"].passed
    assert told["owners"].examples == ("nobody@acme.com",)


def test_check_says_when_the_plan_bears_less(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    service.calls = 100
    target = opened()
    target.provision()

    wrong = [
        finding.message for finding in target.preflight([ACCOUNT]) if finding.subject == "limits"
    ]

    assert wrong == ["HubSpot bears 100 calls per 10 s, fewer than crm.hubspot.plan says"]


def test_before_setup_it_is_said_what_to_run(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    above = service.portal.make("companies", {"name": "Acme"})

    with pytest.raises(AccessDeniedError, match="expansion crm check"):
        opened().read([ACCOUNT])
    with pytest.raises(AccessDeniedError, match=r"does not exist.*Run: expansion crm setup"):
        opened().write([FieldChange(replace(ACCOUNT, crm_id=above), {"rank": 1})])
    with pytest.raises(
        AccessDeniedError, match=r"no deal pipeline 'Expansion'. Run: expansion crm setup"
    ):
        opened().read([DEAL])


def test_a_key_that_is_not_valid_and_a_scope_that_is_missing_are_named(
    opened: Callable[..., HubSpotTarget], target: HubSpotTarget, service: Service
) -> None:
    with pytest.raises(
        AccessDeniedError, match=r"does not accept the key.*crm.hubspot.token"
    ) as told:
        opened(token="pat-wrong").read([ACCOUNT])  # noqa: S106
    assert "pat-wrong" not in str(told.value)

    service.scopes -= {"crm.objects.companies.read"}
    with pytest.raises(
        AccessDeniedError, match=r"Add the scope\(s\) crm.objects.companies.read to the key"
    ):
        target.read([ACCOUNT])


def test_a_day_whose_calls_are_used_up_stops_with_words(
    target: HubSpotTarget, service: Service
) -> None:
    service.daily = 0

    with pytest.raises(AccessDeniedError, match="goes out in the next run"):
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
def test_what_may_work_later_says_when(
    status: int, headers: dict[str, str], body: dict[str, str], seconds: float | None
) -> None:
    told = errors.to_error(status, headers, json.dumps(body))

    assert isinstance(told, RetryableError)
    assert told.retry_after_seconds == seconds


@given(st.integers(0, 599), st.text(max_size=80))
def test_any_answer_is_told_as_one_of_the_contracts(status: int, body: str) -> None:
    told = errors.to_error(status, {}, body)

    assert isinstance(told, RetryableError | AccessDeniedError | BatchRejectedError)
    assert "\n" not in str(told)


def test_the_pace_is_kept_whatever_is_asked(
    opened: Callable[..., HubSpotTarget], service: Service
) -> None:
    service.calls = 100
    target = opened(plan="starter")
    now = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    door = target._client
    door._clock, door._sleep = lambda: now[0], sleep
    for _ in range(100):
        door(door.pipelines.get_all, "deals")
    assert waits == []
    service._times.clear()  # the portal's own clock has not moved

    door(door.pipelines.get_all, "deals")

    assert waits == [10.0]


def test_the_portal_answers_as_hubspots_own_client_expects(
    target: HubSpotTarget, service: Service
) -> None:
    deal, _, above = hung(service, target)
    door = target._client

    read = door.objects.read(
        "deals",
        {
            "inputs": [{"id": deal.crm_id}, {"id": "1"}],
            "properties": ["dealname"],
            "propertiesWithHistory": ["dealstage"],
        },
    )
    links = door.associations.get_page("deals", "companies", {"inputs": [{"id": deal.crm_id}]})
    pipelines = door.pipelines.get_all("deals")
    held = door.properties.get_all("deals")

    assert read.results[0].properties["dealname"] == "Acme: more seats"
    assert (read.num_errors, read.errors[0].category) == (1, "OBJECT_NOT_FOUND")
    assert links.results[0].to[0].to_object_id == above
    assert pipelines.results[1].label == "Expansion"
    assert len(held.results) > 9


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["inputs"][0].update(extra=1),
        lambda body: body["inputs"][0]["properties"].update(expansion_rank=1),
        lambda body: body["inputs"][0].pop("id"),
        lambda body: body.update(inputs={}),
    ],
)
def test_the_portal_refuses_what_is_not_in_the_contract(
    change: Callable[[Any], None], target: HubSpotTarget, service: Service
) -> None:
    body: dict[str, Any] = {
        "inputs": [{"id": company(service), "properties": {"expansion_rank": "1"}}]
    }
    change(body)

    with pytest.raises(BatchRejectedError, match="Invalid input JSON"):
        target._client(target._client.objects.update, "companies", body)

    assert len(service.wrong) == 1
    service.wrong.clear()


def test_a_target_without_a_key_says_how_to_give_one() -> None:
    with pytest.raises(SettingsError, match="HUBSPOT_TOKEN"):
        hubspot.create_target(Settings())


def test_nobody_prints_the_key(target: HubSpotTarget, settings: Callable[..., Settings]) -> None:
    assert TOKEN not in repr(target)
    assert TOKEN not in repr(settings())


def test_a_portal_that_is_not_there_may_be_back_later(opened: Callable[..., HubSpotTarget]) -> None:
    started = time.monotonic()

    with pytest.raises(RetryableError, match="no answer from HubSpot"):
        opened(url="http://127.0.0.1:9").read([ACCOUNT])

    assert time.monotonic() - started < 5
