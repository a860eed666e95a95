"""Ranking of the list and of each portfolio, and the weekly capacity."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Playbook, Settings
from data.errors import SettingsError
from serving.scoring import ranking
from serving.scoring.playbook import MOTIONS, SUPPRESSED_MOTIONS
from serving.scoring.ranking import compute_csm_capacity

MINUTES = {name: Playbook().motion_minutes[name.replace(" ", "_")] for name in MOTIONS}
SCHEMA = {
    "account_id": pl.String,
    "csm": pl.String,
    "rank_key": pl.Float64,
    "expected_arr": pl.Float64,
    "motion": pl.String,
    "outreach_allowed": pl.Boolean,
}
row = st.fixed_dictionaries(
    {
        "account_id": st.text("abcdef", min_size=1, max_size=4),
        "csm": st.sampled_from([None, "Ada", "Bo"]),
        "rank_key": st.sampled_from([-1.0, 0.0, 0.5]) | st.floats(-5, 5),
        "expected_arr": st.none() | st.sampled_from([0.0, 100.0]) | st.floats(0, 1e6),
        "motion": st.sampled_from(list(MOTIONS)),
    }
).map(lambda row: row | {"outreach_allowed": row["motion"] not in SUPPRESSED_MOTIONS})
lists = st.lists(row, max_size=30, unique_by=lambda row: row["account_id"])
CRITERIA = ["probability", "expected_arr", "expected_arr_per_minute"]


def rank(rows: list[dict[str, Any]], by: str = "probability", weekly: int = 2) -> pl.DataFrame:
    return ranking.rank_accounts(
        pl.DataFrame(rows, schema=SCHEMA),
        by=by,
        minutes=Playbook().motion_minutes,
        weekly_capacity=weekly,
    )


def sort_key(row: dict[str, Any], by: str) -> tuple[Any, ...]:
    """The sort key of a row, derived independently."""
    if by == "probability":
        return (-row["rank_key"], row["account_id"])
    if row["expected_arr"] is None:
        return (1, -row["rank_key"], row["account_id"])
    minutes = MINUTES[row["motion"]] if by == "expected_arr_per_minute" else 1.0
    return (0, -row["expected_arr"] / minutes, row["account_id"])


@pytest.mark.parametrize("by", CRITERIA)
@given(rows=lists)
def test_the_list_is_sorted_by_its_criterion(by: str, rows: list[dict[str, Any]]) -> None:
    ranked = rank(rows, by)

    expected = sorted(rows, key=lambda row: sort_key(row, by))
    assert ranked["account_id"].to_list() == [row["account_id"] for row in expected]
    assert "rank_key" not in ranked.columns


@pytest.mark.parametrize("by", CRITERIA)
@given(rows=lists)
def test_ranks_have_no_gap_on_the_list_and_in_each_portfolio(
    by: str, rows: list[dict[str, Any]]
) -> None:
    ranked = rank(rows, by)

    assert ranked["rank"].to_list() == list(range(1, len(rows) + 1))
    for _, portfolio in ranked.group_by("csm", maintain_order=True):
        assert portfolio["portfolio_rank"].to_list() == list(range(1, portfolio.height + 1))
        assert portfolio["rank"].is_sorted()


@pytest.mark.parametrize("by", CRITERIA)
@given(rows=lists, capacity=st.integers(1, 6))
def test_weekly_capacity_covers_the_first_accounts_of_each_portfolio_with_outreach(
    by: str, rows: list[dict[str, Any]], capacity: int
) -> None:
    ranked = rank(rows, by, capacity)

    for _, portfolio in ranked.group_by("csm", maintain_order=True):
        allowed = portfolio.filter("outreach_allowed")
        assert portfolio["in_weekly_capacity"].sum() == min(capacity, allowed.height)
        assert allowed["in_weekly_capacity"].to_list() == [
            n < capacity for n in range(allowed.height)
        ]
        assert not portfolio.filter(~pl.col("outreach_allowed"))["in_weekly_capacity"].any()


ACCOUNTS = pl.DataFrame({"csm": ["Ada", "Bo", None, "Ada"]})


@pytest.mark.parametrize(
    ("settings", "accounts", "text"),
    [
        # The default is 20 accounts in 30 days: 10 for each of two CSMs, 2.3 a week.
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
def test_weekly_capacity_is_the_team_capacity_per_week_and_csm(
    settings: dict[str, Any], accounts: pl.DataFrame, text: str
) -> None:
    capacity = compute_csm_capacity(Settings(**settings), accounts)

    assert capacity.explanation == text
    assert text.startswith(f"{capacity.accounts} ")


def test_hours_without_a_number_of_csms_are_rejected() -> None:
    with pytest.raises(SettingsError, match=r"set team\.csms"):
        compute_csm_capacity(Settings(team={"hours_per_month": 5}), pl.DataFrame())
