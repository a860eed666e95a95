"""Simulated team capacity and the contacts that each strategy leads to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as array_strategies

from training.backtest import strategies
from training.backtest.workload import ContactLog, TeamCapacity, simulate_workload

NAN = float("nan")
# Enough for all accounts: 100 contacts in 30 days.
AMPLE_CAPACITY = TeamCapacity(
    minutes_per_month=6000, minutes_per_account=60, minutes_per_review=1, cooldown_days=5
)

tables = array_strategies.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 40)),
    elements=st.sampled_from([NAN, 0.5, 0.76, 0.8, 0.9, 1.0, 1.3]),
)
capacities = st.builds(
    TeamCapacity,
    minutes_per_month=st.sampled_from([60, 100, 900, 5000]),
    minutes_per_account=st.sampled_from([30, 60, 61.5]),
    minutes_per_review=st.sampled_from([0.5, 2, 40]),
    cooldown_days=st.integers(1, 20),
)


def build_strategies(utilization: np.ndarray) -> list[strategies.Strategy]:
    scores = np.where(np.arange(utilization.shape[1]) % 7 == 0, utilization, NAN)
    weekly_list = strategies.build_weekly_list("list", "", scores)
    event_rule = strategies.build_event_rule(utilization, threshold=0.8, min_days=3)
    return [
        strategies.build_manual_review("weekly", utilization, threshold=0.75, every_days=7),
        strategies.build_manual_review("monthly", utilization, threshold=0.75, every_days=30),
        strategies.build_crm_rule(utilization, threshold=0.8),
        event_rule,
        weekly_list,
        strategies.combine_strategies("both", "", weekly_list, event_rule),
    ]


def simulate(strategy: strategies.Strategy, capacity: TeamCapacity = AMPLE_CAPACITY) -> ContactLog:
    """Simulate a strategy on accounts that are all under contract."""
    accounts, days = len(strategy.score_day(0)), len(strategy.active_days)
    return simulate_workload(strategy, np.ones((accounts, days), dtype=bool), capacity)


def list_flags(contacts: ContactLog) -> list[tuple[int, int]]:
    return list(zip(contacts.day.tolist(), contacts.account.tolist(), strict=True))


@given(tables, capacities)
def test_every_strategy_matches_a_plain_python_team(
    utilization: np.ndarray, capacity: TeamCapacity
) -> None:
    under_contract = np.nan_to_num(utilization, nan=1.0) != 0.5

    for strategy in build_strategies(utilization):
        contacts = simulate_workload(strategy, under_contract, capacity)

        flags, reviews = simulate_slowly(strategy.name, utilization, under_contract, capacity)
        assert list_flags(contacts) == flags, strategy
        assert contacts.reviews == reviews, strategy


def simulate_slowly(
    name: str, utilization: np.ndarray, under_contract: np.ndarray, capacity: TeamCapacity
) -> tuple[list[tuple[int, int]], int]:
    """Simulate the same team in plain Python, account by account."""
    team = SlowTeam(capacity)
    for day in range(utilization.shape[1]):
        if day:
            team.minutes = min(
                team.minutes + capacity.minutes_per_month, capacity.minutes_per_month * 30
            )
        available = [
            account
            for account in range(len(utilization))
            if under_contract[account, day]
            and day - team.contacted.get(account, -(10**6)) >= capacity.cooldown_days
        ]
        if name in ("weekly", "monthly"):
            if day % {"weekly": 7, "monthly": 30}[name] == 0:
                team.review(day, available, utilization)
        elif name != "list" or day % 7 == 0:
            team.contact(day, available, utilization, name)
    return team.flags, team.reviews


class SlowTeam:
    def __init__(self, capacity: TeamCapacity) -> None:
        self.capacity = capacity
        self.minutes = capacity.minutes_per_month * 30  # in thirtieths, to avoid rounding
        self.contacted: dict[int, int] = {}
        self.reviewed: dict[int, int] = {}
        self.last_streak: dict[int, int] = {}
        self.flags: list[tuple[int, int]] = []
        self.reviews = 0

    def review(self, day: int, available: list[int], utilization: np.ndarray) -> None:
        for account in sorted(
            available, key=lambda account: (self.reviewed.get(account, -1), account)
        ):
            high = utilization[account, day] > 0.75
            cost = (
                self.capacity.minutes_per_review + self.capacity.minutes_per_account * high
            ) * 30
            if cost > self.minutes:
                return
            self.minutes -= cost
            self.reviewed[account] = day
            self.reviews += 1
            if high:
                self.contacted[account] = day
                self.flags.append((day, account))

    def contact(self, day: int, available: list[int], utilization: np.ndarray, name: str) -> None:
        by_list = name == "list" or (name == "both" and day % 7 == 0)
        threshold = 0.0 if by_list else 0.8
        offered = [account for account in available if utilization[account, day] >= threshold]
        if name in ("event rule", "both") and not by_list:
            offered = [account for account in offered if self.fires(account, day, utilization)]
        for account in sorted(offered, key=lambda account: (-utilization[account, day], account)):
            if self.minutes < self.capacity.minutes_per_account * 30:
                return
            self.minutes -= self.capacity.minutes_per_account * 30
            self.contacted[account] = day
            self.last_streak[account] = day - streak_length(utilization[account], day)
            self.flags.append((day, account))

    def fires(self, account: int, day: int, utilization: np.ndarray) -> bool:
        length = streak_length(utilization[account], day)
        return length >= 3 and self.last_streak.get(account) != day - length


def streak_length(utilization: np.ndarray, day: int) -> int:
    length = 0
    while length <= day and utilization[day - length] >= 0.8:
        length += 1
    return length


@given(tables, capacities)
def test_no_strategy_exceeds_its_capacity_or_contacts_an_account_in_its_cooldown(
    utilization: np.ndarray, capacity: TeamCapacity
) -> None:
    days = utilization.shape[1]
    accrued = capacity.minutes_per_month * (1 + np.arange(days) / 30) + 1e-6

    for strategy in build_strategies(utilization):
        contacts = simulate(strategy, capacity)

        contacts_until = np.cumsum(np.bincount(contacts.day, minlength=days))
        minutes = contacts_until * capacity.minutes_per_account
        assert (minutes <= accrued).all()
        assert minutes[-1] + contacts.reviews * capacity.minutes_per_review <= accrued[-1]
        for account in range(len(utilization)):
            contact_days = contacts.day[contacts.account == account]
            assert (np.diff(contact_days) >= capacity.cooldown_days).all()


@given(tables, capacities, st.integers(0, 40))
def test_later_data_changes_no_earlier_flag(
    utilization: np.ndarray, capacity: TeamCapacity, day: int
) -> None:
    changed = utilization.copy()
    changed[:, day:] = 1.2

    for before, after in zip(build_strategies(utilization), build_strategies(changed), strict=True):
        original, modified = (simulate(strategy, capacity) for strategy in (before, after))
        assert [flag for flag in list_flags(original) if flag[0] < day] == [
            flag for flag in list_flags(modified) if flag[0] < day
        ]


def test_the_event_rule_waits_three_days_and_fires_once_per_streak() -> None:
    utilization = np.full((1, 20), 0.9)
    utilization[0, 12] = 0.79

    contacts = simulate(strategies.build_event_rule(utilization, threshold=0.8, min_days=3))
    crm_rule = simulate(strategies.build_crm_rule(utilization, threshold=0.8))

    assert contacts.day.tolist() == [2, 15]
    assert crm_rule.day.tolist() == [0, 5, 10, 15]


def test_a_streak_may_begin_before_the_replay() -> None:
    utilization = np.full((1, 13), 0.9)

    contacts = simulate(
        strategies.build_event_rule(utilization, threshold=0.8, min_days=3, lookback_columns=10)
    )

    assert contacts.day.tolist() == [0]


def test_capacity_accrues_evenly_up_to_one_month() -> None:
    utilization = np.ones((9, 61))
    capacity = TeamCapacity(
        minutes_per_month=120, minutes_per_account=60, minutes_per_review=1, cooldown_days=360
    )

    contacts = simulate(strategies.build_crm_rule(utilization, threshold=0.8), capacity)

    # One month's worth initially, then one account every fifteenth day.
    assert contacts.day.tolist() == [0, 0, 15, 30, 45, 60]
    assert contacts.account.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_review_resumes_where_its_time_ended() -> None:
    utilization = np.array([[0.5] * 8, [0.9] * 8, [0.76] * 8, [0.75] * 8])
    # Initially 72 minutes: a review, then a review with a contact; a week later 16.8 + 8 minutes.
    capacity = TeamCapacity(
        minutes_per_month=72, minutes_per_account=60, minutes_per_review=2, cooldown_days=60
    )

    contacts = simulate(
        strategies.build_manual_review("weekly", utilization, threshold=0.75, every_days=7),
        capacity,
    )

    assert list_flags(contacts) == [(0, 1)]
    assert contacts.reviews == 2
    assert contacts.condition_met[:, 0].tolist() == [False, True, True, False]


@pytest.mark.parametrize("name", ["weekly", "monthly", "CRM rule", "event rule", "list", "both"])
def test_only_accounts_under_contract_are_flagged(name: str) -> None:
    utilization = np.full((2, 10), 0.9)
    under_contract = np.array([[True] * 10, [False] * 10])
    (strategy,) = (strategy for strategy in build_strategies(utilization) if strategy.name == name)

    contacts = simulate_workload(strategy, under_contract, AMPLE_CAPACITY)

    assert set(contacts.account.tolist()) == {0}
    assert not contacts.condition_met[1].any()
