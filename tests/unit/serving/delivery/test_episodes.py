"""Episodes: one open per limit, idempotent, never back in time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import EpisodesConfig
from features import subscription_timeline
from serving.delivery.crm.fields import CLOSE_REASONS, WITHDRAWN, make_episode_key, make_task_key
from serving.delivery.desired import entitlements
from serving.delivery.desired.entitlements import Entitlements, has_increased
from serving.delivery.desired.episodes import AccountLimit, Episode, advance_episodes

MONDAY = date(2025, 6, 2)
RELIEF, EXPIRY = 28, 180
RULES = EpisodesConfig(clear_after_days=RELIEF, expiry_days=EXPIRY)
LIMITS = st.sampled_from(["seats", "usage", "plan"])
PRESSURE = st.dictionaries(st.sampled_from(["acme", "beta"]), st.tuples(LIMITS, st.booleans())).map(
    lambda limits: {(account, limit): is_allowed for account, (limit, is_allowed) in limits.items()}
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


def advance(
    episodes: list[Episode],
    pressure: dict[AccountLimit, bool],
    contracts: dict[str, Entitlements],
    as_of: date,
) -> list[Episode]:
    return advance_episodes(episodes, pressure, contracts, as_of, RULES)


def run_weeks(
    weeks: list[tuple[int, dict[AccountLimit, bool], dict[str, Entitlements]]],
) -> list[Episode]:
    episodes: list[Episode] = []
    day = MONDAY
    for gap, pressure, contracts in weeks:
        day += timedelta(days=gap)
        episodes = advance(episodes, pressure, contracts, day)
    return episodes


@given(st.lists(WEEK, max_size=12))
def test_episodes_of_a_limit_are_numbered_and_only_the_last_is_open(weeks: list) -> None:
    episodes = run_weeks(weeks)

    for account_limit in {(each.account_id, each.limit) for each in episodes}:
        of_limit = [each for each in episodes if (each.account_id, each.limit) == account_limit]
        assert [each.episode for each in of_limit] == list(range(1, len(of_limit) + 1))
        for before, after in pairwise(of_limit):
            assert before.closed_on is not None
            assert before.closed_on <= after.opened_on
    for each in episodes:
        assert (each.close_reason is None) == (each.closed_on is None)
        assert each.close_reason is None or each.close_reason in {*CLOSE_REASONS, WITHDRAWN}
        assert each.opened_on <= each.last_seen_on <= each.last_day


@given(st.lists(WEEK, max_size=8), WEEK)
def test_a_repeated_run_changes_nothing(weeks: list, last: tuple) -> None:
    before = run_weeks(weeks)
    _, pressure, contracts = last
    day = max((each.last_day for each in before), default=MONDAY) + timedelta(days=last[0])

    advanced = advance(before, pressure, contracts, day)

    assert advance(advanced, pressure, contracts, day) == advanced


@given(st.lists(WEEK, min_size=1, max_size=8), PRESSURE, LEVELS, st.integers(1, 400))
def test_an_older_as_of_changes_nothing(
    weeks: list, pressure: dict, contracts: dict, days_before: int
) -> None:
    before = run_weeks(weeks)
    newest = max((each.last_day for each in before), default=None)
    if newest is None:
        return

    assert advance(before, pressure, contracts, newest - timedelta(days=days_before)) == before


@given(st.lists(WEEK, max_size=8), WEEK)
def test_a_closed_episode_is_not_reopened_by_a_later_list(weeks: list, last: tuple) -> None:
    before = run_weeks(weeks)
    day = MONDAY + timedelta(days=sum(gap for gap, *_ in [*weeks, last]))
    ended = {each.key: each for each in before if each.closed_on and each.closed_on < day}

    after = run_weeks([*weeks, last])

    for each in after:
        if each.key in ended:
            assert replace(each, last_seen_on=ended[each.key].last_seen_on) == ended[each.key]


@given(st.lists(WEEK, max_size=8), WEEK, PRESSURE, LEVELS)
def test_a_second_list_of_a_day_replaces_the_first(
    weeks: list, last: tuple, pressure: dict, contracts: dict
) -> None:
    """The day of the last pressure is not taken back, so the first list adds no pressure here."""
    before = run_weeks(weeks)
    newest = max((each.last_day for each in before), default=MONDAY)
    day = newest + timedelta(days=max(last[0], 1))
    seen = {(each.account_id, each.limit) for each in before}
    first = {key: is_allowed for key, is_allowed in last[1].items() if key not in seen}

    replaced = advance(advance(before, first, last[2], day), pressure, contracts, day)

    expected = advance(before, pressure, contracts, day)
    assert [
        each for each in replaced if each.close_reason != WITHDRAWN or each in before
    ] == expected
    withdrawn = [each for each in replaced if each not in expected]
    assert all(each.opened_on == each.closed_on == day for each in withdrawn)


@given(st.lists(st.booleans(), min_size=1, max_size=25))
def test_oscillating_pressure_does_not_open_a_second(weeks: list[bool]) -> None:
    """Weekly lists, on which pressure is never absent long enough to close the episode."""
    episodes: list[Episode] = []
    contracts = {"acme": Entitlements(seats=10)}
    quiet_weeks = 0
    day = MONDAY
    for has_pressure in weeks:
        is_pressed = has_pressure or quiet_weeks >= RELIEF // 7 - 1
        quiet_weeks = 0 if is_pressed else quiet_weeks + 1
        pressure = {("acme", "seats"): True} if is_pressed else {}
        episodes = advance(episodes, pressure, contracts, day)
        day += timedelta(days=7)

    assert len(episodes) <= 1
    assert not any(each.close_reason for each in episodes)


SEATS = {("acme", "seats"): True}
TEN = {"acme": Entitlements(seats=10, usage_limit=100, plan="team", mrr=50)}


def open_episode(day: date = MONDAY) -> list[Episode]:
    return advance([], SEATS, TEN, day)


def test_an_episode_opens_with_the_contract_as_it_is() -> None:
    assert open_episode() == [Episode("acme", "seats", 1, MONDAY, MONDAY, None, None, TEN["acme"])]


def test_suppression_opens_no_episode_but_continues_an_open_one() -> None:
    quiet_weeks = {("acme", "seats"): False}
    later = MONDAY + timedelta(days=RELIEF)

    assert advance([], quiet_weeks, TEN, MONDAY) == []
    (continued,) = advance(open_episode(), quiet_weeks, TEN, later)
    assert (continued.close_reason, continued.last_seen_on) == (None, later)


@pytest.mark.parametrize(
    ("days", "pressure", "contract", "close_reason"),
    [
        (7, SEATS, {"seats": 10}, None),
        (RELIEF - 1, {}, {"seats": 10}, None),
        (RELIEF, {}, {"seats": 10}, "relieved"),
        (RELIEF, {("acme", "usage"): True}, {"seats": 10}, "relieved"),
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
def test_an_episode_closes_with_the_first_reason_that_applies(
    days: int, pressure: dict, contract: dict, close_reason: str | None
) -> None:
    day = MONDAY + timedelta(days=days)

    episodes = advance(open_episode(), pressure, {"acme": Entitlements(**contract)}, day)[0]

    assert episodes.limit == "seats"
    assert (episodes.close_reason, episodes.closed_on) == (
        close_reason,
        day if close_reason else None,
    )


def test_replacing_a_list_withdraws_what_it_opened_and_reopens_what_it_closed() -> None:
    day = MONDAY + timedelta(days=7)
    before = open_episode()

    wrong = advance(before, {("beta", "usage"): True}, {"acme": Entitlements(ended=True)}, day)
    right = advance(wrong, SEATS, TEN, day)

    assert [each.close_reason for each in wrong] == ["lapsed", None]
    assert [each.close_reason for each in right] == [None, WITHDRAWN]
    assert advance(right, {("beta", "usage"): True}, TEN, day)[1].close_reason is None


def test_pressure_beyond_an_expansion_opens_the_next_episode() -> None:
    day = MONDAY + timedelta(days=7)

    first, second = advance(open_episode(), SEATS, {"acme": Entitlements(seats=12)}, day)

    assert (first.close_reason, second.episode, second.entitlements.seats) == ("expanded", 2, 12)
    assert second.close_reason is None


def test_after_expiry_the_same_pressure_opens_no_episode_until_it_was_absent() -> None:
    episodes = open_episode()
    day = MONDAY
    while (day - MONDAY).days < EXPIRY + 10 * 7:
        day += timedelta(days=7)
        episodes = advance(episodes, SEATS, TEN, day)

    assert [each.close_reason for each in episodes] == ["expired"]
    days_before = advance(episodes, SEATS, TEN, day + timedelta(days=RELIEF))
    assert [each.close_reason for each in days_before] == ["expired", None]


@given(st.text(), st.sampled_from(["seats", "usage"]), st.integers(1, 99), st.text())
def test_keys_never_collide(account: str, limit: str, number: int, other: str) -> None:
    key = make_episode_key(account, limit, number)

    assert key.count(":") == 2
    assert make_task_key(key, "talk").rpartition(":")[0] == key
    if other != account:
        assert make_episode_key(other, limit, number) != key


# ---- Entitlements.


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
def test_has_increased_compares_the_entitlement_of_the_limit(
    limit: str, before: dict, now: dict, expected: bool
) -> None:
    assert has_increased(limit, Entitlements(**before), Entitlements(**now)) is expected


def test_entitlements_are_those_in_force_and_known_before_the_as_of() -> None:
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

    contracts = subscription_timeline.build_timeline(subscriptions)
    episodes = entitlements.resolve_entitlements(contracts, as_of)

    assert {account: each.seats for account, each in episodes.items()} == {"acme": 12, "beta": 5}
    assert not episodes["acme"].ended
