"""What is new at an account is told as it was worked out by hand, and only where it is news."""

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
from serving.scoring.text.ui_strings import load_default_strings

AS_OF = date(2026, 6, 1)
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
}
SCHEMA = {
    "account_id": pl.String,
    "rank": pl.Int64,
    "probability": pl.Float64,
    "tier": pl.Int64,
    "limit": pl.String,
    "readiness_date": pl.Date,
    "as_of": pl.Date,
}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([LINE | row for row in rows], schema=SCHEMA)


def told(now: dict[str, Any], then: dict[str, Any], days: int = 7) -> list[str]:
    before = frame({"as_of": AS_OF - timedelta(days=days)} | then)
    (found,) = changes.describe_changes(frame(now), before, AS_OF, load_default_strings()).to_list()
    return list(found)


@pytest.mark.parametrize(
    ("now", "then", "news"),
    [
        ({}, {}, []),
        ({"rank": 7}, {"rank": 90}, []),  # the others' doing as much as its own
        ({"probability": 0.39}, {"probability": 0.34}, ["Chance up from 34% a week ago"]),
        ({"probability": 0.38}, {"probability": 0.34}, []),
        ({"probability": 0.1}, {"probability": 0.34}, ["Chance down from 34% a week ago"]),
        ({"probability": 0.1}, {"probability": None}, []),
        ({"tier": 1}, {"tier": None}, ["Now tier 1"]),
        ({"tier": 1}, {"tier": 2}, ["Now tier 1, was 2"]),
        ({"tier": None}, {"tier": 1}, ["No longer tier 1"]),
        ({"limit": "seats"}, {}, ["Now running into its seats"]),
        ({"limit": "usage"}, {"limit": "seats"}, ["Now running into its usage limit"]),
        ({"limit": "plan"}, {"limit": "none"}, []),
        ({"limit": "none"}, {"limit": "seats"}, []),
        ({"limit": "seats", "tier": 1}, {}, ["Now tier 1"]),
        ({}, {"rank": None}, ["New on the list"]),
        ({"tier": 1, "probability": 0.9}, {"account_id": "other"}, ["New on the list"]),
    ],
)
def test_news_is_told_as_worked_out_by_hand(
    now: dict[str, Any], then: dict[str, Any], news: list[str]
) -> None:
    assert told(now, then) == news


@pytest.mark.parametrize(
    ("now", "then", "news"),
    [
        (date(2026, 6, 10), date(2026, 6, 3), ["Readiness date moved from 3 June to 10 June"]),
        (date(2026, 6, 9), date(2026, 6, 3), []),
        (date(2026, 6, 3), date(2026, 6, 10), ["Readiness date moved from 10 June to 3 June"]),
        (date(2026, 6, 10), date(2026, 5, 20), ["Readiness date moved from now to 10 June"]),
        (AS_OF, date(2026, 5, 20), []),
        (AS_OF, date(2026, 6, 20), ["Readiness date moved from 20 June to now"]),
        (date(2027, 1, 2), AS_OF, ["Readiness date moved from now to 2 January 2027"]),
        (date(2026, 6, 20), None, ["Readiness date named: 20 June"]),
        (None, date(2026, 6, 20), ["No specific readiness date any more"]),
    ],
)
def test_a_date_that_moved_is_told_without_a_day_that_has_passed(
    now: date | None, then: date | None, news: list[str]
) -> None:
    assert told({"readiness_date": now}, {"readiness_date": then}) == news


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
def test_the_distance_in_time_is_the_true_one(days: int, when: str) -> None:
    assert told({"probability": 0.5}, {}, days) == [f"Chance up from 30% {when}"]


def test_the_first_list_has_no_news() -> None:
    nothing = frame().clear()

    assert changes.describe_changes(
        frame({}, {}), None, AS_OF, load_default_strings()
    ).to_list() == [[], []]
    assert changes.describe_changes(
        frame({}, {}), nothing, AS_OF, load_default_strings()
    ).to_list() == [[], []]
    assert changes.describe_changes(nothing, None, AS_OF, load_default_strings()).dtype == pl.List(
        pl.String
    )


def test_a_list_that_is_not_from_before_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a list from before 2026-06-01"):
        changes.describe_changes(frame({}), frame({"as_of": AS_OF}), AS_OF, load_default_strings())


days_around = st.none() | st.integers(-30, 250).map(lambda days: AS_OF + timedelta(days=days))


@st.composite
def lines(draw: st.DrawFn, *, before: bool) -> dict[str, Any]:
    ready = draw(days_around)
    return {
        "account_id": draw(st.sampled_from("abcdef")),
        "rank": draw(st.integers(1, 9) | (st.none() if before else st.integers(1, 9))),
        "probability": draw(st.none() | st.floats(0, 1)),
        "tier": draw(st.sampled_from([None, 1, 2])),
        "limit": draw(st.sampled_from(["seats", "usage", "plan", "none"])),
        "readiness_date": ready if before or ready is None else max(ready, AS_OF),
    }


def by_account(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["account_id"]: row for row in found}.values())


now_and_then = st.tuples(
    st.lists(lines(before=False), min_size=1).map(by_account),
    st.lists(lines(before=True), min_size=1).map(by_account),
    st.integers(1, 400),
)


def slow(now: dict[str, Any], then: dict[str, Any] | None) -> set[str]:
    """The kinds of news, by their first words, worked out one account at a time."""
    if then is None or then["rank"] is None:
        return {"New"}
    news = {
        "No longer": now["tier"] is None and then["tier"] is not None,
        "Now tier": now["tier"] is not None and now["tier"] != then["tier"],
        "Now running": now["tier"] == then["tier"]
        and now["limit"] != then["limit"]
        and now["limit"] in {"seats", "usage"},
    }
    if None not in {now["probability"], then["probability"]}:
        points = round(now["probability"] * 100) - round(then["probability"] * 100)
        news |= {"Chance up": points >= 5, "Chance down": points <= -5}
    ready, was = now["readiness_date"], then["readiness_date"]
    news |= {"Readiness date named": was is None is not ready}
    news |= {"No specific": ready is None is not was}
    if None not in {ready, was}:
        news["Readiness date moved"] = abs((ready - max(was, AS_OF)).days) >= 7
    return {kind for kind, holds in news.items() if holds}


@given(now_and_then)
def test_news_agrees_with_a_slow_version_and_is_never_more_than_two(
    drawn: tuple[list[dict[str, Any]], list[dict[str, Any]], int],
) -> None:
    now, then, days = drawn
    before = frame(*({**row, "as_of": AS_OF - timedelta(days=days)} for row in then))

    found = changes.describe_changes(frame(*now), before, AS_OF, load_default_strings()).to_list()

    past = {row["account_id"]: row for row in then}
    for row, sentences in zip(now, found, strict=True):
        expected = slow(row, past.get(row["account_id"]))
        assert len(sentences) == min(len(expected), 2)
        assert all(any(each.startswith(kind) for kind in expected) for each in sentences)


@given(now_and_then)
def test_no_news_shows_a_gap_or_a_day_that_has_passed(
    drawn: tuple[list[dict[str, Any]], list[dict[str, Any]], int],
) -> None:
    now, then, days = drawn
    before = frame(*({**row, "as_of": AS_OF - timedelta(days=days)} for row in then))

    for sentence in chain.from_iterable(
        changes.describe_changes(frame(*now), before, AS_OF, load_default_strings()).to_list()
    ):
        assert not re.search(r"nan|None|null|inf|\b1 (days|weeks)\b|-\d", sentence)
        for day, year in re.findall(rf"(\d+ (?:{MONTHS}))( \d{{4}})?", sentence):
            told = datetime.strptime(day + (year or " 2026"), "%d %B %Y").replace(tzinfo=UTC)
            assert told.date() > AS_OF


def places(probability: float | None) -> int:
    return -1 if probability is None else sum(probability >= edge for edge in BAND_EDGES)


def risen(heard: dict[str, datetime | None]) -> pl.DataFrame:
    """When it was heard that accounts bought more."""
    kinds = {"account_id": pl.String, "heard": pl.Datetime("us", "UTC")}
    return pl.DataFrame({"account_id": list(heard), "heard": list(heard.values())}, schema=kinds)


def holds(now: dict[str, Any], then: dict[str, Any], days: datetime) -> bool:
    """Whether a date that was named on a day stays, worked out one account at a time."""
    if then["readiness_date"] is None:
        return False
    if now["heard"] is not None and now["heard"] >= days:
        return False
    known = None not in {now["probability"], then["probability"]}
    likely = known and places(now["probability"]) >= places(then["probability"])
    return likely or now["tier"] == then["tier"] == 1


@given(now_and_then, st.lists(st.none() | st.integers(0, 400), min_size=6, max_size=6))
def test_a_date_named_stays_until_the_account_gives_a_reason(
    drawn: tuple[list[dict[str, Any]], list[dict[str, Any]], int], hours_ago: list[int | None]
) -> None:
    now, then, days = drawn
    midnight = datetime.combine(AS_OF, time(), UTC)
    for row, ago in zip(now, hours_ago, strict=False):
        row["heard"] = None if ago is None else midnight - timedelta(hours=ago)
    before = frame(*({**row, "as_of": AS_OF - timedelta(days=days)} for row in then))
    past = {row["account_id"]: row for row in then}

    found = readiness_date.hold_readiness_dates(
        frame(*now), before, risen({row["account_id"]: row["heard"] for row in now}), AS_OF
    ).to_list()

    for row, ready in zip(now, found, strict=True):
        was = past.get(row["account_id"])
        if was and holds(row, was, midnight - timedelta(days=days)):
            named = max(was["readiness_date"], AS_OF)
            assert ready == min(row["readiness_date"] or named, named)
        else:
            assert ready == row["readiness_date"]
        assert ready is None or ready >= AS_OF


WEEK = timedelta(weeks=1)


@pytest.mark.parametrize(
    ("then", "now", "heard", "ready"),
    [
        # Nothing happened: the expected day is a week later, the date that was named is not.
        ({"probability": 0.3}, {"probability": 0.29}, None, "named"),
        ({"probability": 0.3}, {"probability": 0.5}, None, "named"),
        ({"probability": 0.3}, {"probability": 0.19}, None, "new"),  # 10% to 20%, was 20% to 40%
        ({"probability": 0.3}, {"probability": 0.3}, 3.0, "new"),  # days ago: bought meanwhile
        ({"probability": 0.3}, {"probability": 0.3}, 7.0, "new"),  # heard right after the list
        ({"probability": 0.3}, {"probability": 0.3}, 7.1, "named"),  # the list had known it
        ({"probability": 0.3, "tier": 1}, {"probability": 0.19, "tier": 1}, None, "named"),
        ({"probability": 0.3, "tier": 1}, {"probability": 0.19, "tier": 2}, None, "new"),
        ({"probability": None, "tier": 1}, {"probability": None, "tier": 1}, None, "named"),
        ({"probability": None}, {"probability": 0.3}, None, "new"),
    ],
)
def test_a_date_does_not_recede_while_nothing_happens(
    then: dict[str, Any], now: dict[str, Any], heard: float | None, ready: str
) -> None:
    named, new = AS_OF + timedelta(days=16), AS_OF + timedelta(days=23)
    before = frame(then | {"readiness_date": named, "as_of": AS_OF - WEEK})
    ago = heard and datetime.combine(AS_OF, time(), UTC) - timedelta(days=heard)

    (found,) = readiness_date.hold_readiness_dates(
        frame(now | {"readiness_date": new}), before, risen({"acme": ago}), AS_OF
    )

    assert found == {"named": named, "new": new}[ready]


def test_week_after_week_a_named_date_comes_near_and_then_reads_now() -> None:
    before, told = None, []
    for week in range(5):
        today = AS_OF + week * WEEK
        line = frame({"readiness_date": today + timedelta(days=16), "as_of": today})
        ready = readiness_date.hold_readiness_dates(line, before, risen({}), today)
        before = line.with_columns(readiness_date=ready)
        told.append((ready[0] - today).days)

    assert told == [16, 9, 2, 0, 0]
