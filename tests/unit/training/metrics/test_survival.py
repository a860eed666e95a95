"""Survival metrics use all accounts, including censored ones, and agree with slow definitions."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.metrics import survival
from training.metrics.cluster_bootstrap import ResampleWeights

Array = NDArray[np.float64]

random_accounts = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.2, 0.5, 0.9]),  # risk, with ties
        st.integers(0, 5),  # days
        st.booleans(),  # event observed
        st.integers(0, 3),  # bootstrap count
    ),
    min_size=2,
    max_size=15,
)


def unit_weights(rows: int) -> ResampleWeights:
    return ResampleWeights(np.ones((1, rows)), np.ones((1, rows)))


@given(random_accounts)
def test_concordance_is_the_share_of_pairs_in_the_right_order(
    rows: list[tuple[float, int, bool, int]],
) -> None:
    risk, duration, event_observed, counts = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    weights = ResampleWeights(counts[None, :].astype(float), np.ones((1, len(rows))))

    result = survival.concordance_index(risk, duration, event_observed)(weights)[0]

    repeated = [row for row in rows for _ in range(row[3])]
    pairs = [(a, b) for a in repeated if a[2] for b in repeated if b[1] > a[1]]
    concordant = [1.0 if a[0] > b[0] else 0.5 if a[0] == b[0] else 0.0 for a, b in pairs]
    assert result == pytest.approx(np.mean(concordant) if concordant else np.nan, nan_ok=True)


def test_chunked_events_give_the_same_concordance(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    risk, duration = rng.uniform(size=90), rng.integers(0, 180, 90)
    event_observed = rng.uniform(size=90) < 0.5

    all_at_once = survival.concordance_index(risk, duration, event_observed)(unit_weights(90))
    monkeypatch.setattr(survival, "CHUNK_EVENTS", 7)

    assert survival.concordance_index(risk, duration, event_observed)(
        unit_weights(90)
    ) == pytest.approx(all_at_once)


def predictions() -> pl.DataFrame:
    """Build four accounts: events on days 10 and 40; two censored after 60 and 30 days."""
    return pl.DataFrame(
        {
            "account_id": ["a", "b", "c", "d"],
            "cutoff": [date(2024, 1, 1)] * 4,
            "within_30d": [0.5, 0.1, 0.2, 0.1],
            "within_60d": [0.8, 0.3, 0.2, 0.4],
            "observed_days": [60, 60, 60, 30],
            "followup_days": [10, 40, 60, 30],
            "event_observed": [True, True, False, False],
        }
    )


def test_the_metrics_match_hand_worked_numbers() -> None:
    result = survival.compute_survival_metrics(predictions(), resamples=20, seed=1)

    # At 30 days all four labels are known, at 60 the last is not; trapezoid from 0 on day 0.
    at_30 = (0.5**2 + 0.1**2 + 0.2**2 + 0.1**2) / 4
    at_60 = (0.2**2 + 0.7**2 + 0.2**2) / 3
    model_score = (30 * at_30 / 2 + 30 * (at_30 + at_60) / 2) / 60
    rate_30, rate_60 = 1 / 4 * 3 / 4, 2 / 3 * 1 / 3
    reference_score = (30 * rate_30 / 2 + 30 * (rate_30 + rate_60) / 2) / 60
    assert result["integrated_brier"].value == pytest.approx(model_score)
    assert result["integrated_brier_skill"].value == pytest.approx(
        1 - model_score / reference_score
    )
    # a before b, c, d: concordant by the risk at 60 days; b before c: concordant.
    assert result["concordance"].value == pytest.approx(1.0)


def test_an_early_expansion_in_an_incomplete_window_does_not_count() -> None:
    early = predictions().with_columns(
        observed_days=pl.when(pl.col("account_id") == "a").then(20).otherwise("observed_days")
    )

    result = survival.compute_survival_metrics(early, resamples=20, seed=1)
    without = survival.compute_survival_metrics(
        predictions().filter(pl.col("account_id") != "a"), resamples=20, seed=1
    )

    assert result["integrated_brier"].value == without["integrated_brier"].value


def test_without_labels_all_metrics_are_undefined() -> None:
    unknown = predictions().with_columns(
        observed_days=0, followup_days=0, event_observed=pl.lit(value=False)
    )

    result = survival.compute_survival_metrics(unknown, resamples=20, seed=1)

    assert {estimate.value for estimate in result.values()} == {None}


def test_a_perfect_curve_has_no_loss() -> None:
    perfect = predictions().with_columns(
        within_30d=pl.col("event_observed") & (pl.col("followup_days") < 30),
        within_60d=pl.col("event_observed") & (pl.col("followup_days") < 60),
    )
    as_float = perfect.with_columns(pl.col("within_30d", "within_60d").cast(pl.Float64))

    result = survival.compute_survival_metrics(as_float, resamples=20, seed=1)

    assert result["integrated_brier"].value == 0
    assert result["integrated_brier_skill"].value == 1
