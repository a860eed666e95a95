"""Churn is learned by the code of expansion, from what each cut knew, or left out with a reason."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import Settings
from training import labels
from training.pipeline import churn


@pytest.fixture(scope="module")
def leaving(history: Any) -> Any:
    """The drawn company, where whoever logs in least is likely to leave for good."""
    rng = np.random.default_rng(5)
    last = history.contracts.group_by("account_id", maintain_order=True).last()
    chance = 1 / (1 + np.exp(-3 * rng.normal(size=last.height)))
    gone = chance > 0.6
    day = pl.Series(
        [history.end - timedelta(days=int(d)) for d in rng.integers(40, 400, len(gone))]
    )
    ends = last.with_columns(effective=day, known=day, ended=True, paid=False).filter(gone)
    times = history.contracts.select("account_id", "known", "effective").schema
    ends = ends.with_columns(pl.col(n).cast(times[n]) for n in ("known", "effective"))
    until = dict(ends.select("account_id", "effective").iter_rows())
    before = history.contracts.filter(
        pl.col("effective") < pl.col("account_id").replace_strict(until, default=history.end)
    )
    contracts = pl.concat([before, ends]).sort("account_id", "known", "effective")
    left = pl.col("account_id").replace_strict(until, default=None)
    days = (left - pl.col("as_of").cast(times["effective"])).dt.total_days()
    snapshots = history.snapshots.with_columns(left=days).filter(
        pl.col("left").is_null() | (pl.col("left") > 0)
    )
    # What falls before somebody leaves.
    falling = pl.when(pl.col("left") < 90).then(pl.lit(-2.0)).otherwise(pl.lit(1.0))
    noisy = falling + pl.Series(rng.normal(size=snapshots.height))
    return replace(
        history, snapshots=snapshots.with_columns(active_users_30d=noisy), contracts=contracts
    )


def test_who_is_about_to_leave_is_ranked_first(leaving: Any, settings: Settings) -> None:
    found = churn.train_churn_model(leaving.snapshots, leaving.contracts, settings, end=leaving.end)

    assert found.model is not None
    assert found.estimates["auroc"].low is not None
    assert found.estimates["auroc"].low > 0.7
    assert found.note.startswith("Churn within 60 days: AUROC 0.")
    assert found.model.horizons_days == (60,)
    label = labels.build_outcomes(
        leaving.snapshots, leaving.contracts, cutoff=leaving.end, rules=settings.outcome
    ).select(labels.churned_within(60).alias("y"))["y"]
    chance = found.model.predict(leaving.snapshots).probability
    leaves = label.fill_null(value=False).to_numpy()
    assert chance[leaves].mean() > 3 * chance[~leaves].mean()


def test_without_ends_of_contract_there_is_no_model_and_the_note_says_why(
    history: Any, settings: Settings
) -> None:
    found = churn.train_churn_model(history.snapshots, history.contracts, settings, end=history.end)

    assert found.model is None
    assert found.estimates == {}
    assert found.note.startswith("No churn probability: 0 of ")
    assert "hold a churn" in found.note


def test_an_end_counts_within_the_horizon_and_only_once_the_window_is_complete() -> None:
    rows = pl.DataFrame(
        {"days_to_churn": [59, 60, None, 10, None], "known_days": [60, 60, 60, 59, 59]}
    )

    assert rows.select(labels.churned_within(60)).to_series().to_list() == [
        True,
        False,
        False,
        None,
        None,
    ]
