"""Threshold state machine: one alert per crossing, in any order and grouping of events."""

import json
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import AlertsConfig
from serving.events.monitor.threshold import (
    AlertTransition,
    ThresholdState,
    UtilizationReading,
    advance_threshold,
)

RULES = AlertsConfig()
START = date(2026, 6, 1)
SEATS = 100.0

shares = st.sampled_from([0, 40, 69, 70, 71, 79, 80, 81, 89, 90, 95, 99, 100, 101, 140])
histories = st.lists(shares, min_size=1, max_size=90)
rules = st.builds(
    AlertsConfig,
    nudge_days=st.integers(1, 5),
    priority_days=st.integers(1, 4),
    urgent_days=st.integers(1, 3),
    clear_after_days=st.integers(1, 5),
    expiry_days=st.integers(7, 30),
)


def advance_days(
    days: Sequence[float], rules: AlertsConfig = RULES, state: ThresholdState | None = None
) -> tuple[ThresholdState, list[tuple[int, AlertTransition]]]:
    """Advance by one reading a day; return the state and the transitions with their day."""
    state = state or ThresholdState()
    transitions_by_day: list[tuple[int, AlertTransition]] = []
    for day, used in enumerate(days):
        reading = UtilizationReading(START + timedelta(days=day), used, SEATS)
        state, transitions = advance_threshold(state, reading, rules)
        transitions_by_day += [(day, transition) for transition in transitions]
    return state, transitions_by_day


def advance_slowly(days: Sequence[float], rules: AlertsConfig) -> list[tuple[int, str, int, int]]:
    """Compute the transitions from the whole history of each day: (day, kind, number, severity)."""
    transitions: list[tuple[int, str, int, int]] = []
    number, opened, open_severity, latched = 0, -1, -1, False
    for today in range(len(days)):
        utilization = [used / SEATS for used in days[: today + 1]]
        reached = [
            severity
            for severity, (threshold, days_needed) in enumerate(rules.severities)
            if len(utilization) >= days_needed and min(utilization[-days_needed:]) >= threshold
        ]
        highest = max(reached, default=-1)
        pressure_days = [day for day in range(today) if utilization[day] >= rules.clear_threshold]
        cleared = not pressure_days or today - pressure_days[-1] > rules.clear_after_days
        if opened >= 0 and cleared:
            transitions.append((today, "closed", number, open_severity))
            opened = -1
        elif opened >= 0 and today - opened >= rules.expiry_days:
            transitions.append((today, "closed", number, open_severity))
            opened, latched = -1, True
        latched = latched and not cleared
        if opened >= 0 and highest > open_severity:
            open_severity = highest
            transitions.append((today, "escalated", number, open_severity))
        elif opened < 0 and highest >= 0 and not latched:
            number, opened, open_severity = number + 1, today, highest
            transitions.append((today, "opened", number, open_severity))
    return transitions


@given(histories, rules)
def test_the_state_machine_agrees_with_a_slow_version(
    days: list[float], alert_rules: AlertsConfig
) -> None:
    _, transitions = advance_days(days, alert_rules)

    assert [(day, c.kind, c.number, c.severity) for day, c in transitions] == advance_slowly(
        days, alert_rules
    )


fractions = st.lists(st.sampled_from([0, 0.3, 0.69, 0.8, 1]), max_size=3)


@given(st.lists(st.tuples(shares, fractions), max_size=60), rules)
def test_the_grouping_of_events_within_a_day_does_not_matter(
    days: list[tuple[float, list[float]]], alert_rules: AlertsConfig
) -> None:
    state = ThresholdState()
    last: dict[tuple[int, str, int], int] = {}
    for index, (used, fractions) in enumerate(days):
        # Within a day seats only become active: readings never decrease.
        for usage in (*(used * each for each in sorted(fractions)), used, used):
            reading = UtilizationReading(START + timedelta(days=index), usage, SEATS)
            state, transitions = advance_threshold(state, reading, alert_rules)
            for transition in transitions:
                last[index, transition.kind, transition.number] = transition.severity

    daily_state, transitions = advance_days([used for used, _ in days], alert_rules)
    reached: dict[int, int] = {}
    for _, transition in transitions:
        reached[transition.number] = transition.severity
    grouped: dict[int, int] = {}
    for (_, _, number), severity in last.items():
        grouped[number] = max(severity, grouped.get(number, -1))
    assert grouped == reached
    assert state == daily_state


@given(histories, rules)
def test_a_reading_is_idempotent_and_an_old_one_is_ignored(
    days: list[float], alert_rules: AlertsConfig
) -> None:
    state, _ = advance_days(days, alert_rules)
    again = UtilizationReading(START + timedelta(days=len(days) - 1), days[-1], SEATS)
    old = UtilizationReading(START - timedelta(days=1), 140, SEATS)

    assert advance_threshold(state, again, alert_rules) == (state, [])
    if state != ThresholdState(alert_count=state.alert_count):
        assert advance_threshold(state, old, alert_rules) == (state, [])


@given(histories, rules, st.integers(0, 89))
def test_a_restored_state_continues_unchanged(
    days: list[float], alert_rules: AlertsConfig, cut: int
) -> None:
    state = ThresholdState()
    for index, used in enumerate(days):
        if index == cut:
            state = ThresholdState.from_dict(json.loads(json.dumps(state.to_dict())))
        state, _ = advance_threshold(
            state, UtilizationReading(START + timedelta(days=index), used, SEATS), alert_rules
        )

    assert state == advance_days(days, alert_rules)[0]


SHORT = AlertsConfig(expiry_days=7)


@pytest.mark.parametrize(
    ("days", "alert_rules", "expected"),
    [
        # A nudge waits three days, an urgent alert none; a day without events reads the same seats.
        ([80, 80], RULES, []),
        ([85, 85, 85], RULES, [(2, "opened", 0)]),
        ([80, 79, 80, 80], RULES, []),
        ([100], RULES, [(0, "opened", 2)]),
        ([90], RULES, []),
        (
            [80, 80, 80, 90, 95, 100],
            RULES,
            [(2, "opened", 0), (4, "escalated", 1), (5, "escalated", 2)],
        ),
        # An alert closes after whole days below the clear threshold.
        ([100, 69, 69, 69], RULES, [(0, "opened", 2)]),
        ([100, 69, 69, 69, 69], RULES, [(0, "opened", 2), (4, "closed", 2)]),
        ([100, 69, 70, 69, 69, 69], RULES, [(0, "opened", 2)]),
        ([100, 0, 0, 0, 0, 100], RULES, [(0, "opened", 2), (4, "closed", 2), (5, "opened", 2)]),
        # An expired alert is latched until relief.
        ([100] * 30, SHORT, [(0, "opened", 2), (7, "closed", 2)]),
        ([100] * 8 + [60] * 2 + [100] * 3, SHORT, [(0, "opened", 2), (7, "closed", 2)]),
        (
            [100] * 8 + [60] * 3 + [100],
            SHORT,
            [(0, "opened", 2), (7, "closed", 2), (11, "opened", 2)],
        ),
    ],
)
def test_transitions_match_hand_worked_examples(
    days: list[float], alert_rules: AlertsConfig, expected: list[tuple[int, str, int]]
) -> None:
    _, transitions = advance_days(days, alert_rules)

    assert [(day, each.kind, each.severity) for day, each in transitions] == expected


@pytest.mark.parametrize(
    ("reading", "close_reason"),
    [
        (UtilizationReading(START, 10, 20), "expanded"),
        (UtilizationReading(START, 10, 10, ended=True), "lapsed"),
        (UtilizationReading(START, 10, None), "relieved"),
    ],
)
def test_a_contract_change_closes_the_alert(reading: UtilizationReading, close_reason: str) -> None:
    state, _ = advance_threshold(ThresholdState(), UtilizationReading(START, 10, 10), RULES)

    state, (transition,) = advance_threshold(state, reading, RULES)

    assert (transition.kind, transition.close_reason) == ("closed", close_reason)
    assert state.open_alert is None


def test_a_new_limit_that_is_full_at_once_raises_the_next_alert() -> None:
    state, _ = advance_threshold(ThresholdState(), UtilizationReading(START, 10, 10), RULES)

    _, transitions = advance_threshold(state, UtilizationReading(START, 12, 12), RULES)

    assert [(c.kind, c.number, c.close_reason) for c in transitions] == [
        ("closed", 1, "expanded"),
        ("opened", 2, None),
    ]


def test_the_tier_1_rule_counts_as_priority_unless_it_is_disabled() -> None:
    readings = [
        UtilizationReading(START + timedelta(days=day), 55, 100, tier_1=True) for day in range(9)
    ]
    state, quiet_state, raised = ThresholdState(), ThresholdState(), []
    for reading in readings:
        state, transitions = advance_threshold(state, reading, RULES)
        raised += transitions
        quiet_state, none = advance_threshold(quiet_state, reading, AlertsConfig(tier_1=False))
        assert none == []

    assert [(transition.kind, transition.severity) for transition in raised] == [("opened", 1)]
