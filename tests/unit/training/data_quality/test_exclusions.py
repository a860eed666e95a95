"""Every as-of of an account is explained, consistently with training and the panel."""

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from data.config.settings import Settings
from data.errors import HistoryError
from training.data_quality import exclusions
from training.evaluation import splits

LAPSED_ON = date(2024, 1, 1) + timedelta(days=60)


@pytest.fixture
def training_history(history: Any) -> Any:
    """Build a company in which acc_001 lapsed for a while and acc_002 started late."""
    accounts = history.snapshots.select("account_id").unique().sort("account_id")
    accounts = accounts.with_columns(created_date=pl.lit(date(2023, 5, 4)))
    lapsed = (pl.col("account_id") == "acc_001") & (pl.col("as_of") == LAPSED_ON)
    late_starter = (pl.col("account_id") == "acc_002") & (pl.col("as_of") < LAPSED_ON)
    excluded = history.snapshots.filter(lapsed).select("account_id", "as_of")
    return SimpleNamespace(
        as_of=history.end,
        activity=SimpleNamespace(first_day=history.snapshots["as_of"].min() - timedelta(days=65)),
        tables=SimpleNamespace(accounts=SimpleNamespace(rows=accounts)),
        panel=SimpleNamespace(
            snapshots=history.snapshots.filter(~lapsed, ~late_starter),
            excluded=excluded.with_columns(reason=pl.lit("contract ended")),
        ),
        contracts=history.contracts,
    )


def test_rows_marked_as_used_are_the_training_rows(
    training_history: Any, settings: Settings
) -> None:
    training_set = splits.build_training_set(
        training_history.panel.snapshots,
        training_history.contracts,
        training_history.as_of,
        settings.outcome,
    )
    any_expanded = False
    for account in ("acc_000", "acc_001", "acc_002"):
        is_account = training_set.snapshots["account_id"] == account
        labelled = training_set.outcomes.filter(is_account, pl.col("observed_days") >= 60)

        explanations = exclusions.explain_exclusions(training_history, settings, account)

        used = explanations.filter("used")
        assert set(used["as_of"]) == set(labelled["as_of"])
        expanded = set(labelled.filter(pl.col("days_to_expansion") < 60)["as_of"])
        positives = used.filter(pl.col("reason") == "seats expansion within 60 days")
        assert set(positives["as_of"]) == expanded
        any_expanded |= bool(expanded)
        assert (
            used.height - positives.height == used["reason"].str.starts_with("no expansion").sum()
        )
    assert any_expanded


def test_unused_rows_have_a_reason(training_history: Any, settings: Settings) -> None:
    lapsed = exclusions.explain_exclusions(training_history, settings, "acc_001")
    late_starter = exclusions.explain_exclusions(training_history, settings, "acc_002")

    assert lapsed.filter(pl.col("as_of") == LAPSED_ON).rows() == [
        (LAPSED_ON, False, "contract ended")
    ]
    evaluated = late_starter.filter(
        pl.col("as_of") >= training_history.panel.snapshots["as_of"].min()
    )
    assert evaluated["reason"][0] == "not created yet; created on 2023-05-04"
    unfinished = "eligible, but its window had not ended at the end of the history"
    assert evaluated["reason"][-2:].to_list() == [
        f"{unfinished}; used for horizons up to 30 days",
        unfinished,
    ]
    assert evaluated["as_of"].to_list() == sorted(set(training_history.panel.snapshots["as_of"]))


def test_burn_in_dates_are_explained(training_history: Any, settings: Settings) -> None:
    first = training_history.panel.snapshots["as_of"].min()

    explanations = exclusions.explain_exclusions(training_history, settings, "acc_000").filter(
        pl.col("as_of") < first
    )

    assert explanations["as_of"].to_list() == [
        first - timedelta(days=60),
        first - timedelta(days=30),
    ]
    assert not explanations["used"].any()
    assert explanations["reason"].unique().to_list() == [
        "in the first 180 days of the log, when every user appears new (eligibility.burn_in_days)"
    ]


def test_consecutive_dates_with_one_reason_are_merged(
    training_history: Any, settings: Settings
) -> None:
    explanations = exclusions.explain_exclusions(training_history, settings, "acc_001")

    positives = exclusions.merge_consecutive(explanations)

    assert positives["rows"].sum() == explanations.height
    assert positives["first"].to_list() == sorted(positives["first"])
    assert (positives["reason"] != positives["reason"].shift(1)).drop_nulls().all()


def test_an_unknown_account_is_rejected(training_history: Any, settings: Settings) -> None:
    with pytest.raises(HistoryError, match="account 'acc_999' is not in the accounts table"):
        exclusions.explain_exclusions(training_history, settings, "acc_999")
