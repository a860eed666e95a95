"""Stretches of pressure: one open at a time, the same twice, never back in time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.delivery.crm.fields import CLOSE_REASONS, WITHDRAWN, make_episode_key, make_task_key
from serving.delivery.desired import entitlements
from serving.delivery.desired.entitlements import Entitlements, has_increased
from serving.delivery.desired.episodes import Episode, LimitPressure, advance_episodes

MONDAY = date(2025, 6, 2)
RELIEF, EXPIRY = 28, 180
LIMITS = st.sampled_from(["seats", "usage", "plan"])
PRESSURE = st.dictionaries(
    st.sampled_from(["acme", "beta"]), st.builds(LimitPressure, LIMITS, st.booleans())
)
LEVELS = st.dictionaries(
    st.sampled_from(["acme", "beta"]),
    st.builds(
        Entitlements,
        seats=st.sampled_from([None, 10.0, 12.0]),
        usage_limit=st.sampled_from([None, 100.0, 200.0]),
        plan=st.sampled_from([None, "team", "business"]),
        plan_rank=st.none(),
        mrr=st.sampled_from([None, 1.0, 2.0]),
        ended=st.booleans(),
    ),
)
GAPS = [0, 1, 7, RELIEF - 1, RELIEF, RELIEF + 1, EXPIRY - 1, EXPIRY]
WEEK = st.tuples(st.sampled_from(GAPS), PRESSURE, LEVELS)


def step(
    episodes: list[Episode],
    pressure: dict[str, LimitPressure],
    contracts: dict[str, Entitlements],
    as_of: date,
) -> list[Episode]:
    return advance_episodes(
        episodes, pressure, contracts, as_of, clear_after_days=RELIEF, expiry_days=EXPIRY
    )


def history(
    weeks: list[tuple[int, dict[str, LimitPressure], dict[str, Entitlements]]],
) -> list[Episode]:
    episodes: list[Episode] = []
    day = MONDAY
    for gap, pressure, contracts in weeks:
        day += timedelta(days=gap)
        episodes = step(episodes, pressure, contracts, day)
    return episodes


@given(st.lists(WEEK, max_size=12))
def test_an_account_has_at_most_one_open_episode_per_limit(weeks: list) -> None:
    found = history(weeks)

    places = [(each.account_id, each.limit) for each in found if each.ending is None]
    assert len(places) == len(set(places))


@given(st.lists(WEEK, max_size=12))
def test_episodes_are_numbered_and_follow_each_other(weeks: list) -> None:
    found = history(weeks)

    for place in {(each.account_id, each.limit) for each in found}:
        own = [each for each in found if (each.account_id, each.limit) == place]
        assert [each.episode for each in own] == list(range(1, len(own) + 1))
        for before, after in pairwise(own):
            assert before.closed_on is not None
            assert before.closed_on <= after.opened_on
    for each in found:
        assert (each.ending is None) == (each.closed_on is None)
        assert each.ending is None or each.ending in {*CLOSE_REASONS, WITHDRAWN}
        assert each.opened_on <= each.seen_on <= each.last_day


@given(st.lists(WEEK, max_size=8), WEEK)
def test_a_repeated_run_gives_the_same(weeks: list, last: tuple) -> None:
    before = history(weeks)
    _, pressure, contracts = last
    day = max((each.last_day for each in before), default=MONDAY) + timedelta(days=last[0])

    once = step(before, pressure, contracts, day)

    assert step(once, pressure, contracts, day) == once


@given(st.lists(WEEK, min_size=1, max_size=8), PRESSURE, LEVELS, st.integers(1, 400))
def test_an_older_as_of_changes_nothing(
    weeks: list, pressure: dict, contracts: dict, back: int
) -> None:
    before = history(weeks)
    newest = max((each.last_day for each in before), default=None)
    if newest is None:
        return

    assert step(before, pressure, contracts, newest - timedelta(days=back)) == before


@given(st.lists(WEEK, max_size=8), WEEK)
def test_what_has_ended_before_a_list_is_not_opened_by_it(weeks: list, last: tuple) -> None:
    before = history(weeks)
    day = MONDAY + timedelta(days=sum(gap for gap, *_ in [*weeks, last]))
    ended = {each.key: each for each in before if each.closed_on and each.closed_on < day}

    after = history([*weeks, last])

    for each in after:
        if each.key in ended:
            assert replace(each, seen_on=ended[each.key].seen_on) == ended[each.key]


@given(st.lists(WEEK, max_size=8), WEEK, PRESSURE, LEVELS)
def test_a_second_list_of_a_day_opens_and_closes_as_if_it_were_the_first(
    weeks: list, last: tuple, pressure: dict, contracts: dict
) -> None:
    """But for the day on which pressure was last seen, so here the first list sees none anew."""
    before = history(weeks)
    newest = max((each.last_day for each in before), default=MONDAY)
    day = newest + timedelta(days=max(last[0], 1))
    first = {
        place: each for place, each in last[1].items() if (place, each.limit) not in _places(before)
    }

    replaced = step(step(before, first, last[2], day), pressure, contracts, day)

    alone = step(before, pressure, contracts, day)
    assert [each for each in replaced if each.ending != WITHDRAWN or each in before] == alone
    withdrawn = [each for each in replaced if each not in alone]
    assert all(each.opened_on == each.closed_on == day for each in withdrawn)


def _places(episodes: list[Episode]) -> set[tuple[str, str]]:
    return {(each.account_id, each.limit) for each in episodes}


@given(st.lists(st.booleans(), min_size=1, max_size=25))
def test_oscillating_pressure_does_not_open_a_second(weeks: list[bool]) -> None:
    """Weekly lists, on which pressure never pauses for as long as relief takes."""
    episodes: list[Episode] = []
    contracts = {"acme": Entitlements(seats=10)}
    quiet = 0
    day = MONDAY
    for told in weeks:
        pressed = told or quiet >= RELIEF // 7 - 1
        quiet = 0 if pressed else quiet + 1
        pressure = {"acme": LimitPressure("seats", outreach_allowed=True)} if pressed else {}
        episodes = step(episodes, pressure, contracts, day)
        day += timedelta(days=7)

    assert len(episodes) <= 1
    assert not any(each.ending for each in episodes)


SEATS = {"acme": LimitPressure("seats", outreach_allowed=True)}
TEN = {"acme": Entitlements(seats=10, usage_limit=100, plan="team", mrr=50)}


def opened(day: date = MONDAY) -> list[Episode]:
    return step([], SEATS, TEN, day)


def test_an_episode_opens_with_the_contract_as_it_is() -> None:
    assert opened() == [Episode("acme", "seats", 1, MONDAY, MONDAY, None, None, TEN["acme"])]


def test_without_an_ask_none_opens_but_one_that_is_open_goes_on() -> None:
    quiet = {"acme": LimitPressure("seats", outreach_allowed=False)}
    later = MONDAY + timedelta(days=RELIEF)

    assert step([], quiet, TEN, MONDAY) == []
    (still,) = step(opened(), quiet, TEN, later)
    assert (still.ending, still.seen_on) == (None, later)


@pytest.mark.parametrize(
    ("days", "pressure", "contract", "ending"),
    [
        (7, SEATS, {"seats": 10}, None),
        (RELIEF - 1, {}, {"seats": 10}, None),
        (RELIEF, {}, {"seats": 10}, "relieved"),
        (
            RELIEF,
            {"acme": LimitPressure("usage", outreach_allowed=True)},
            {"seats": 10},
            "relieved",
        ),
        (EXPIRY - 1, SEATS, {"seats": 10}, None),
        (EXPIRY, SEATS, {"seats": 10}, "expired"),
        (7, SEATS, {"seats": 11}, "expanded"),
        (RELIEF, {}, {"seats": 11}, "expanded"),
        (7, SEATS, {"seats": 9}, None),
        (7, SEATS, {"seats": 10, "usage_limit": 900}, None),
        (7, {}, {"seats": 11, "ended": True}, "lapsed"),
        (7, {}, {"seats": None}, None),
    ],
)
def test_how_an_episode_ends(days: int, pressure: dict, contract: dict, ending: str | None) -> None:
    day = MONDAY + timedelta(days=days)

    found = step(opened(), pressure, {"acme": Entitlements(**contract)}, day)[0]

    assert found.limit == "seats"
    assert (found.ending, found.closed_on) == (ending, day if ending else None)


def test_what_a_replaced_list_began_is_withdrawn_and_what_it_ended_goes_on() -> None:
    day = MONDAY + timedelta(days=7)
    before = opened()

    wrong = step(
        before,
        {"beta": LimitPressure("usage", outreach_allowed=True)},
        {"acme": Entitlements(ended=True)},
        day,
    )
    right = step(wrong, SEATS, TEN, day)

    assert [each.ending for each in wrong] == ["lapsed", None]
    assert [each.ending for each in right] == [None, WITHDRAWN]
    assert (
        step(right, {"beta": LimitPressure("usage", outreach_allowed=True)}, TEN, day)[1].ending
        is None
    )


def test_pressure_beyond_an_expansion_opens_the_next_episode() -> None:
    day = MONDAY + timedelta(days=7)

    first, second = step(opened(), SEATS, {"acme": Entitlements(seats=12)}, day)

    assert (first.ending, second.episode, second.levels.seats) == ("expanded", 2, 12)
    assert second.ending is None


def test_after_expiry_the_same_pressure_opens_no_other_until_it_has_been_gone() -> None:
    episodes = opened()
    day = MONDAY
    while (day - MONDAY).days < EXPIRY + 10 * 7:
        day += timedelta(days=7)
        episodes = step(episodes, SEATS, TEN, day)

    assert [each.ending for each in episodes] == ["expired"]
    back = step(episodes, SEATS, TEN, day + timedelta(days=RELIEF))
    assert [each.ending for each in back] == ["expired", None]


@given(st.text(), st.sampled_from(["seats", "usage"]), st.integers(1, 99), st.text())
def test_keys_never_collide(account: str, limit: str, number: int, other: str) -> None:
    key = make_episode_key(account, limit, number)

    assert key.count(":") == 2
    assert make_task_key(key, "talk").rpartition(":")[0] == key
    if other != account:
        assert make_episode_key(other, limit, number) != key


# ---- The levels of a contract.


@pytest.mark.parametrize(
    ("limit", "before", "now", "expected"),
    [
        ("seats", {"seats": 10}, {"seats": 10}, False),
        ("seats", {"seats": 10}, {"seats": 11}, True),
        ("seats", {"seats": None}, {"seats": 11}, False),
        ("usage", {"usage_limit": 5}, {"usage_limit": 6}, True),
        ("usage", {"usage_limit": 5}, {"usage_limit": 5, "seats": 90}, False),
        ("plan", {"plan": "a", "plan_rank": 0}, {"plan": "b", "plan_rank": 1}, True),
        ("plan", {"plan": "b", "plan_rank": 1}, {"plan": "a", "plan_rank": 0, "mrr": 9}, False),
        ("plan", {"plan": "a", "mrr": 1}, {"plan": "b", "mrr": 2}, True),
        ("plan", {"plan": "a", "mrr": 1}, {"plan": "a", "mrr": 2}, False),
    ],
)
def test_what_counts_as_a_rise(limit: str, before: dict, now: dict, expected: bool) -> None:
    assert has_increased(limit, Entitlements(**before), Entitlements(**now)) is expected


def test_levels_are_those_in_force_and_known_before_the_as_of() -> None:
    def at(day: int) -> datetime:
        return datetime(2025, 6, day, tzinfo=UTC)

    as_of = at(10)
    rows = [
        ("acme", at(1), at(1), 10),
        ("acme", at(8), at(9), 12),
        ("acme", at(9), at(10), 99),  # known only at the as-of
        ("beta", at(1), at(1), 5),
        ("beta", at(11), at(2), 50),  # signed, not yet in force
    ]
    names = ["account_id", "effective_date", "known_at", "licensed_seats"]
    subscriptions = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("licensed_seats").cast(pl.Float64),
        *(pl.lit(None, pl.Float64).alias(name) for name in ("usage_limit", "mrr")),
        *(pl.lit(None, pl.String).alias(name) for name in ("plan", "status", "change")),
        renewal_date=pl.lit(None, pl.Datetime("us", "UTC")),
    )

    found = entitlements.resolve_entitlements(subscriptions, as_of)

    assert {account: each.seats for account, each in found.items()} == {"acme": 12, "beta": 5}
    assert not found["acme"].ended
