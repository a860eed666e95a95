"""Terminal output of the list and of one account."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cli.output import ranked_list, terminal
from serving.scoring.playbook import MOTIONS, SUPPRESSED_MOTIONS

AS_OF = date(2026, 6, 1)
ROW: dict[str, Any] = {
    "account_id": "acme",
    "as_of": AS_OF,
    "rank": 1,
    "portfolio_rank": 1,
    "in_weekly_capacity": True,
    "outreach_allowed": True,
    "name": "Acme [east]",
    "csm": "Ada",
    "probability": 0.68,
    "low": 0.44,
    "high": 0.88,
    "band": "40% and more",
    "band_track_record": "4 of 10 accounts in this band expanded",
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
    "contact_role": "department head or admin",
    "signals": ["No seat is free, and 3 people joined in three months"],
    "counter_reasons": ["Only 3 features in use"],
    "changes": ["Now tier 1", "Probability up from 34% a week ago"],
    "note": "Customer for only 45 days: little history",
    "active_seats": 41,
    "licensed_seats": 45,
    "margin": 0.5,
    "base": -1.0,
    "contributions": {"headroom": 1.5},
    "model": "2",
}
IN_COOLDOWN = {
    "outreach_allowed": False,
    "in_weekly_capacity": False,
    "motion": "cooldown",
    "contact_role": None,
    "counter_reasons": ["Contacted 12 days ago: cool-down until 19 July", "Only 3 features in use"],
}
MISSING_COLUMNS = dict.fromkeys(
    (
        "portfolio_rank",
        "in_weekly_capacity",
        "band_track_record",
        "contact_role",
        "counter_reasons",
        "changes",
        "outreach_allowed",
        "note",
    )
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.stdout, "width", 80)


def print_list(*rows: dict[str, Any], top: int = 10, **texts: str) -> list[str]:
    with terminal.stdout.capture() as captured:
        ranked_list.print_ranked_list(
            [ROW | row for row in rows], AS_OF, top, horizon_days=60, **texts
        )
    return [line.rstrip() for line in captured.get().splitlines() if line.strip()]


def print_account(**changes: Any) -> str:
    row = ROW | changes
    with terminal.stdout.capture() as captured:
        ranked_list.print_account(row, [], [], horizon_days=60, motion=MOTIONS[row["motion"]])
    return " ".join(captured.get().split())


def test_a_row_shows_action_reasons_counter_reasons_and_changes() -> None:
    lines = print_list({}, capacity="1 account a week for each of 8 CSMs, of 20 per 30 days.")

    assert lines == [
        "Accounts likely to expand within 60 days, as of 2026-06-01",
        "▸ this week: 1 account a week for each of 8 CSMs, of 20 per 30 days.",
        "40% and more: 4 of 10 accounts in this band expanded",
        "   #  account              CSM      prob.  80 % range   contact from      limit",
        "▸  1  Acme [east]          Ada        68%  44% to 88%   13 June           seats",
        "      Tier 1: seat add, with the department head or admin",
        "      No seat is free, and 3 people joined in three months",
        "      But: Only 3 features in use",
        "      Changes: Now tier 1. Probability up from 34% a week ago",
        "      Note: Customer for only 45 days: little history",
    ]


def test_the_reason_for_suppressed_outreach_comes_first() -> None:
    lines = print_list(IN_COOLDOWN)

    assert not any(line.startswith("▸") for line in lines)
    assert lines[4:6] == [
        "      Outreach suppressed: Contacted 12 days ago: cool-down until 19 July",
        "      No seat is free, and 3 people joined in three months",
    ]
    assert "      But: Only 3 features in use" in lines


def test_a_band_is_printed_once_the_highest_first() -> None:
    below = {
        "rank": 3,
        "probability": 0.3,
        "band": "20% to 40%",
        "band_track_record": "None of 9 accounts in this band expanded",
    }

    lines = print_list(below, {}, {"rank": 2})

    bands = [line.strip() for line in lines if "in this band" in line]
    assert bands == [
        "40% and more: 4 of 10 accounts in this band expanded",
        "20% to 40%: None of 9 accounts in this band expanded",
    ]


def test_a_row_with_missing_columns_is_printed_without_them() -> None:
    text = "\n".join(print_list(MISSING_COLUMNS))

    assert "None" not in text
    assert "No seat is free" in text
    assert "None" not in print_account(**MISSING_COLUMNS)


def test_one_account_is_printed_in_full() -> None:
    text = print_account()

    assert "portfolio Ada, rank 1; within this week's capacity" in text
    assert "motion seat add: add seats" in text
    assert "contact department head or admin" in text
    assert "Counter-reasons • Only 3 features in use" in text
    assert "Changes • Now tier 1 • Probability up from 34% a week ago" in text
    assert "Notes • Customer for only 45 days" in text


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (IN_COOLDOWN, "outreach suppressed"),
        ({"in_weekly_capacity": False}, "beyond this week's capacity"),
    ],
)
def test_one_account_shows_whether_it_is_within_capacity(row: dict[str, Any], status: str) -> None:
    assert f"rank 1; {status}" in print_account(**row)


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
        "changes": st.lists(st.just("Now tier 1"), max_size=2),
        "note": st.none() | st.just("No revenue on file"),
    }
).map(
    lambda row: (
        row
        | (IN_COOLDOWN if row["motion"] in SUPPRESSED_MOTIONS else {})
        | {"motion": row["motion"]}
    )
)


@given(st.lists(rows, min_size=1, max_size=4))
def test_no_row_is_wider_than_80_columns_and_no_value_is_none(
    examples: list[dict[str, Any]],
) -> None:
    lines = print_list(*examples)

    headings = [line for line in lines if "%  " in line]
    assert len(headings) == len(examples)
    assert all(len(line) <= 80 for line in lines)
    assert not any("None" in line or "nan" in line for line in lines)
