"""The list and one account as a person reads them: all that is said, and no more than fits."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cli import output
from serving.scoring.playbook import MOTIONS, SUPPRESSED_MOTIONS

AS_OF = date(2026, 6, 1)
ROW: dict[str, Any] = {
    "account_id": "acme",
    "as_of": AS_OF,
    "rank": 1,
    "book_rank": 1,
    "this_week": True,
    "ask": True,
    "name": "Acme [east]",
    "csm": "Ada",
    "probability": 0.68,
    "low": 0.44,
    "high": 0.88,
    "band": "40% and more",
    "band_told": "4 of 10 accounts in this band expanded",
    "probability_180d": 0.9,
    "readiness_date": date(2026, 6, 13),
    "expected_date": date(2026, 7, 4),
    "expected_early": date(2026, 6, 8),
    "expected_late": date(2026, 9, 1),
    "expected_arr": 1367.0,
    "churn_probability": 0.006,
    "limit": "seats",
    "tier": 1,
    "motion": "seat add",
    "buyer": "department head or admin",
    "signals": ["No seat is free, and 3 people joined in three months"],
    "holds_back": ["Only 3 features in use"],
    "changed": ["Now tier 1", "Chance up from 34% a week ago"],
    "note": "A customer for 45 days only: little history behind this line",
    "active_seats": 41,
    "licensed_seats": 45,
    "margin": 0.5,
    "base": -1.0,
    "contributions": {"headroom": 1.5},
    "model": "2",
}
RESTING = {
    "ask": False,
    "this_week": False,
    "motion": "rest",
    "buyer": None,
    "holds_back": ["Worked 12 days ago: left alone until 19 July", "Only 3 features in use"],
}
OLDER = dict.fromkeys(
    ("book_rank", "this_week", "band_told", "buyer", "holds_back", "changed", "ask", "note")
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.stdout, "width", 80)


def listed(*rows: dict[str, Any], top: int = 10, **told: str) -> list[str]:
    with output.stdout.capture() as got:
        output.print_ranked_list([ROW | row for row in rows], AS_OF, top, horizon_days=60, **told)
    return [line.rstrip() for line in got.get().splitlines() if line.strip()]


def shown(**row: Any) -> str:
    found = ROW | row
    with output.stdout.capture() as got:
        output.print_account(found, [], [], horizon_days=60, motion_text=MOTIONS[found["motion"]])
    return " ".join(got.get().split())


def test_a_line_says_whom_to_ask_why_what_speaks_against_it_and_what_is_new() -> None:
    lines = listed({}, capacity="1 account a week for each of 8 CSMs, of 20 per 30 days.")

    assert lines == [
        "Who will expand within 60 days, as of 2026-06-01",
        "▸ this week's: 1 account a week for each of 8 CSMs, of 20 per 30 days.",
        "40% and more: 4 of 10 accounts in this band expanded",
        "   #  account              CSM     chance  80 % range   talk from         limit",
        "▸  1  Acme [east]          Ada        68%  44% to 88%   13 June           seats",
        "      Tier 1: seat add, with the department head or admin",
        "      No seat is free, and 3 people joined in three months",
        "      But: Only 3 features in use",
        "      News: Now tier 1. Chance up from 34% a week ago",
        "      Note: A customer for 45 days only: little history behind this line",
    ]


def test_of_whom_no_ask_is_made_the_reason_stands_first() -> None:
    lines = listed(RESTING)

    assert not any(line.startswith("▸") for line in lines)
    assert lines[4:6] == [
        "      No ask. Worked 12 days ago: left alone until 19 July",
        "      No seat is free, and 3 people joined in three months",
    ]
    assert "      But: Only 3 features in use" in lines


def test_a_band_is_told_once_the_highest_first() -> None:
    below = {
        "rank": 3,
        "probability": 0.3,
        "band": "20% to 40%",
        "band_told": "None of 9 accounts in this band expanded",
    }

    lines = listed(below, {}, {"rank": 2})

    told = [line.strip() for line in lines if "in this band" in line]
    assert told == [
        "40% and more: 4 of 10 accounts in this band expanded",
        "20% to 40%: None of 9 accounts in this band expanded",
    ]


def test_a_line_of_an_older_list_is_printed_with_what_it_has() -> None:
    text = "\n".join(listed(OLDER))

    assert "None" not in text
    assert "No seat is free" in text
    assert "None" not in shown(**OLDER)


def test_one_account_is_told_in_full() -> None:
    text = shown()

    assert "book Ada, number 1 there; within this week's time" in text
    assert "motion seat add: add seats" in text
    assert "talk to department head or admin" in text
    assert "What speaks against it • Only 3 features in use" in text
    assert "What is new • Now tier 1 • Chance up from 34% a week ago" in text
    assert "What to know • A customer for 45 days only" in text


@pytest.mark.parametrize(
    ("row", "week"),
    [(RESTING, "no ask is made now"), ({"this_week": False}, "beyond this week's time")],
)
def test_one_account_says_whether_this_weeks_time_reaches_it(
    row: dict[str, Any], week: str
) -> None:
    assert f"number 1 there; {week}" in shown(**row)


rows = st.fixed_dictionaries(
    {
        "rank": st.integers(1, 999),
        "name": st.none() | st.text("Wide Name", min_size=1, max_size=60),
        "csm": st.none() | st.text("somebody", min_size=1, max_size=30),
        "probability": st.floats(0, 1),
        "low": st.floats(0, 1),
        "high": st.floats(0, 1),
        "tier": st.sampled_from([None, 1, 2]),
        "limit": st.sampled_from(["seats", "usage", "plan", "none"]),
        "motion": st.sampled_from(list(MOTIONS)),
        "readiness_date": st.none() | st.integers(0, 400).map(lambda n: AS_OF + timedelta(days=n)),
        "changed": st.lists(st.just("Now tier 1"), max_size=2),
        "note": st.none() | st.just("No revenue on file"),
    }
).map(
    lambda row: (
        row | (RESTING if row["motion"] in SUPPRESSED_MOTIONS else {}) | {"motion": row["motion"]}
    )
)


@given(st.lists(rows, min_size=1, max_size=4))
def test_no_head_of_a_line_is_wider_than_the_narrowest_terminal_and_nothing_is_none(
    drawn: list[dict[str, Any]],
) -> None:
    lines = listed(*drawn)

    heads = [line for line in lines if "%  " in line]
    assert len(heads) == len(drawn)
    assert all(len(line) <= 80 for line in lines)
    assert not any("None" in line or "nan" in line for line in lines)
