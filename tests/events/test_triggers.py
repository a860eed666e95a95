"""One signal per real crossing, whatever the order and the grouping of what tells of it."""

import json
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Alerts
from serving.events.monitor.threshold import (
    AlertTransition,
    ThresholdState,
    UtilizationReading,
    advance_threshold,
)

RULES = Alerts()
START = date(2026, 6, 1)
SEATS = 100.0

shares = st.sampled_from([0, 40, 69, 70, 71, 79, 80, 81, 89, 90, 95, 99, 100, 101, 140])
histories = st.lists(shares, min_size=1, max_size=90)
rules = st.builds(
    Alerts,
    nudge_days=st.integers(1, 5),
    priority_days=st.integers(1, 4),
    urgent_days=st.integers(1, 3),
    clear_after_days=st.integers(1, 5),
    expiry_days=st.integers(7, 30),
)


def told(
    days: Sequence[float], rules: Alerts = RULES, watch: ThresholdState | None = None
) -> tuple[ThresholdState, list[tuple[int, AlertTransition]]]:
    """One reading a day; what happened, with the place of the day."""
    watch = watch or ThresholdState()
    found: list[tuple[int, AlertTransition]] = []
    for place, used in enumerate(days):
        reading = UtilizationReading(START + timedelta(days=place), used, SEATS)
        watch, changes = advance_threshold(watch, reading, rules)
        found += [(place, change) for change in changes]
    return watch, found


def slowly(days: Sequence[float], rules: Alerts) -> list[tuple[int, str, int, int]]:
    """The same, from the whole history of each day anew: (day, what, number, level)."""
    found: list[tuple[int, str, int, int]] = []
    number, opened, level, spent = 0, -1, -1, False
    for today in range(len(days)):
        share = [used / SEATS for used in days[: today + 1]]
        levels = [
            place
            for place, (line, wait) in enumerate(rules.severities)
            if len(share) >= wait and min(share[-wait:]) >= line
        ]
        now = max(levels, default=-1)
        pressed = [day for day in range(today) if share[day] >= rules.clear_threshold]
        calm = not pressed or today - pressed[-1] > rules.clear_after_days
        if opened >= 0 and calm:
            found.append((today, "closed", number, level))
            opened = -1
        elif opened >= 0 and today - opened >= rules.expiry_days:
            found.append((today, "closed", number, level))
            opened, spent = -1, True
        spent = spent and not calm
        if opened >= 0 and now > level:
            level = now
            found.append((today, "escalated", number, level))
        elif opened < 0 and now >= 0 and not spent:
            number, opened, level = number + 1, today, now
            found.append((today, "opened", number, level))
    return found


@given(histories, rules)
def test_it_agrees_with_a_slow_one_that_looks_at_all_days(days: list[float], how: Alerts) -> None:
    _, found = told(days, how)

    assert [(day, c.kind, c.number, c.severity) for day, c in found] == slowly(days, how)


@given(histories, rules)
def test_at_most_one_signal_is_open_and_its_level_only_rises(
    days: list[float], how: Alerts
) -> None:
    is_open, level, number = False, -1, 0
    for _, change in told(days, how)[1]:
        if change.kind == "opened":
            assert not is_open
            assert change.number == number + 1
            is_open, level, number = True, change.severity, change.number
        else:
            assert is_open
            assert change.number == number
            assert change.severity >= level
            assert (change.kind == "escalated") == (change.severity > level)
            level, is_open = change.severity, change.kind == "escalated"


@given(st.lists(st.sampled_from([70, 75, 80, 85, 90, 100, 140]), max_size=60))
def test_an_oscillation_above_the_release_never_fires_again(days: list[float]) -> None:
    opened = [change for _, change in told([*days, *days])[1] if change.kind == "opened"]

    assert len(opened) <= 2  # the second only after the first had expired, and that needs relief
    assert sum(change.number == 1 for change in opened) == len(opened)


fractions = st.lists(st.sampled_from([0, 0.3, 0.69, 0.8, 1]), max_size=3)


@given(st.lists(st.tuples(shares, fractions), max_size=60), rules)
def test_how_events_are_grouped_within_a_day_does_not_matter(
    days: list[tuple[float, list[float]]], how: Alerts
) -> None:
    watch = ThresholdState()
    last: dict[tuple[int, str, int], int] = {}
    for place, (used, fractions) in enumerate(days):
        # Within a day seats only become active: each reading is at least the one before.
        for part in (*(used * each for each in sorted(fractions)), used, used):
            reading = UtilizationReading(START + timedelta(days=place), part, SEATS)
            watch, changes = advance_threshold(watch, reading, how)
            for change in changes:
                last[place, change.kind, change.number] = change.severity

    whole, found = told([used for used, _ in days], how)
    reached: dict[int, int] = {}
    for _, change in found:
        reached[change.number] = change.severity
    grouped: dict[int, int] = {}
    for (_, _, number), level in last.items():
        grouped[number] = max(level, grouped.get(number, -1))
    assert grouped == reached
    assert watch == whole


@given(histories, rules)
def test_a_reading_counts_once_and_an_old_one_not_at_all(days: list[float], how: Alerts) -> None:
    watch, _ = told(days, how)
    again = UtilizationReading(START + timedelta(days=len(days) - 1), days[-1], SEATS)
    old = UtilizationReading(START - timedelta(days=1), 140, SEATS)

    assert advance_threshold(watch, again, how) == (watch, [])
    if watch != ThresholdState(alert_count=watch.alert_count):
        assert advance_threshold(watch, old, how) == (watch, [])


@given(histories, rules, st.integers(0, 89))
def test_it_goes_on_from_what_was_kept_as_if_nothing_had_happened(
    days: list[float], how: Alerts, cut: int
) -> None:
    watch = ThresholdState()
    for place, used in enumerate(days):
        if place == cut:
            watch = ThresholdState.from_dict(json.loads(json.dumps(watch.to_dict())))
        watch, _ = advance_threshold(
            watch, UtilizationReading(START + timedelta(days=place), used, SEATS), how
        )

    assert watch == told(days, how)[0]


def _said(days: Sequence[float], how: Alerts = RULES) -> list[tuple[int, str, int]]:
    return [(day, change.kind, change.severity) for day, change in told(days, how)[1]]


def test_a_nudge_waits_three_days_and_an_urgent_signal_none() -> None:
    assert _said([80, 80]) == []
    assert _said([80, 80, 80]) == [(2, "opened", 0)]
    assert _said([80, 79, 80, 80]) == []
    assert _said([100]) == [(0, "opened", 2)]
    assert _said([90]) == []
    assert _said([80, 80, 80, 90, 95, 100]) == [
        (2, "opened", 0),
        (4, "escalated", 1),
        (5, "escalated", 2),
    ]


def test_persistence_is_kept_by_the_clock_alone() -> None:
    # Nobody does anything; at midnight the clock reads the same seats.
    assert _said([85, 85, 85]) == [(2, "opened", 0)]


def test_it_closes_when_the_pressure_has_left_for_whole_days() -> None:
    assert _said([100, 69, 69, 69]) == [(0, "opened", 2)]
    assert _said([100, 69, 69, 69, 69]) == [(0, "opened", 2), (4, "closed", 2)]
    assert _said([100, 69, 70, 69, 69, 69]) == [(0, "opened", 2)]
    assert _said([100, 0, 0, 0, 0, 100])[-1] == (5, "opened", 2)


def test_it_expires_when_nothing_follows_and_fires_again_only_after_relief() -> None:
    short = Alerts(expiry_days=7)

    assert _said([100] * 30, short) == [(0, "opened", 2), (7, "closed", 2)]
    assert _said([100] * 8 + [60] * 2 + [100] * 3, short)[2:] == []
    assert _said([100] * 8 + [60] * 3 + [100], short)[2:] == [(11, "opened", 2)]


@pytest.mark.parametrize(
    ("reading", "ending"),
    [
        (UtilizationReading(START, 10, 20), "expanded"),
        (UtilizationReading(START, 10, 10, ended=True), "lapsed"),
        (UtilizationReading(START, 10, None), "relieved"),
    ],
)
def test_a_contract_that_changes_closes_it(reading: UtilizationReading, ending: str) -> None:
    watch, _ = advance_threshold(ThresholdState(), UtilizationReading(START, 10, 10), RULES)

    watch, (change,) = advance_threshold(watch, reading, RULES)

    assert (change.kind, change.ending) == ("closed", ending)
    assert watch.open_alert is None


def test_a_new_contract_that_is_full_at_once_makes_the_next_signal() -> None:
    watch, _ = advance_threshold(ThresholdState(), UtilizationReading(START, 10, 10), RULES)

    _, changes = advance_threshold(watch, UtilizationReading(START, 12, 12), RULES)

    assert [(c.kind, c.number, c.ending) for c in changes] == [
        ("closed", 1, "expanded"),
        ("opened", 2, None),
    ]


def test_the_rule_of_tier_1_counts_as_priority_unless_it_is_switched_off() -> None:
    readings = [
        UtilizationReading(START + timedelta(days=day), 55, 100, tier_1=True) for day in range(9)
    ]
    watch, quiet, found = ThresholdState(), ThresholdState(), []
    for reading in readings:
        watch, changes = advance_threshold(watch, reading, RULES)
        found += changes
        quiet, none = advance_threshold(quiet, reading, Alerts(tier_1=False))
        assert none == []

    assert [(change.kind, change.severity) for change in found] == [("opened", 1)]
