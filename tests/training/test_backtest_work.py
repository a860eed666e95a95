"""A team's hours, and whom each way of working offers it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from training.backtest import strategies
from training.backtest.workload import ContactLog, TeamCapacity, simulate_workload

NAN = float("nan")
# Enough for everybody: 30 days of 100 accounts.
PLENTY = TeamCapacity(
    minutes_per_month=6000, minutes_per_account=60, minutes_per_review=1, cooldown_days=5
)

tables = drawn.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 40)),
    elements=st.sampled_from([NAN, 0.5, 0.76, 0.8, 0.9, 1.0, 1.3]),
)
hours = st.builds(
    TeamCapacity,
    minutes_per_month=st.sampled_from([60, 100, 900, 5000]),
    minutes_per_account=st.sampled_from([30, 60, 61.5]),
    minutes_per_review=st.sampled_from([0.5, 2, 40]),
    cooldown_days=st.integers(1, 20),
)


def _plans(fullness: np.ndarray) -> list[strategies.Strategy]:
    scores = np.where(np.arange(fullness.shape[1]) % 7 == 0, fullness, NAN)
    listed = strategies.build_weekly_list("list", "", scores)
    by_event = strategies.build_event_rule(fullness, threshold=0.8, min_days=3)
    return [
        strategies.build_manual_review("weekly", fullness, threshold=0.75, every_days=7),
        strategies.build_manual_review("monthly", fullness, threshold=0.75, every_days=30),
        strategies.build_crm_rule(fullness, threshold=0.8),
        by_event,
        listed,
        strategies.combine_strategies("both", "", listed, by_event),
    ]


def _flags(worked: ContactLog) -> list[tuple[int, int]]:
    return list(zip(worked.day.tolist(), worked.account.tolist(), strict=True))


def _all(fullness: np.ndarray) -> np.ndarray:
    return np.ones(fullness.shape, dtype=bool)


@given(tables, hours)
def test_every_way_does_what_a_slow_team_would(fullness: np.ndarray, has: TeamCapacity) -> None:
    book = np.nan_to_num(fullness, nan=1.0) != 0.5

    for plan in _plans(fullness):
        found = simulate_workload(plan, book, has)

        flags, looks = _slow(plan.name, fullness, book, has)
        assert _flags(found) == flags, plan
        assert found.reviews == looks, plan


def _slow(
    name: str, fullness: np.ndarray, book: np.ndarray, has: TeamCapacity
) -> tuple[list[tuple[int, int]], int]:
    """The same team in plain Python, account by account."""
    team = _Slow(has)
    for day in range(fullness.shape[1]):
        if day:
            team.minutes = min(team.minutes + has.minutes_per_month, has.minutes_per_month * 30)
        awake = [
            account
            for account in range(len(fullness))
            if book[account, day] and day - team.worked.get(account, -(10**6)) >= has.cooldown_days
        ]
        if name in ("weekly", "monthly"):
            if day % {"weekly": 7, "monthly": 30}[name] == 0:
                team.review(day, awake, fullness)
        elif name != "list" or day % 7 == 0:
            team.take(day, awake, fullness, name)
    return team.flags, team.looks


class _Slow:
    def __init__(self, has: TeamCapacity) -> None:
        self.has, self.minutes = (
            has,
            has.minutes_per_month * 30,
        )  # in thirtieths: nothing is rounded
        self.worked: dict[int, int] = {}
        self.looked: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.flags: list[tuple[int, int]] = []
        self.looks = 0

    def review(self, day: int, awake: list[int], fullness: np.ndarray) -> None:
        for account in sorted(awake, key=lambda a: (self.looked.get(a, -1), a)):
            high = fullness[account, day] > 0.75
            cost = (self.has.minutes_per_review + self.has.minutes_per_account * high) * 30
            if cost > self.minutes:
                return
            self.minutes -= cost
            self.looked[account] = day
            self.looks += 1
            if high:
                self.worked[account] = day
                self.flags.append((day, account))

    def take(self, day: int, awake: list[int], fullness: np.ndarray, name: str) -> None:
        by_list = name == "list" or (name == "both" and day % 7 == 0)
        least = 0.0 if by_list else 0.8
        offered = [a for a in awake if fullness[a, day] >= least]
        if name in ("event rule", "both") and not by_list:
            offered = [a for a in offered if self.fires(a, day, fullness)]
        for account in sorted(offered, key=lambda a: (-fullness[a, day], a)):
            if self.minutes < self.has.minutes_per_account * 30:
                return
            self.minutes -= self.has.minutes_per_account * 30
            self.worked[account] = day
            self.done[account] = day - _streak(fullness[account], day)
            self.flags.append((day, account))

    def fires(self, account: int, day: int, fullness: np.ndarray) -> bool:
        held = _streak(fullness[account], day)
        return held >= 3 and self.done.get(account) != day - held


def _streak(fullness: np.ndarray, day: int) -> int:
    held = 0
    while held <= day and fullness[day - held] >= 0.8:
        held += 1
    return held


@given(tables, hours)
def test_no_way_spends_more_than_the_hours_that_have_come_in(
    fullness: np.ndarray, has: TeamCapacity
) -> None:
    for plan in _plans(fullness):
        found = simulate_workload(plan, _all(fullness), has)

        for day in range(fullness.shape[1]):
            spent = (found.day <= day).sum() * has.minutes_per_account
            assert spent <= has.minutes_per_month * (1 + day / 30) + 1e-6
        total = len(found.day) * has.minutes_per_account + found.reviews * has.minutes_per_review
        assert total <= has.minutes_per_month * (1 + (fullness.shape[1] - 1) / 30) + 1e-6


@given(tables, hours)
def test_an_account_that_was_worked_rests(fullness: np.ndarray, has: TeamCapacity) -> None:
    for plan in _plans(fullness):
        found = simulate_workload(plan, _all(fullness), has)

        for account in range(len(fullness)):
            days = found.day[found.account == account]
            assert (np.diff(days) >= has.cooldown_days).all()


@given(tables, hours, st.integers(0, 40))
def test_what_comes_later_changes_no_flag_before_it(
    fullness: np.ndarray, has: TeamCapacity, day: int
) -> None:
    changed = fullness.copy()
    changed[:, day:] = 1.2

    for before, after in zip(_plans(fullness), _plans(changed), strict=True):
        kept, again = (simulate_workload(plan, _all(fullness), has) for plan in (before, after))
        assert [flag for flag in _flags(kept) if flag[0] < day] == [
            flag for flag in _flags(again) if flag[0] < day
        ]


def test_the_event_rule_waits_three_days_and_fires_once_in_a_stretch() -> None:
    fullness = np.full((1, 20), 0.9)
    fullness[0, 12] = 0.79

    found = simulate_workload(
        strategies.build_event_rule(fullness, threshold=0.8, min_days=3), _all(fullness), PLENTY
    )
    nightly = simulate_workload(
        strategies.build_crm_rule(fullness, threshold=0.8), _all(fullness), PLENTY
    )

    assert found.day.tolist() == [2, 15]
    assert nightly.day.tolist() == [0, 5, 10, 15]


def test_a_stretch_may_begin_before_the_replay() -> None:
    fullness = np.full((1, 13), 0.9)

    found = simulate_workload(
        strategies.build_event_rule(fullness, threshold=0.8, min_days=3, lookback_columns=10),
        _all(fullness[:, 10:]),
        PLENTY,
    )

    assert found.day.tolist() == [0]


def test_hours_come_in_evenly_and_a_month_of_them_is_kept() -> None:
    fullness = np.ones((9, 61))
    has = TeamCapacity(
        minutes_per_month=120, minutes_per_account=60, minutes_per_review=1, cooldown_days=360
    )

    found = simulate_workload(
        strategies.build_crm_rule(fullness, threshold=0.8), _all(fullness), has
    )

    # A month's worth in hand, then an account every fifteenth day.
    assert found.day.tolist() == [0, 0, 15, 30, 45, 60]
    assert found.account.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_review_goes_on_where_its_time_ended() -> None:
    fullness = np.array([[0.5] * 8, [0.9] * 8, [0.76] * 8, [0.75] * 8])
    # In hand 72 minutes: a look, a look and work; a week later 16.8 more and the 8 left over.
    has = TeamCapacity(
        minutes_per_month=72, minutes_per_account=60, minutes_per_review=2, cooldown_days=60
    )

    found = simulate_workload(
        strategies.build_manual_review("weekly", fullness, threshold=0.75, every_days=7),
        _all(fullness),
        has,
    )

    assert _flags(found) == [(0, 1)]
    assert found.reviews == 2
    assert found.condition_met[:, 0].tolist() == [False, True, True, False]


@pytest.mark.parametrize("name", ["weekly", "monthly", "CRM rule", "event rule", "list", "both"])
def test_nobody_outside_the_book_is_flagged(name: str) -> None:
    fullness = np.full((2, 10), 0.9)
    book = np.array([[True] * 10, [False] * 10])
    (plan,) = (plan for plan in _plans(fullness) if plan.name == name)

    found = simulate_workload(plan, book, PLENTY)

    assert set(found.account.tolist()) == {0}
    assert not found.condition_met[1].any()
