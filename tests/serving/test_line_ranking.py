"""The order of the list, of each book, and where this week's time ends."""

from itertools import groupby
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import MotionMinutes, Settings
from data.errors import SettingsError
from serving.scoring import ranking
from serving.scoring.csm_capacity import compute_csm_capacity
from serving.scoring.playbook import MOTIONS, SUPPRESSED_MOTIONS

MINUTES = {name: getattr(MotionMinutes(), name.replace(" ", "_")) for name in MOTIONS}
SCHEMA = {
    "account_id": pl.String,
    "csm": pl.String,
    "standing": pl.Float64,
    "expected_arr": pl.Float64,
    "motion": pl.String,
    "ask": pl.Boolean,
}
line = st.fixed_dictionaries(
    {
        "account_id": st.text("abcdef", min_size=1, max_size=4),
        "csm": st.sampled_from([None, "Ada", "Bo"]),
        "standing": st.sampled_from([-1.0, 0.0, 0.5]) | st.floats(-5, 5),
        "expected_arr": st.none() | st.sampled_from([0.0, 100.0]) | st.floats(0, 1e6),
        "motion": st.sampled_from(list(MOTIONS)),
    }
).map(lambda row: row | {"ask": row["motion"] not in SUPPRESSED_MOTIONS})
lists = st.lists(line, max_size=30, unique_by=lambda row: row["account_id"])
WAYS = ["probability", "expected_arr", "expected_arr_per_minute"]


def ranked(rows: list[dict[str, Any]], by: str = "probability", weekly: int = 2) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    return ranking.rank_accounts(frame, by=by, minutes=MotionMinutes(), weekly_capacity=weekly)


def key(row: dict[str, Any], by: str) -> tuple[Any, ...]:
    """The slow version: what a row is sorted by."""
    if by == "probability":
        return (-row["standing"], row["account_id"])
    if row["expected_arr"] is None:
        return (1, -row["standing"], row["account_id"])
    of = MINUTES[row["motion"]] if by == "expected_arr_per_minute" else 1.0
    return (0, -row["expected_arr"] / of, row["account_id"])


@pytest.mark.parametrize("by", WAYS)
@given(rows=lists)
def test_the_list_is_in_the_order_of_what_it_is_ranked_by(
    by: str, rows: list[dict[str, Any]]
) -> None:
    found = ranked(rows, by)

    expected = sorted(rows, key=lambda row: key(row, by))
    assert found["account_id"].to_list() == [row["account_id"] for row in expected]
    assert "standing" not in found.columns


@pytest.mark.parametrize("by", WAYS)
@given(rows=lists)
def test_ranks_go_from_one_on_without_a_gap_on_the_list_and_in_each_book(
    by: str, rows: list[dict[str, Any]]
) -> None:
    found = ranked(rows, by)

    assert found["rank"].to_list() == list(range(1, len(rows) + 1))
    for _, book in found.group_by("csm", maintain_order=True):
        assert book["book_rank"].to_list() == list(range(1, book.height + 1))
        assert book["rank"].is_sorted()


@pytest.mark.parametrize("by", WAYS)
@given(rows=lists, capacity=st.integers(1, 6))
def test_this_week_holds_the_first_so_many_of_each_book_of_whom_an_ask_is_made(
    by: str, rows: list[dict[str, Any]], capacity: int
) -> None:
    found = ranked(rows, by, capacity)

    for _, book in found.group_by("csm", maintain_order=True):
        asked = book.filter("ask")
        assert book["this_week"].sum() == min(capacity, asked.height)
        assert asked["this_week"].to_list() == [n < capacity for n in range(asked.height)]
        assert not book.filter(~pl.col("ask"))["this_week"].any()


@given(rows=lists)
def test_without_any_probability_the_standing_decides_whatever_is_asked_for(
    rows: list[dict[str, Any]],
) -> None:
    cold = [row | {"expected_arr": None} for row in rows]

    orders = [ranked(cold, by)["account_id"].to_list() for by in WAYS]

    assert all(order == orders[0] for order, _ in groupby(orders))


ACCOUNTS = pl.DataFrame({"csm": ["Ada", "Bo", None, "Ada"]})


@pytest.mark.parametrize(
    ("settings", "accounts", "told"),
    [
        # 20 accounts in 30 days are assumed: 10 for each of two, 2.3 a week.
        ({}, ACCOUNTS, "2 accounts a week for each of 2 CSMs, of 20 per 30 days."),
        ({}, pl.DataFrame(), "4 accounts a week, of 20 per 30 days."),
        (
            {"team": {"csms": 8}},
            ACCOUNTS,
            "1 account a week for each of 8 CSMs, of 20 per 30 days.",
        ),
        (
            {"team": {"hours_per_month": 45, "minutes_per_account": 45}},
            ACCOUNTS,
            "14 accounts a week for each of 2 CSMs, of 120 per 30 days.",
        ),
        (
            {"evaluation": {"capacity": 60}, "team": {"csms": 2, "hours_per_month": 1}},
            ACCOUNTS,
            "7 accounts a week for each of 2 CSMs, of 60 per 30 days.",
        ),
    ],
)
def test_a_weeks_time_is_the_teams_capacity_cut_to_a_week_and_a_csm(
    settings: dict[str, Any], accounts: pl.DataFrame, told: str
) -> None:
    found = compute_csm_capacity(Settings(**settings), accounts)

    assert found.why == told
    assert told.startswith(f"{found.accounts} ")


def test_hours_of_nobody_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"set team\.csms"):
        compute_csm_capacity(Settings(team={"hours_per_month": 5}), pl.DataFrame())
