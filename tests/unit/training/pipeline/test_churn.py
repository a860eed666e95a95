"""The churn model is trained point in time, or omitted with a reason."""

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
def churning_company(history: Any) -> Any:
    """Build a company in which accounts with the fewest users are likely to churn."""
    rng = np.random.default_rng(5)
    latest = history.contracts.group_by("account_id", maintain_order=True).last()
    probability = 1 / (1 + np.exp(-3 * rng.normal(size=latest.height)))
    churned = probability > 0.6
    day = pl.Series(
        [history.end - timedelta(days=int(days)) for days in rng.integers(40, 400, len(churned))]
    )
    churn_rows = latest.with_columns(effective=day, known=day, ended=True, paid=False).filter(
        churned
    )
    times = history.contracts.select("account_id", "known", "effective").schema
    churn_rows = churn_rows.with_columns(
        pl.col(name).cast(times[name]) for name in ("known", "effective")
    )
    churn_dates = dict(churn_rows.select("account_id", "effective").iter_rows())
    before = history.contracts.filter(
        pl.col("effective") < pl.col("account_id").replace_strict(churn_dates, default=history.end)
    )
    contracts = pl.concat([before, churn_rows]).sort("account_id", "known", "effective")
    churn_date = pl.col("account_id").replace_strict(churn_dates, default=None)
    days = (churn_date - pl.col("as_of").cast(times["effective"])).dt.total_days()
    snapshots = history.snapshots.with_columns(left=days).filter(
        pl.col("left").is_null() | (pl.col("left") > 0)
    )
    # The feature falls before an account churns.
    trend = pl.when(pl.col("left") < 90).then(pl.lit(-2.0)).otherwise(pl.lit(1.0))
    noisy_trend = trend + pl.Series(rng.normal(size=snapshots.height))
    return replace(
        history, snapshots=snapshots.with_columns(active_users_30d=noisy_trend), contracts=contracts
    )


def test_churning_accounts_rank_first(churning_company: Any, settings: Settings) -> None:
    result = churn.train_churn_model(
        churning_company.snapshots, churning_company.contracts, settings, end=churning_company.end
    )

    assert result.model is not None
    assert result.estimates["auroc"].low is not None
    assert result.estimates["auroc"].low > 0.7
    assert result.note.startswith("Churn within 60 days: AUROC 0.")
    assert result.model.horizons_days == (60,)
    label = labels.build_outcomes(
        churning_company.snapshots,
        churning_company.contracts,
        cutoff=churning_company.end,
        rules=settings.outcome,
    ).select(labels.churn_label(60).alias("y"))["y"]
    probability = result.model.predict(churning_company.snapshots).probability
    is_churn = label.fill_null(value=False).to_numpy()
    assert probability[is_churn].mean() > 3 * probability[~is_churn].mean()


def test_without_churn_there_is_no_model_and_the_note_explains_it(
    history: Any, settings: Settings
) -> None:
    result = churn.train_churn_model(
        history.snapshots, history.contracts, settings, end=history.end
    )

    assert result.model is None
    assert result.estimates == {}
    assert result.note.startswith("No churn probability: 0 of ")
    assert "contain a churn" in result.note


def test_churn_labels_need_a_complete_window() -> None:
    rows = pl.DataFrame(
        {"days_to_churn": [59, 60, None, 10, None], "observed_days": [60, 60, 60, 59, 59]}
    )

    assert rows.select(labels.churn_label(60)).to_series().to_list() == [
        True,
        False,
        False,
        None,
        None,
    ]
