"""A signal is a sentence that a CSM can read aloud, whatever the numbers behind it."""

import re
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import NAMES, SIGNALS, by_name
from training import signals
from training.model import Propensity

BELOW_ZERO = {"seat_headroom", "days_to_renewal"}  # what a template is told may be less than none
values = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, 9.96, 1e15]),
    st.integers(0, 10_000).map(float),
    st.floats(0, 1e6),
)
below = st.integers(-500, -1).map(float)
facts = st.fixed_dictionaries(
    {name: st.none() | values | (below if name in BELOW_ZERO else values) for name in NAMES}
)
NOUNS = "people|seats|features|integrations|departments|e-mail domains|days|months|years|actions"


@given(facts)
@settings(max_examples=100)
def test_every_sentence_reads_well_whatever_the_numbers(known: dict[str, float | None]) -> None:
    told = {signal: signals.sentence(signal, known) for signal in SIGNALS}

    for signal, text in told.items():
        silent = any(known[fact] is None for fact in SIGNALS[signal].facts)
        assert bool(text) is not silent, signal
    for text in filter(None, told.values()):
        assert text[0].isupper() or text[0].isdigit(), text
        assert not re.search(r"\bnan\b|None|unknown|\binf\b|\{|\}|  ", text), text
        assert not re.search(r"(?<![\w])-", text), text
        assert not re.search(rf"(?<![\d,.])1 ({NOUNS})\b", text), text
        assert not re.search(r"\b0 (people|person|seat|feature)", text), text


@pytest.mark.parametrize(
    ("signal", "known", "text"),
    [
        (
            "seat_utilization",
            {"active_seats": 9, "licensed_seats": 10, "active_seats_90d_ago": 6},
            "9 of 10 seats active, up from 6 three months ago",
        ),
        (
            "seat_utilization",
            {"active_seats": 1, "licensed_seats": 1, "active_seats_90d_ago": 1},
            "1 of 1 seat active, as three months ago",
        ),
        (
            "active_users",
            {"active_users_30d": 1, "active_users_90d_ago": 1200},
            "1 person active in the last 30 days, down from 1,200 three months ago",
        ),
        ("headroom", {"seat_headroom": -3, "new_users_90d": 2}, "No seat is free, and 2 people"),
        ("headroom", {"seat_headroom": 1, "new_users_90d": 0}, "1 seat free"),
        ("usage_ratio", {"usage_ratio": 0.934, "usage_ratio_90d_ago": None}, "93% of the monthly"),
        ("usage_days_to_limit", {"usage_days_to_limit": 9.96}, "At this pace the usage limit is"),
        ("renewal", {"days_to_renewal": 1}, "Renews in 1 day"),
        ("renewal", {"days_to_renewal": -4}, "The renewal date has passed"),
        ("new_user_recency", {"days_since_new_user": 1}, "The last new user came yesterday"),
        ("past_expansions", {"expansions_so_far": 2, "days_since_expansion": 40}, "Expanded twice"),
        ("tenure", {"tenure_days": 59}, "A customer for 59 days"),
        ("tenure", {"tenure_days": 61}, "A customer for 2 months"),
        ("tenure", {"tenure_days": 800}, "A customer for 2 years"),
        (
            "departments",
            {"departments_90d": 2, "departments_new_90d": 1},
            "2 departments active, 1",
        ),
    ],
)
def test_a_sentence_says_what_its_numbers_say(
    signal: str, known: dict[str, float | None], text: str
) -> None:
    found = signals.sentence(signal, dict.fromkeys(NAMES) | known)

    assert found.startswith(text)


def test_a_sentence_about_a_fraction_of_a_day_is_still_about_days() -> None:
    told = {
        signals.sentence("usage_days_to_limit", {"usage_days_to_limit": days})
        for days in (0.96, 1.0, 1.04)
    }

    assert told == {"At this pace the usage limit is reached in 1 day"}


def test_every_feature_the_model_reads_belongs_to_a_signal_with_a_sentence(
    fitted: Propensity,
) -> None:
    assert {by_name[name].signal for name in fitted.inputs} <= set(SIGNALS)


def test_contributions_of_signals_add_up_to_the_margin(fitted: Propensity, history: Any) -> None:
    found = signals.explain(fitted, history.snapshots)

    sums = [sum(parts.values()) for parts in found.contributions] + found.base
    margin = fitted.estimate(history.snapshots).margin
    np.testing.assert_allclose(sums, margin, rtol=0, atol=1e-9)


def test_contributions_come_largest_first(fitted: Propensity, history: Any) -> None:
    found = signals.explain(fitted, history.snapshots)

    for parts in found.contributions:
        assert list(parts.values()) == sorted(parts.values(), reverse=True)


def test_sentences_tell_the_signals_that_push_up_most(fitted: Propensity, history: Any) -> None:
    some = history.snapshots.head(100)
    facts = some.select(NAMES).rows(named=True)

    found = signals.explain(fitted, some, most=2)

    for row, parts, sentences in zip(facts, found.contributions, found.sentences, strict=True):
        rising = [signals.sentence(name, row) for name, part in parts.items() if part > 0]
        assert sentences == [text for text in rising if text][:2]


def test_a_signal_of_which_nothing_is_known_is_not_told(fitted: Propensity, history: Any) -> None:
    nothing = history.snapshots.head(20).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in NAMES
    )

    found = signals.explain(fitted, nothing)

    assert found.sentences == [[]] * 20
    assert all(len(parts) == len(found.contributions[0]) for parts in found.contributions)


def test_a_signal_that_pushes_down_is_not_told(fitted: Propensity, history: Any) -> None:
    found = signals.explain(fitted, history.snapshots, most=len(SIGNALS))

    for parts, sentences in zip(found.contributions, found.sentences, strict=True):
        assert len(sentences) <= sum(part > 0 for part in parts.values())
