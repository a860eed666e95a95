"""What became of a band, and how thin a line is, in words that are never wrong or clumsy."""

import re
from datetime import UTC, date, datetime, timedelta
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
from training.model.event_date import EventDateEstimate

WORDS = ui_strings.load_default_strings()

# Bands


@pytest.mark.parametrize(
    ("expanded", "accounts", "told"),
    [
        (0, 1, "The one account in this band before did not expand"),
        (1, 1, "The one account in this band before expanded"),
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
def test_a_band_is_told_as_worked_out_by_hand(expanded: int, accounts: int, told: str) -> None:
    assert band_history.format_band(expanded, accounts, WORDS) == told


@given(accounts=st.integers(2, 100_000), data=st.data())
def test_what_a_band_tells_is_near_the_truth_and_all_or_none_only_where_it_is(
    accounts: int, data: st.DataObject
) -> None:
    expanded = data.draw(st.sampled_from([0, 1, accounts - 1, accounts]) | st.integers(0, accounts))

    told = band_history.format_band(expanded, accounts, WORDS)

    assert told.startswith("None of ") == (expanded == 0)
    assert told.startswith("All ") == (expanded == accounts)
    if 0 < expanded < accounts:
        part, of = (int(n.replace(",", "")) for n in re.findall(r"[\d,]+", told))
        assert 0 < part < of
        tolerance = 0.0 if of == accounts else 0.02 if of == 10 else 0.005
        assert abs(part / of - expanded / accounts) <= tolerance + 1e-12


def test_a_band_in_which_nobody_was_before_tells_nothing() -> None:
    seen = [{"band": "10% to 20%", "snapshots": 200, "value": 0.18}]

    found = band_history.describe_bands(pl.Series(["10% to 20%", "under 2%", None]), seen, WORDS)

    assert found.to_list() == ["18 of 100 accounts in this band expanded", None, None]
    assert band_history.describe_bands(pl.Series(["under 2%"]), [], WORDS).to_list() == [None]


# Notes

KNOWN = dict.fromkeys(FEATURE_NAMES, 1.0) | {"tenure_days": 400.0, "events_30d": 50.0}


def note(
    facts: dict[str, float | None] | None = None,
    line: dict[str, Any] | None = None,
    rules: dict[str, Any] | None = None,
) -> str | None:
    """The note of the first of three accounts, of which the others are well known."""
    snapshots = pl.DataFrame(
        [KNOWN | (facts or {}), KNOWN, KNOWN], schema=dict.fromkeys(FEATURE_NAMES, pl.Float64)
    ).with_columns(account_id=pl.Series(["acme", "beta", "core"]))
    told = {"account_id": "acme", "probability": 0.1, "expected_arr": 100.0} | (line or {})
    rows = [told, told | {"account_id": "beta"}, told | {"account_id": "core"}]
    schema = {"account_id": pl.String, "probability": pl.Float64, "expected_arr": pl.Float64}
    found = low_evidence_notes.describe_low_evidence(
        pl.DataFrame(rows, schema=schema), snapshots, Scoring(**(rules or {})), WORDS
    )
    return found.to_list()[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, None),
        ({"tenure_days": 90.0}, None),
        ({"tenure_days": 1.0}, "A customer for 1 day only: little history behind this line"),
        ({"tenure_days": 0.0}, "A customer for 0 days only: little history behind this line"),
        ({"tenure_days": 45.0, "events_30d": 0.0}, "A customer for 45 days only"),
        ({"events_30d": 10.0}, None),
        ({"events_30d": 9.0}, "Only 9 events in the last 30 days: little to go by"),
        ({"events_30d": 1.0}, "Only 1 event in the last 30 days"),
        ({"events_30d": 0.0}, "No event in the last 30 days"),
        ({"tenure_days": None, "events_30d": None}, None),
    ],
)
def test_thin_history_is_told_in_one_sentence(
    facts: dict[str, float | None], told: str | None
) -> None:
    found = note(facts)

    assert found is None if told is None else (found or "").startswith(told)


def test_missing_features_are_told_where_other_accounts_have_them() -> None:
    gone: dict[str, float | None] = dict.fromkeys(FEATURE_NAMES[-20:])

    assert note(gone) == f"20 of {len(FEATURE_NAMES)} features are not known of this account"
    assert note(gone, rules={"low_evidence_share": 0.5}) is None


def test_who_has_no_revenue_on_file_is_told_so_where_revenue_ranks() -> None:
    without = {"expected_arr": None}

    assert note(line=without) is None
    assert note(line=without, rules={"rank_by": "expected_arr"}) == (
        "No revenue on file: listed after all that have it"
    )
    assert note(line=without | {"probability": None}, rules={"rank_by": "expected_arr"}) is None


# Numbers and days


@given(st.integers(0, 5_000_000))
def test_whole_numbers_are_written_with_commas(number: int) -> None:
    assert pl.select(ui_strings.format_integer(pl.lit(number))).item() == f"{number:,}"


@given(st.integers(0, 400))
def test_days_ago_are_told_exactly(days: int) -> None:
    told = pl.select(WORDS.format_days_ago(pl.lit(days))).item()

    found = re.search(r"(\d+) (day|week)", told)
    if found:
        assert int(found[1]) * {"day": 1, "week": 7}[found[2]] == days
        assert int(found[1]) > 1
    else:
        assert told == {0: "today", 1: "yesterday", 7: "a week ago"}[days]


AS_OF = date(2026, 11, 20)


@given(st.integers(-400, 400))
def test_a_day_is_told_with_its_year_where_that_is_another_and_never_once_past(days: int) -> None:
    day = AS_OF + timedelta(days=days)

    told = pl.select(WORDS.format_day(pl.lit(day), AS_OF)).item()

    year = "" if day.year == AS_OF.year else f" {day.year}"
    assert told == ("now" if days <= 0 else f"{day.day} {day:%B}{year}")


# A company's own words


def test_phrases_may_be_reworded_and_their_parts_turned_round() -> None:
    own = ui_strings.load_ui_strings(
        {
            "tier_other": "{before} war der Rang, jetzt {tier}",
            "date": "{day}. {month}",
            "month_names": "Januar Februar März April Mai Juni Juli August September Oktober"
            " November Dezember",
        }
    )

    told = pl.select(
        tier=own.format_expr("tier_other", tier=pl.lit(1), before=pl.lit(2)),
        day=own.format_day(pl.lit(date(2026, 12, 3)), AS_OF),
        new=own.format_expr("new"),
    ).row(0)

    assert told == ("2 war der Rang, jetzt 1", "3. Dezember", "New on the list")


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"tier_frist": "x"}, "there is no phrase tier_frist. Did you mean tier_first?"),
        ({"tier_first": "{level}"}, "here {tier}; found '{level}'"),
        ({"new": "{tier}"}, "here none; found '{tier}'"),
        ({"new": "100 {"}, "braces hold the parts of a phrase"),
        ({"month_names": "Jan Feb"}, "expected the names of twelve months"),
    ],
)
def test_a_phrase_that_cannot_be_told_is_refused_in_one_sentence(
    own: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        ui_strings.load_ui_strings(own)


@given(
    st.lists(
        st.tuples(st.floats(0, 180), st.floats(0, 180), st.floats(0, 180), st.floats(0, 1)),
        min_size=1,
    ),
    st.integers(0, 180),
    st.data(),
)
def test_no_date_of_a_line_is_before_the_as_of(
    drawn: list[tuple[float, float, float, float]], lead: int, data: st.DataObject
) -> None:
    early, median, late = np.sort(np.array([row[:3] for row in drawn]), axis=1).T
    found = EventDateEstimate(np.array([row[3] for row in drawn]), early, median, late)
    tier = data.draw(
        st.lists(st.sampled_from([None, 1, 2]), min_size=len(drawn), max_size=len(drawn))
    )
    tiers = pl.Series(tier, dtype=pl.Int32)
    rules = Scoring(lead_days=lead)
    midnight = datetime(2026, 11, 20, tzinfo=UTC)

    days = readiness_date.event_date_columns(found, midnight)
    ready = readiness_date.compute_readiness_dates(found, midnight, tiers, rules)

    assert all(value.min() >= AS_OF for value in days.values())  # type: ignore[operator]
    for name, quantile in (("expected_early", early), ("expected_date", median)):
        slow = [AS_OF + timedelta(days=int(day)) for day in quantile]
        assert days[name].to_list() == slow
    for value, level, width, within in zip(
        ready, tier, found.width, found.probability_180d, strict=True
    ):
        sure = within >= rules.date_min_probability and width <= rules.date_width_days
        assert (value is not None) == (level == 1 or sure)
        assert value is None or value >= AS_OF
        assert level != 1 or value <= AS_OF + timedelta(days=14)
