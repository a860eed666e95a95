"""Changes since the previous list and held readiness dates, against hand-worked cases."""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.scoring import readiness_date
from serving.scoring.text import changes
from serving.scoring.text.ui_strings import load_ui_strings
from training.evaluation import probability_bands

AS_OF = date(2026, 6, 1)
STRINGS = load_ui_strings({})
BANDS = probability_bands.list_bands()
BAND_EDGES = (0.02, 0.05, 0.1, 0.2, 0.4)
MONTHS = "|".join(calendar.month_name[1:])
LINE: dict[str, Any] = {
    "account_id": "acme",
    "rank": 1,
    "probability": 0.3,
    "tier": None,
    "limit": "none",
    "readiness_date": None,
    "as_of": AS_OF,
    "last_increase_known_at": None,
}
SCHEMA = {
    "account_id": pl.String,
    "rank": pl.Int64,
    "probability": pl.Float64,
    "tier": pl.Int64,
    "limit": pl.String,
    "readiness_date": pl.Date,
    "as_of": pl.Date,
    "last_increase_known_at": pl.Datetime("us", "UTC"),
}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    lines = [LINE | row for row in rows]
    bands = [
        None if line["probability"] is None else BANDS[band_index(line["probability"])]
        for line in lines
    ]
    return pl.DataFrame(lines, schema=SCHEMA).with_columns(band=pl.Series(bands, dtype=pl.String))


def describe_all(
    now: list[dict[str, Any]], previous: list[dict[str, Any]], days: int = 7
) -> list[list[str]]:
    """Return the changes of each row since a list of some days ago."""
    previous_list = frame(*({"as_of": AS_OF - timedelta(days=days)} | row for row in previous))
    return changes.describe_changes(frame(*now), previous_list, AS_OF, STRINGS).to_list()


def describe(now: dict[str, Any], previous: dict[str, Any], days: int = 7) -> list[str]:
    (sentences,) = describe_all([now], [previous], days)
    return sentences


@pytest.mark.parametrize(
    ("now", "previous", "expected"),
    [
        ({}, {}, []),
        ({"rank": 7}, {"rank": 90}, []),  # a rank also depends on other accounts
        ({"probability": 0.39}, {"probability": 0.34}, ["Probability up from 34% a week ago"]),
        ({"probability": 0.38}, {"probability": 0.34}, []),
        ({"probability": 0.1}, {"probability": 0.34}, ["Probability down from 34% a week ago"]),
        ({"probability": 0.1}, {"probability": None}, []),
        ({"tier": 1}, {"tier": None}, ["Now tier 1"]),
        ({"tier": 1}, {"tier": 2}, ["Now tier 1, was 2"]),
        ({"tier": None}, {"tier": 1}, ["No longer tier 1"]),
        ({"limit": "seats"}, {}, ["Now reaching its seat limit"]),
        ({"limit": "usage"}, {"limit": "seats"}, ["Now reaching its usage limit"]),
        ({"limit": "plan"}, {"limit": "none"}, []),
        ({"limit": "none"}, {"limit": "seats"}, []),
        ({"limit": "seats", "tier": 1}, {}, ["Now tier 1"]),
        ({}, {"rank": None}, ["New on the list"]),
        ({"tier": 1, "probability": 0.9}, {"account_id": "other"}, ["New on the list"]),
    ],
)
def test_changes_match_hand_worked_examples(
    now: dict[str, Any], previous: dict[str, Any], expected: list[str]
) -> None:
    assert describe(now, previous) == expected


@pytest.mark.parametrize(
    ("now", "previous", "expected"),
    [
        (date(2026, 6, 10), date(2026, 6, 3), ["Readiness date moved from 3 June to 10 June"]),
        (date(2026, 6, 9), date(2026, 6, 3), []),
        (date(2026, 6, 3), date(2026, 6, 10), ["Readiness date moved from 10 June to 3 June"]),
        (date(2026, 6, 10), date(2026, 5, 20), ["Readiness date moved from now to 10 June"]),
        (AS_OF, date(2026, 5, 20), []),
        (AS_OF, date(2026, 6, 20), ["Readiness date moved from 20 June to now"]),
        (date(2027, 1, 2), AS_OF, ["Readiness date moved from now to 2 January 2027"]),
        (date(2026, 6, 20), None, ["Readiness date set: 20 June"]),
        (None, date(2026, 6, 20), ["Readiness date removed"]),
    ],
)
def test_a_moved_date_is_described_without_a_past_day(
    now: date | None, previous: date | None, expected: list[str]
) -> None:
    assert describe({"readiness_date": now}, {"readiness_date": previous}) == expected


@pytest.mark.parametrize(
    ("days", "when"),
    [
        (1, "yesterday"),
        (6, "6 days ago"),
        (7, "a week ago"),
        (14, "2 weeks ago"),
        (30, "30 days ago"),
        (63, "63 days ago"),
    ],
)
def test_the_time_since_the_previous_list_is_exact(days: int, when: str) -> None:
    assert describe({"probability": 0.5}, {}, days) == [f"Probability up from 30% {when}"]


@pytest.mark.parametrize("previous_list", [None, frame().clear()], ids=["none", "empty"])
def test_the_first_list_has_no_changes(previous_list: pl.DataFrame | None) -> None:
    described = changes.describe_changes(frame({}, {}), previous_list, AS_OF, STRINGS)

    assert described.to_list() == [[], []]
    empty = changes.describe_changes(frame().clear(), previous_list, AS_OF, STRINGS)
    assert empty.dtype == pl.List(pl.String)


def test_a_previous_list_that_is_not_older_is_rejected() -> None:
    with pytest.raises(ValueError, match="expected a list before 2026-06-01"):
        describe({}, {}, days=0)


days_around = st.none() | st.integers(-30, 250).map(lambda days: AS_OF + timedelta(days=days))


@st.composite
def list_rows(draw: st.DrawFn, *, previous: bool) -> dict[str, Any]:
    ready = draw(days_around)
    return {
        "account_id": draw(st.sampled_from("abcdef")),
        "rank": draw(st.integers(1, 9) | (st.none() if previous else st.integers(1, 9))),
        "probability": draw(st.none() | st.floats(0, 1)),
        "tier": draw(st.sampled_from([None, 1, 2])),
        "limit": draw(st.sampled_from(["seats", "usage", "plan", "none"])),
        "readiness_date": ready if previous or ready is None else max(ready, AS_OF),
    }


def unique_accounts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["account_id"]: row for row in rows}.values())


two_lists = st.tuples(
    st.lists(list_rows(previous=False), min_size=1).map(unique_accounts),
    st.lists(list_rows(previous=True), min_size=1).map(unique_accounts),
    st.integers(1, 400),
)


def expected_changes(now: dict[str, Any], previous: dict[str, Any] | None) -> set[str]:
    """The expected changes, by their first words, derived one account at a time."""
    if previous is None or previous["rank"] is None:
        return {"New"}
    kinds = {
        "No longer": now["tier"] is None and previous["tier"] is not None,
        "Now tier": now["tier"] is not None and now["tier"] != previous["tier"],
        "Now reaching": now["tier"] == previous["tier"]
        and now["limit"] != previous["limit"]
        and now["limit"] in {"seats", "usage"},
    }
    if None not in {now["probability"], previous["probability"]}:
        points = round(now["probability"] * 100) - round(previous["probability"] * 100)
        kinds |= {"Probability up": points >= 5, "Probability down": points <= -5}
    ready, was = now["readiness_date"], previous["readiness_date"]
    kinds |= {"Readiness date set": was is None is not ready}
    kinds |= {"Readiness date removed": ready is None is not was}
    if None not in {ready, was}:
        kinds["Readiness date moved"] = abs((ready - max(was, AS_OF)).days) >= 7
    return {kind for kind, applies in kinds.items() if applies}


@given(two_lists)
def test_changes_agree_with_a_slow_version_are_at_most_two_and_show_no_past_day(
    examples: tuple[list[dict[str, Any]], list[dict[str, Any]], int],
) -> None:
    now, previous, days = examples

    described = describe_all(now, previous, days)

    previous_by_account = {row["account_id"]: row for row in previous}
    for row, sentences in zip(now, described, strict=True):
        expected = expected_changes(row, previous_by_account.get(row["account_id"]))
        assert len(sentences) == min(len(expected), 2)
        assert all(any(each.startswith(kind) for kind in expected) for each in sentences)
    for sentence in chain.from_iterable(described):
        assert not re.search(r"nan|None|null|inf|\b1 (days|weeks)\b|-\d", sentence)
        for day, year in re.findall(rf"(\d+ (?:{MONTHS}))( \d{{4}})?", sentence):
            moment = datetime.strptime(day + (year or " 2026"), "%d %B %Y").replace(tzinfo=UTC)
            assert moment.date() > AS_OF


def band_index(probability: float | None) -> int:
    return -1 if probability is None else sum(probability >= edge for edge in BAND_EDGES)


def is_held(
    now: dict[str, Any],
    previous: dict[str, Any],
    increase_known_at: datetime | None,
    previous_as_of: datetime,
) -> bool:
    """Whether a communicated date is held, derived one account at a time."""
    if previous["readiness_date"] is None:
        return False
    if increase_known_at is not None and increase_known_at >= previous_as_of:
        return False
    known = None not in {now["probability"], previous["probability"]}
    likely = known and band_index(now["probability"]) >= band_index(previous["probability"])
    return likely or now["tier"] == previous["tier"] == 1


@given(two_lists, st.lists(st.none() | st.integers(0, 400), min_size=6, max_size=6))
def test_a_communicated_date_is_held_until_the_situation_changes(
    examples: tuple[list[dict[str, Any]], list[dict[str, Any]], int], hours_ago: list[int | None]
) -> None:
    now, previous, days = examples
    midnight = datetime.combine(AS_OF, time(), UTC)
    known_at = {
        row["account_id"]: None if hours is None else midnight - timedelta(hours=hours)
        for row, hours in zip(now, hours_ago, strict=False)
    }
    previous_list = frame(*({**row, "as_of": AS_OF - timedelta(days=days)} for row in previous))
    previous_by_account = {row["account_id"]: row for row in previous}

    rows = [row | {"last_increase_known_at": known_at[row["account_id"]]} for row in now]
    dates = readiness_date.hold_readiness_dates(frame(*rows), previous_list, AS_OF).to_list()

    for row, ready in zip(now, dates, strict=True):
        account = row["account_id"]
        old = previous_by_account.get(account)
        if old and is_held(row, old, known_at[account], midnight - timedelta(days=days)):
            held = max(old["readiness_date"], AS_OF)
            assert ready == min(row["readiness_date"] or held, held)
        else:
            assert ready == row["readiness_date"]
        assert ready is None or ready >= AS_OF


WEEK = timedelta(weeks=1)


@pytest.mark.parametrize(
    ("previous", "now", "days_since_increase", "expected"),
    [
        # Without events the expected day recedes by a week, but the held date does not.
        ({"probability": 0.3}, {"probability": 0.29}, None, "old"),
        ({"probability": 0.3}, {"probability": 0.5}, None, "old"),
        ({"probability": 0.3}, {"probability": 0.19}, None, "new"),  # 10% to 20%, was 20% to 40%
        ({"probability": 0.3}, {"probability": 0.3}, 3.0, "new"),  # a purchase since the list
        ({"probability": 0.3}, {"probability": 0.3}, 7.0, "new"),  # known right after the list
        ({"probability": 0.3}, {"probability": 0.3}, 7.1, "old"),  # already known to the list
        ({"probability": 0.3, "tier": 1}, {"probability": 0.19, "tier": 1}, None, "old"),
        ({"probability": 0.3, "tier": 1}, {"probability": 0.19, "tier": 2}, None, "new"),
        ({"probability": None, "tier": 1}, {"probability": None, "tier": 1}, None, "old"),
        ({"probability": None}, {"probability": 0.3}, None, "new"),
    ],
)
def test_a_date_does_not_recede_without_events(
    previous: dict[str, Any],
    now: dict[str, Any],
    days_since_increase: float | None,
    expected: str,
) -> None:
    old, new = AS_OF + timedelta(days=16), AS_OF + timedelta(days=23)
    previous_list = frame(previous | {"readiness_date": old, "as_of": AS_OF - WEEK})
    known_at = days_since_increase and datetime.combine(AS_OF, time(), UTC) - timedelta(
        days=days_since_increase
    )

    rows = frame(now | {"readiness_date": new, "last_increase_known_at": known_at})
    (ready,) = readiness_date.hold_readiness_dates(rows, previous_list, AS_OF)

    assert ready == {"old": old, "new": new}[expected]


@pytest.mark.parametrize(("tier", "expected"), [(None, 23), (1, 16)])
def test_an_unknown_stored_band_holds_no_date_and_stops_no_run(
    tier: int | None, expected: int
) -> None:
    old, new = AS_OF + timedelta(days=16), AS_OF + timedelta(days=23)
    stored = frame({"tier": tier, "readiness_date": old, "as_of": AS_OF - WEEK})
    stored = stored.with_columns(band=pl.lit("30% and more"))

    rows = frame({"tier": tier, "readiness_date": new})
    (ready,) = readiness_date.hold_readiness_dates(rows, stored, AS_OF)

    assert ready == AS_OF + timedelta(days=expected)


def test_a_held_date_approaches_week_by_week_and_then_stays_at_the_as_of() -> None:
    previous_list, days_ahead = None, []
    for week in range(5):
        today = AS_OF + week * WEEK
        rows = frame({"readiness_date": today + timedelta(days=16), "as_of": today})
        dates = readiness_date.hold_readiness_dates(rows, previous_list, today)
        previous_list = rows.with_columns(readiness_date=dates)
        days_ahead.append((dates[0] - today).days)

    assert days_ahead == [16, 9, 2, 0, 0]
