"""Desired state of a CRM: rounded, complete, and stable from week to week."""

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import EpisodesConfig
from serving.delivery.crm.base import Fields
from serving.delivery.crm.fields import CLOSE_REASONS, FIELDS, STATES, should_create
from serving.delivery.desired.account_fields import build_account_objects, hash_fields
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode, advance_episodes
from serving.delivery.desired.opportunities_tasks import ExistingFields, build_episode_objects
from tests.unit.serving.delivery.committed_list import LIST_ROW, MONDAY

UNLISTED = pl.DataFrame(schema=dict.fromkeys(["account_id", "name", "csm", "note"], pl.String))


def make_row(**changed: Any) -> Fields:
    """Return the fields of Acme's list row as a CRM gets them."""
    (desired,) = build_account_objects(pl.DataFrame([{**LIST_ROW, **changed}]), UNLISTED, MONDAY)
    return desired.fields


def make_episode(**changed: Any) -> Episode:
    episode = Episode("acme", "seats", 1, MONDAY, MONDAY, None, None, Entitlements(seats=10))
    return replace(episode, **changed)


def build_objects(
    episode: Episode, row: Fields | None, existing: ExistingFields | None = None, day: date = MONDAY
) -> dict[str, Fields]:
    rows = {} if row is None else {"acme": row}
    return {
        each.key: each.fields
        for each in build_episode_objects([episode], rows, existing or {}, day)
    }


def as_existing(objects: dict[str, Fields]) -> dict[tuple[str, str], Fields]:
    """Return objects as the existing fields of the next list."""
    return {
        ("task" if key.count(":") == 3 else "opportunity", key): o for key, o in objects.items()
    }


def withdraw(objects: dict[tuple[str, str], Fields]) -> dict[tuple[str, str], Fields]:
    return {key: {**fields, "state": "withdrawn"} for key, fields in objects.items()}


# ---- Accounts.


def test_account_fields_are_rounded_and_text() -> None:
    row = make_row()

    assert list(row) == list(FIELDS["account"])
    assert row["probability"] == 0.7
    assert row["seat_utilization"] == 0.333
    assert row["expected_arr"] == 700
    assert row["signals"] == "No seat is free\n3 people joined"
    assert row["counter_reasons"] is None
    assert row["readiness_date"] == "2025-06-12"
    assert row["as_of"] == "2025-06-02"
    assert row["outreach_allowed"] is True
    assert "margin" not in row
    assert json.loads(json.dumps(row)) == row


def test_an_unlisted_account_has_a_reason_and_no_numbers() -> None:
    unlisted = pl.DataFrame(
        [{"account_id": "gone", "name": "Gone", "csm": None, "note": "on trial"}]
    )

    acme, gone = build_account_objects(pl.DataFrame([LIST_ROW]), unlisted.cast(pl.String), MONDAY)

    filled = {name: value for name, value in gone.fields.items() if value is not None}
    assert filled == {"name": "Gone", "as_of": "2025-06-02", "note": "on trial"}
    assert list(gone.fields) == list(acme.fields)
    assert gone.priority > acme.priority


NUMBERS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-9, 0.9995, 1.0])


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_number_is_finite_or_none(
    probability: float | None, arr: float | None, low: float | None
) -> None:
    frame = pl.DataFrame(
        [{**LIST_ROW, "probability": probability, "expected_arr": arr, "low": low}]
    )
    schema = dict.fromkeys(["probability", "expected_arr", "low"], pl.Float64)

    (desired,) = build_account_objects(frame.cast(schema), UNLISTED, MONDAY)

    for name, given_ in (("probability", probability), ("expected_arr", arr), ("low", low)):
        value = desired.fields[name]
        if given_ is None or not math.isfinite(given_):
            assert value is None
        else:
            tolerance = 0.5 * 10.0 ** -FIELDS["account"][name].decimals
            assert isinstance(value, float)
            assert abs(value - given_) <= tolerance * (1 + 1e-9) + abs(given_) * 1e-15
    json.dumps(desired.fields, allow_nan=False)


def test_a_difference_below_the_precision_does_not_change_the_hash() -> None:
    assert hash_fields(make_row(probability=0.7001)) == hash_fields(make_row(probability=0.69996))
    assert hash_fields(make_row(probability=0.7001)) != hash_fields(make_row(probability=0.7006))


@given(st.permutations(list(LIST_ROW)))
def test_the_content_hash_does_not_depend_on_the_order_of_fields(names: list[str]) -> None:
    row = make_row()
    chosen = [name for name in names if name in row]

    assert hash_fields({name: row[name] for name in chosen}) == hash_fields(
        {name: row[name] for name in row if name in chosen}
    )


# ---- Opportunities and tasks.


def test_tier_1_with_outreach_allowed_gets_an_opportunity_and_a_talk_task() -> None:
    objects = build_objects(make_episode(), make_row())

    assert list(objects) == ["acme:seats:1", "acme:seats:1:talk"]
    opportunity, talk = objects.values()
    assert opportunity == {
        "name": "Acme: more seats",
        "state": "open",
        "probability": 0.7,
        "amount": 1000.0,
        "expected_close_date": "2025-07-04",
        "readiness_date": "2025-06-12",
        "limit": "seats",
        "motion": "seat add",
        "contact_role": "department head or admin",
        "signals": "No seat is free\n3 people joined",
        "episode": "acme:seats:1",
    }
    assert talk == {
        "subject": "Acme: talk to the department head or admin about more seats",
        "state": "open",
        "due_date": "2025-06-12",
        "notes": "No seat is free\n3 people joined",
        "motion": "seat add",
        "episode": "acme:seats:1",
    }
    for kind, fields in (("opportunity", opportunity), ("task", talk)):
        assert set(fields) == set(FIELDS[kind])  # type: ignore[index]


def test_tier_2_gets_a_review_task_and_no_opportunity() -> None:
    row = make_row(tier=2, limit="plan", readiness_date=None, contact_role="champion")

    objects = build_objects(make_episode(limit="plan"), row)

    assert list(objects) == ["acme:plan:1:prepare"]
    assert objects["acme:plan:1:prepare"]["subject"] == "Acme: prepare a QBR with the champion"
    assert objects["acme:plan:1:prepare"]["due_date"] == "2025-07-02"


@pytest.mark.parametrize(
    ("episode", "row"),
    [
        ({}, {"outreach_allowed": False}),
        ({}, {"limit": "usage"}),
        ({}, {"tier": None}),
        ({}, None),
        ({"close_reason": "expanded", "closed_on": MONDAY}, {}),
    ],
    ids=["suppressed", "another limit", "no tier", "not listed", "closed"],
)
def test_an_object_is_neither_created_nor_restored_without_pressure(
    episode: dict[str, Any], row: dict[str, Any] | None
) -> None:
    withdrawn = withdraw(as_existing(build_objects(make_episode(), make_row())))
    fields = None if row is None else make_row(**row)

    assert build_objects(make_episode(**episode), fields) == {}
    assert as_existing(build_objects(make_episode(**episode), fields, withdrawn)) == withdrawn


def test_a_task_is_written_once_and_its_due_date_does_not_move() -> None:
    before = as_existing(build_objects(make_episode(), make_row()))
    later = make_row(
        readiness_date=date(2025, 6, 19), signals=["Another reason"], contact_role="champion"
    )

    updated = build_objects(make_episode(), later, before, MONDAY + timedelta(days=7))

    assert updated["acme:seats:1:talk"] == before["task", "acme:seats:1:talk"]
    assert updated["acme:seats:1"]["readiness_date"] == "2025-06-19"
    assert updated["acme:seats:1"]["signals"] == "Another reason"


def test_without_pressure_only_the_probability_is_updated() -> None:
    before = as_existing(build_objects(make_episode(), make_row()))
    opportunity = before["opportunity", "acme:seats:1"]

    paused = build_objects(make_episode(), make_row(tier=None, probability=0.2), before)
    unlisted = build_objects(make_episode(), None, before)

    assert paused["acme:seats:1"] == {**opportunity, "probability": 0.2}
    assert unlisted["acme:seats:1"] == {**opportunity, "probability": None}
    assert paused["acme:seats:1:talk"] == before["task", "acme:seats:1:talk"]


def test_during_the_cooldown_motion_and_contact_role_do_not_change() -> None:
    before = as_existing(build_objects(make_episode(), make_row()))

    cooldown = make_row(outreach_allowed=False, motion="cooldown", contact_role=None)
    retain = make_row(outreach_allowed=False, motion="retain", contact_role="champion")
    in_cooldown = build_objects(make_episode(), cooldown, before)
    at_risk = build_objects(make_episode(), retain, before)

    assert in_cooldown["acme:seats:1"] == before["opportunity", "acme:seats:1"]
    assert at_risk["acme:seats:1"]["motion"] == "retain"


def test_a_closed_episode_changes_the_state_and_nothing_else() -> None:
    before = as_existing(build_objects(make_episode(), make_row()))

    for close_reason in CLOSE_REASONS:
        ended = build_objects(
            make_episode(close_reason=close_reason, closed_on=MONDAY), make_row(), before
        )
        assert as_existing(ended) == {
            object_key: {**each, "state": close_reason} for object_key, each in before.items()
        }
        assert not any(map(should_create, ended.values()))


def test_a_withdrawn_object_is_restored_by_the_next_list() -> None:
    before = as_existing(build_objects(make_episode(), make_row()))

    assert as_existing(build_objects(make_episode(), make_row(), withdraw(before))) == before


@pytest.mark.parametrize(
    "changed", [{"expected_arr": None}, {"probability": None}, {"probability": 0.0}]
)
def test_an_amount_needs_a_revenue_and_a_probability(changed: dict[str, Any]) -> None:
    assert build_objects(make_episode(), make_row(**changed))["acme:seats:1"]["amount"] is None


WEEKS = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["seats", "usage"]),
        st.booleans(),
        st.sampled_from([10.0, 12.0]),
        st.sampled_from([3, 7, 30]),
    ),
    max_size=12,
)


@given(WEEKS)
def test_no_object_is_ever_dropped_and_task_dates_never_move(weeks: list) -> None:
    episodes: list[Episode] = []
    existing: dict[tuple[str, str], Fields] = {}
    rules, day = EpisodesConfig(clear_after_days=28, expiry_days=90), MONDAY
    for tier, limit, outreach_allowed, seats, days in weeks:
        row = make_row(
            tier=tier,
            limit=limit,
            outreach_allowed=outreach_allowed,
            readiness_date=day + timedelta(days=9),
        )
        pressure = {("acme", limit): outreach_allowed} if tier else {}
        contract = {"acme": Entitlements(seats=seats, usage_limit=1)}
        episodes = advance_episodes(episodes, pressure, contract, day, rules)
        objects = list(build_episode_objects(episodes, {"acme": row}, existing, day))
        desired = {(each.kind, each.key): each.fields for each in objects}
        assert len(desired) == len(objects)
        assert set(existing) <= set(desired)
        for object_key, fields in desired.items():
            assert fields["state"] in STATES
            if object_key in existing and object_key[0] == "task":
                assert {**fields, "state": ""} == {**existing[object_key], "state": ""}
        open_now = [key for (kind, key), each in desired.items() if should_create(each)]
        open_opportunities = [key for key in open_now if key.count(":") == 2]
        assert len({key.rpartition(":")[0] for key in open_opportunities}) == len(
            open_opportunities
        )
        repeated = list(build_episode_objects(episodes, {"acme": row}, desired, day))
        assert repeated == objects
        existing, day = desired, day + timedelta(days=days)
