"""What should be true at a CRM: rounded, complete, and steady from week to week."""

import json
import math
from datetime import date, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from serving.delivery.crm.base import Fields
from serving.delivery.crm.fields import CLOSE_REASONS, FIELDS, STATES, should_create
from serving.delivery.desired.account_fields import (
    DesiredObject,
    build_account_objects,
    hash_fields,
)
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode, LimitPressure, advance_episodes
from serving.delivery.desired.opportunities_tasks import ExistingFields, build_episode_objects

MONDAY = date(2025, 6, 2)
LINE: dict[str, Any] = {
    "account_id": "acme",
    "rank": 1,
    "name": "Acme",
    "csm": "Ada",
    "probability": 0.70049,
    "low": 0.1,
    "high": 0.9,
    "readiness_date": date(2025, 6, 12),
    "expected_date": date(2025, 7, 4),
    "expected_arr": 700.4,
    "limit": "seats",
    "tier": 1,
    "ask": True,
    "motion": "seat add",
    "buyer": "department head or admin",
    "signals": ["No seat is free", "3 people joined"],
    "holds_back": [],
    "active_seats": 9,
    "seat_utilization": 1 / 3,
    "margin": -0.5,
    "contributions": "{}",
}
LEFT = pl.DataFrame(schema=dict.fromkeys(["account_id", "name", "csm", "note"], pl.String))


def line(**changed: Any) -> Fields:
    """Acme's line as a CRM gets it."""
    (told,) = build_account_objects(pl.DataFrame([{**LINE, **changed}]), LEFT, MONDAY)
    return told.fields


def episode(**changed: Any) -> Episode:
    whole = {
        "account_id": "acme",
        "limit": "seats",
        "episode": 1,
        "opened_on": MONDAY,
        "seen_on": MONDAY,
        "closed_on": None,
        "ending": None,
        "levels": Entitlements(seats=10),
    }
    return Episode(**{**whole, **changed})


def follow_ups(
    one: Episode, told: Fields | None, earlier: ExistingFields | None = None, day: date = MONDAY
) -> dict[str, Fields]:
    lines = {} if told is None else {"acme": told}
    return {
        each.key: each.fields for each in build_episode_objects([one], lines, earlier or {}, day)
    }


def held(objects: dict[str, Fields]) -> dict[tuple[str, str], Fields]:
    """What the outbox holds, as the next list finds it."""
    return {
        ("task" if key.count(":") == 3 else "opportunity", key): o for key, o in objects.items()
    }


# ---- Accounts.


def test_a_line_is_told_rounded_and_as_text() -> None:
    told = line()

    assert list(told) == list(FIELDS["account"])
    assert told["probability"] == 0.7
    assert told["seat_utilization"] == 0.333
    assert told["expected_arr"] == 700
    assert told["signals"] == "No seat is free\n3 people joined"
    assert told["holds_back"] is None
    assert told["readiness_date"] == "2025-06-12"
    assert told["as_of"] == "2025-06-02"
    assert told["ask"] is True
    assert "margin" not in told
    assert json.loads(json.dumps(told)) == told


def test_an_account_that_is_not_on_the_list_has_its_reason_and_no_figure() -> None:
    left = pl.DataFrame([{"account_id": "gone", "name": "Gone", "csm": None, "note": "on trial"}])

    acme, gone = build_account_objects(pl.DataFrame([LINE]), left.cast(pl.String), MONDAY)

    told = {name: value for name, value in gone.fields.items() if value is not None}
    assert told == {"name": "Gone", "as_of": "2025-06-02", "note": "on trial"}
    assert list(gone.fields) == list(acme.fields)
    assert gone.place > acme.place


NUMBERS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-9, 0.9995, 1.0])


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_figure_is_a_number_that_json_knows_or_none(
    chance: float | None, arr: float | None, used: float | None
) -> None:
    frame = pl.DataFrame([{**LINE, "probability": chance, "expected_arr": arr, "low": used}])
    schema = dict.fromkeys(["probability", "expected_arr", "low"], pl.Float64)

    (told,) = build_account_objects(frame.cast(schema), LEFT, MONDAY)

    for name, given_ in (("probability", chance), ("expected_arr", arr), ("low", used)):
        value = told.fields[name]
        if given_ is None or not math.isfinite(given_):
            assert value is None
        else:
            off = 0.5 * 10.0 ** -FIELDS["account"][name].decimals
            assert isinstance(value, float)
            assert abs(value - given_) <= off * (1 + 1e-9) + abs(given_) * 1e-15
    json.dumps(told.fields, allow_nan=False)


def test_a_difference_too_small_to_matter_is_none() -> None:
    assert hash_fields(line(probability=0.7001)) == hash_fields(line(probability=0.69996))
    assert hash_fields(line(probability=0.7001)) != hash_fields(line(probability=0.7006))


@given(st.permutations(list(LINE)))
def test_a_digest_does_not_hang_on_the_order_of_fields(names: list[str]) -> None:
    told = line()
    kept = [name for name in names if name in told]

    assert hash_fields({name: told[name] for name in kept}) == hash_fields(
        {name: told[name] for name in told if name in kept}
    )


# ---- Opportunities and tasks.


def test_tier_1_with_an_ask_gets_an_opportunity_and_a_talk() -> None:
    made = follow_ups(episode(), line())

    assert list(made) == ["acme:seats:1", "acme:seats:1:talk"]
    opportunity, talk = made.values()
    assert opportunity == {
        "name": "Acme: more seats",
        "state": "open",
        "probability": 0.7,
        "amount": 1000.0,
        "expected_close_date": "2025-07-04",
        "readiness_date": "2025-06-12",
        "limit": "seats",
        "motion": "seat add",
        "buyer": "department head or admin",
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


def test_tier_2_gets_a_review_to_prepare_and_no_opportunity() -> None:
    told = line(tier=2, limit="plan", readiness_date=None, buyer="champion")

    made = follow_ups(episode(limit="plan"), told)

    assert list(made) == ["acme:plan:1:prepare"]
    assert made["acme:plan:1:prepare"]["subject"] == "Acme: prepare a QBR with the champion"
    assert made["acme:plan:1:prepare"]["due_date"] == "2025-07-02"


def test_nothing_is_made_without_an_ask_at_another_limit_or_off_the_list() -> None:
    assert follow_ups(episode(), line(ask=False)) == {}
    assert follow_ups(episode(), line(limit="usage")) == {}
    assert follow_ups(episode(), line(tier=None)) == {}
    assert follow_ups(episode(), None) == {}
    assert follow_ups(episode(ending="expanded", closed_on=MONDAY), line()) == {}


def test_a_task_is_worded_once_and_its_day_does_not_move() -> None:
    before = held(follow_ups(episode(), line()))
    later = line(readiness_date=date(2025, 6, 19), signals=["Another reason"], buyer="champion")

    again = follow_ups(episode(), later, before, MONDAY + timedelta(days=7))

    assert again["acme:seats:1:talk"] == before["task", "acme:seats:1:talk"]
    assert again["acme:seats:1"]["readiness_date"] == "2025-06-19"
    assert again["acme:seats:1"]["signals"] == "Another reason"


def test_when_the_pressure_pauses_only_the_probability_goes_on() -> None:
    before = held(follow_ups(episode(), line()))
    opportunity = before["opportunity", "acme:seats:1"]

    paused = follow_ups(episode(), line(tier=None, probability=0.2), before)
    unlisted = follow_ups(episode(), None, before)

    assert paused["acme:seats:1"] == {**opportunity, "probability": 0.2}
    assert unlisted["acme:seats:1"] == {**opportunity, "probability": None}
    assert paused["acme:seats:1:talk"] == before["task", "acme:seats:1:talk"]


def test_while_a_human_is_on_it_motion_and_buyer_stay_as_they_were_told() -> None:
    before = held(follow_ups(episode(), line()))

    resting = follow_ups(episode(), line(ask=False, motion="rest", buyer=None), before)
    leaving = follow_ups(episode(), line(ask=False, motion="retain", buyer="champion"), before)

    assert resting["acme:seats:1"] == before["opportunity", "acme:seats:1"]
    assert leaving["acme:seats:1"]["motion"] == "retain"


def test_the_end_of_an_episode_is_said_and_nothing_else() -> None:
    before = held(follow_ups(episode(), line()))

    for ending in CLOSE_REASONS:
        ended = follow_ups(episode(ending=ending, closed_on=MONDAY), line(), before)
        assert held(ended) == {place: {**each, "state": ending} for place, each in before.items()}
        assert not any(map(should_create, ended.values()))


def test_what_was_withdrawn_is_wanted_again_by_the_next_list() -> None:
    before = {
        place: {**each, "state": "withdrawn"}
        for place, each in held(follow_ups(episode(), line())).items()
    }

    assert held(follow_ups(episode(), line(), before)) == held(follow_ups(episode(), line()))


def test_what_was_withdrawn_stays_so_where_it_would_not_be_made() -> None:
    before = {
        place: {**each, "state": "withdrawn"}
        for place, each in held(follow_ups(episode(), line())).items()
    }
    ended = episode(ending="relieved", closed_on=MONDAY)

    for one, told in (
        (episode(), line(tier=None)),
        (episode(), line(ask=False)),
        (episode(), line(limit="usage")),
        (episode(), None),
        (ended, line()),
    ):
        assert held(follow_ups(one, told, before)) == before


def test_an_amount_needs_a_revenue_and_a_chance() -> None:
    assert follow_ups(episode(), line(expected_arr=None))["acme:seats:1"]["amount"] is None
    assert follow_ups(episode(), line(probability=None))["acme:seats:1"]["amount"] is None
    assert follow_ups(episode(), line(probability=0.0))["acme:seats:1"]["amount"] is None


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
def test_no_object_is_ever_dropped_and_its_days_never_move(weeks: list) -> None:
    episodes: list[Episode] = []
    earlier: dict[tuple[str, str], Fields] = {}
    day = MONDAY
    for tier, limit, ask, seats, days in weeks:
        told = line(tier=tier, limit=limit, ask=ask, readiness_date=day + timedelta(days=9))
        pressure = {"acme": LimitPressure(limit, ask)} if tier else {}
        contract = {"acme": Entitlements(seats=seats, usage_limit=1)}
        episodes = advance_episodes(
            episodes, pressure, contract, day, clear_after_days=28, expiry_days=90
        )
        objects = list(build_episode_objects(episodes, {"acme": told}, earlier, day))
        now = {(each.kind, each.key): each.fields for each in objects}
        assert len(now) == len(objects)
        assert set(earlier) <= set(now)
        for place, fields in now.items():
            assert fields["state"] in STATES
            if place in earlier and place[0] == "task":
                assert {**fields, "state": ""} == {**earlier[place], "state": ""}
        open_now = [key for (kind, key), each in now.items() if should_create(each)]
        talks = [key for key in open_now if key.count(":") == 2]
        assert len({key.rpartition(":")[0] for key in talks}) == len(talks)
        repeated = list(build_episode_objects(episodes, {"acme": told}, now, day))
        assert repeated == objects
        earlier, day = now, day + timedelta(days=days)


def test_a_wanted_object_is_small() -> None:
    assert not hasattr(DesiredObject("account", "a", "a", None, 1, {}), "__dict__")
