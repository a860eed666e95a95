"""Texts of a list row: band history, low-evidence notes, numbers, dates and custom strings."""

import re
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Scoring
from data.errors import SettingsError
from features.catalogue import FEATURE_NAMES
from serving.scoring import readiness_date
from serving.scoring.text import band_history, low_evidence_notes, ui_strings
from training.explain.number_format import NumberFormat

STRINGS = ui_strings.load_ui_strings({})

# Bands


@pytest.mark.parametrize(
    ("expanded", "accounts", "text"),
    [
        (0, 1, "The only account in this band did not expand"),
        (1, 1, "The only account in this band expanded"),
        (0, 40, "None of 40 accounts in this band expanded"),
        (5, 5, "All 5 accounts in this band expanded"),
        (1, 12, "1 of 12 accounts in this band expanded"),
        (19, 20, "19 of 20 accounts in this band expanded"),
        (183, 301, "6 of 10 accounts in this band expanded"),
        (36, 200, "18 of 100 accounts in this band expanded"),
        (39, 200, "2 of 10 accounts in this band expanded"),
        (73, 200, "36 of 100 accounts in this band expanded"),
        (182, 200, "9 of 10 accounts in this band expanded"),
        (190, 200, "95 of 100 accounts in this band expanded"),
        (197, 200, "197 of 200 accounts in this band expanded"),
        (3, 1000, "3 of 1,000 accounts in this band expanded"),
        (999, 1000, "999 of 1,000 accounts in this band expanded"),
    ],
)
def test_band_texts_match_hand_worked_examples(expanded: int, accounts: int, text: str) -> None:
    assert band_history.format_band(expanded, accounts, STRINGS) == text


@given(accounts=st.integers(2, 100_000), data=st.data())
def test_a_band_text_is_close_to_the_share_and_says_all_or_none_only_if_exact(
    accounts: int, data: st.DataObject
) -> None:
    expanded = data.draw(st.sampled_from([0, 1, accounts - 1, accounts]) | st.integers(0, accounts))

    text = band_history.format_band(expanded, accounts, STRINGS)

    assert text.startswith("None of ") == (expanded == 0)
    assert text.startswith("All ") == (expanded == accounts)
    if 0 < expanded < accounts:
        part, whole = (int(n.replace(",", "")) for n in re.findall(r"[\d,]+", text))
        assert 0 < part < whole
        tolerance = 0.0 if whole == accounts else 0.02 if whole == 10 else 0.005
        assert abs(part / whole - expanded / accounts) <= tolerance + 1e-12


def test_a_band_without_history_has_no_text() -> None:
    bands = [{"band": "10% to 20%", "snapshots": 200, "value": 0.18}]

    texts = band_history.describe_bands(pl.Series(["10% to 20%", "under 2%", None]), bands, STRINGS)

    assert texts.to_list() == ["18 of 100 accounts in this band expanded", None, None]
    assert band_history.describe_bands(pl.Series(["under 2%"]), [], STRINGS).to_list() == [None]


# Notes

ESTABLISHED = dict.fromkeys(FEATURE_NAMES, 1.0) | {"tenure_days": 400.0, "events_30d": 50.0}


def note(
    features: dict[str, float | None] | None = None,
    row: dict[str, Any] | None = None,
    rules: dict[str, Any] | None = None,
) -> str | None:
    """The note of the first of three accounts; the others are established."""
    usual = ESTABLISHED | {"probability": 0.1, "expected_arr": 100.0} | (row or {})
    names = (*FEATURE_NAMES, "probability", "expected_arr")
    rows = pl.DataFrame(
        [usual | (features or {}), usual, usual], schema=dict.fromkeys(names, pl.Float64)
    )
    notes = low_evidence_notes.describe_low_evidence(rows, Scoring(**(rules or {})), STRINGS)
    return notes.to_list()[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ({}, None),
        ({"tenure_days": 90.0}, None),
        ({"tenure_days": 1.0}, "Customer for only 1 day: little history"),
        ({"tenure_days": 0.0}, "Customer for only 0 days: little history"),
        ({"tenure_days": 45.0, "events_30d": 0.0}, "Customer for only 45 days"),
        ({"events_30d": 10.0}, None),
        ({"events_30d": 9.0}, "Only 9 events in the last 30 days: little evidence"),
        ({"events_30d": 1.0}, "Only 1 event in the last 30 days"),
        ({"events_30d": 0.0}, "No event in the last 30 days"),
        ({"tenure_days": None, "events_30d": None}, None),
    ],
)
def test_low_evidence_is_described_in_one_sentence(
    features: dict[str, float | None], text: str | None
) -> None:
    described = note(features)

    assert described is None if text is None else (described or "").startswith(text)


def test_missing_features_are_counted_if_other_accounts_have_them() -> None:
    missing: dict[str, float | None] = dict.fromkeys(FEATURE_NAMES[-20:])

    assert note(missing) == f"20 of {len(FEATURE_NAMES)} features are missing for this account"
    assert note(dict.fromkeys(FEATURE_NAMES[-15:])) is None  # less than a tenth


def test_missing_revenue_is_noted_only_if_revenue_ranks() -> None:
    no_revenue = {"expected_arr": None}

    assert note(row=no_revenue) is None
    assert note(row=no_revenue, rules={"rank_by": "expected_arr"}) == (
        "No revenue on file: listed after accounts with revenue"
    )
    assert note(row=no_revenue | {"probability": None}, rules={"rank_by": "expected_arr"}) is None


# Numbers and days


@given(st.integers(0, 5_000_000))
def test_whole_numbers_have_thousands_separators(number: int) -> None:
    text = pl.select(STRINGS.pluralize(pl.lit(number), "event")).item()

    assert text == ("1 event" if number == 1 else f"{number:,} events")


@given(st.integers(0, 400))
def test_days_ago_are_exact(days: int) -> None:
    text = pl.select(STRINGS.format_days_ago(pl.lit(days))).item()

    match = re.search(r"(\d+) (day|week)", text)
    if match:
        assert int(match[1]) * {"day": 1, "week": 7}[match[2]] == days
        assert int(match[1]) > 1
    else:
        assert text == {0: "today", 1: "yesterday", 7: "a week ago"}[days]


AS_OF = date(2026, 11, 20)


@given(st.integers(-400, 400))
def test_a_day_has_its_year_if_that_differs_and_a_past_day_is_now(days: int) -> None:
    day = AS_OF + timedelta(days=days)

    text = pl.select(STRINGS.format_day(pl.lit(day), AS_OF)).item()

    year = "" if day.year == AS_OF.year else f" {day.year}"
    assert text == ("now" if days <= 0 else f"{day.day} {day:%B}{year}")


# Custom strings


def test_strings_can_be_overridden_with_reordered_placeholders() -> None:
    strings = ui_strings.load_ui_strings(
        {
            "tier_changed": "{{ before }} war der Rang, jetzt {{tier}}",
            "date": "{{ day }}. {{ month }}",
            "month_names": "Januar Februar März April Mai Juni Juli August September Oktober"
            " November Dezember",
        }
    )

    texts = pl.select(
        tier=strings.format_expr("tier_changed", tier=pl.lit(1), before=pl.lit(2)),
        day=strings.format_day(pl.lit(date(2026, 12, 3)), AS_OF),
        new=strings.format_expr("new_on_list"),
    ).row(0)

    assert texts == ("2 war der Rang, jetzt 1", "3. Dezember", "New on the list")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tier_raeched": "x"}, "unknown name tier_raeched. Did you mean tier_reached?"),
        ({"tier_reached": "{{ tire }}"}, "tier_reached: unknown name tire. Did you mean tier?"),
        ({"new_on_list": "{{ tier }}"}, "new_on_list: unknown name tier."),
        (
            {"tier_changed": "{tier}, {before}"},
            "expected only placeholders in double braces, here {{ tier }}, {{ before }}; found"
            " '{tier}, {before}'.",
        ),
        ({"new_on_list": "100 {"}, "expected only placeholders in double braces, here none"),
        ({"tier_reached": "{{ tier"}, "tier_reached: expected only placeholders in double braces"),
        ({"tier_reached": "{{ tier + }}"}, "tier_reached: the template cannot be rendered"),
        ({"tier_reached": "{{ tier + 1 }}"}, "tier_reached: the template cannot be rendered"),
        (
            {"tier_reached": "{{ tier.__class__.__mro__ }}"},
            "tier_reached: the template cannot be rendered",
        ),
        ({"month_names": "Jan Feb"}, "expected twelve month names"),
    ],
)
def test_an_invalid_string_is_rejected_in_one_sentence(
    overrides: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        ui_strings.load_ui_strings(overrides)


def test_strings_use_the_number_format_of_the_reason_templates() -> None:
    strings = ui_strings.load_ui_strings({}, NumberFormat(thousands=".", decimal=","))

    assert band_history.format_band(0, 1200, strings) == (
        "None of 1.200 accounts in this band expanded"
    )


@given(
    st.lists(
        st.tuples(st.floats(0, 180), st.floats(0, 180), st.floats(0, 180), st.floats(0, 1)),
        min_size=1,
    ),
    st.integers(0, 180),
    st.data(),
)
def test_no_readiness_date_is_before_the_as_of(
    examples: list[tuple[float, float, float, float]], lead: int, data: st.DataObject
) -> None:
    early, median, late = np.sort(np.array([row[:3] for row in examples]), axis=1).T
    tier = data.draw(
        st.lists(st.sampled_from([None, 1, 2]), min_size=len(examples), max_size=len(examples))
    )
    rules = Scoring(lead_days=lead)
    rows = pl.DataFrame(
        {
            "tier": pl.Series(tier, dtype=pl.Int32),
            "expected_date": [AS_OF + timedelta(days=int(day)) for day in median],
            "interval_days": late - early,
            "probability_180d": [row[3] for row in examples],
        }
    )

    ready = rows.with_columns(readiness_date=readiness_date.compute_readiness_dates(AS_OF, rules))

    for row in ready.iter_rows(named=True):
        likely = row["probability_180d"] >= rules.date_min_probability
        certain = likely and row["interval_days"] <= rules.date_width_days
        value, expected = row["readiness_date"], row["expected_date"]
        assert (value is not None) == (row["tier"] == 1 or certain)
        assert value is None or AS_OF <= value <= max(AS_OF, expected - timedelta(days=lead))
        assert row["tier"] != 1 or value <= AS_OF + timedelta(days=14)
