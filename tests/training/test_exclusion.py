"""Every as-of of an account is accounted for, with the reason that the other modules give."""

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from data.config.settings import Settings
from data.errors import HistoryError
from training.data_quality import exclusions
from training.evaluation import splits

GONE = date(2024, 1, 1) + timedelta(days=60)


@pytest.fixture
def past(history: Any) -> Any:
    """The drawn company; acc_001 lapsed for a while, and acc_002 came late."""
    accounts = history.snapshots.select("account_id").unique().sort("account_id")
    accounts = accounts.with_columns(created_date=pl.lit(date(2023, 5, 4)))
    lapsed = (pl.col("account_id") == "acc_001") & (pl.col("as_of") == GONE)
    late = (pl.col("account_id") == "acc_002") & (pl.col("as_of") < GONE)
    out = history.snapshots.filter(lapsed).select("account_id", "as_of")
    return SimpleNamespace(
        as_of=history.end,
        activity=SimpleNamespace(first_day=history.snapshots["as_of"].min() - timedelta(days=65)),
        tables=SimpleNamespace(accounts=SimpleNamespace(rows=accounts)),
        panel=SimpleNamespace(
            snapshots=history.snapshots.filter(~lapsed, ~late),
            excluded=out.with_columns(reason=pl.lit("contract ended")),
        ),
        contracts=history.contracts,
    )


def test_rows_that_are_said_to_be_trained_on_are_those_that_are(
    past: Any, settings: Settings
) -> None:
    known = splits.build_training_set(
        past.panel.snapshots, past.contracts, past.as_of, settings.outcome
    )
    any_expanded = False
    for account in ("acc_000", "acc_001", "acc_002"):
        mine = known.snapshots["account_id"] == account
        label = known.outcomes.filter(mine, pl.col("known_days") >= 60)

        found = exclusions.explain_exclusions(past, settings, account)

        used = found.filter("used")
        assert set(used["as_of"]) == set(label["as_of"])
        expanded = set(label.filter(pl.col("days_to_expansion") < 60)["as_of"])
        told = used.filter(pl.col("why") == "seats expansion within 60 days")
        assert set(told["as_of"]) == expanded
        any_expanded |= bool(expanded)
        assert used.height - told.height == used["why"].str.starts_with("no expansion").sum()
    assert any_expanded


def test_the_reason_is_given_where_a_row_is_not_trained_on(past: Any, settings: Settings) -> None:
    lapsed = exclusions.explain_exclusions(past, settings, "acc_001")
    late = exclusions.explain_exclusions(past, settings, "acc_002")

    assert lapsed.filter(pl.col("as_of") == GONE).rows() == [(GONE, False, "contract ended")]
    judged = late.filter(pl.col("as_of") >= past.panel.snapshots["as_of"].min())
    assert judged["why"][0] == "not created before; it was on 2023-05-04"
    unfinished = "eligible, but its window was not complete at the end of the history"
    assert judged["why"][-2:].to_list() == [
        f"{unfinished}; it tells of the first 30 days",
        unfinished,
    ]
    assert judged["as_of"].to_list() == sorted(set(past.panel.snapshots["as_of"]))


def test_the_first_days_of_the_log_are_told_too(past: Any, settings: Settings) -> None:
    first = past.panel.snapshots["as_of"].min()

    found = exclusions.explain_exclusions(past, settings, "acc_000").filter(pl.col("as_of") < first)

    assert found["as_of"].to_list() == [first - timedelta(days=60), first - timedelta(days=30)]
    assert not found["used"].any()
    assert found["why"].unique().to_list() == [
        "in the first 180 days of the log, in which everyone looks new (eligibility.burn_in_days)"
    ]


def test_as_ofs_that_follow_each_other_for_one_reason_are_one_stretch(
    past: Any, settings: Settings
) -> None:
    found = exclusions.explain_exclusions(past, settings, "acc_001")

    told = exclusions.merge_consecutive(found)

    assert told["rows"].sum() == found.height
    assert told["first"].to_list() == sorted(told["first"])
    assert (told["why"] != told["why"].shift(1)).drop_nulls().all()


def test_an_unknown_account_is_named(past: Any, settings: Settings) -> None:
    with pytest.raises(HistoryError, match="no account 'acc_999' is in the accounts table"):
        exclusions.explain_exclusions(past, settings, "acc_999")
