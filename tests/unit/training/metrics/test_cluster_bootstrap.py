"""A weight equals repeated rows, and whole accounts and cutoffs are resampled."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from training.metrics import cluster_bootstrap, probability, ranking
from training.metrics.cluster_bootstrap import (
    ClusterBootstrap,
    Metric,
    MetricEstimate,
    ResampleWeights,
)

Array = NDArray[np.float64]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Array, NDArray[np.bool_], ResampleWeights]:
    """Draw scores with ties, outcomes of both classes, and the weight of each row."""
    rows = draw(st.integers(4, 25))
    scores = st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), min_size=rows, max_size=rows)
    score = np.array(draw(scores))
    expanded = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    expanded[:2] = [True, False]
    counts = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    weight = np.array([counts], dtype=np.float64)
    weight[0, :2] = 1
    return score, expanded, ResampleWeights(weight, np.ones_like(weight))


@given(histories())
def test_a_weight_equals_repeated_rows(
    history: tuple[Array, NDArray[np.bool_], ResampleWeights],
) -> None:
    score, expanded, weights = history
    rows = np.repeat(np.arange(len(score)), weights.row[0].astype(int))

    result = {
        "auroc": ranking.auroc(score, expanded),
        "ap": ranking.average_precision(score, expanded),
        "loss": probability.log_loss(score, expanded),
        "brier": probability.brier_score(score, expanded),
    }

    expected = {
        "auroc": reference.roc_auc_score(expanded[rows], score[rows]),
        "ap": reference.average_precision_score(expanded[rows], score[rows]),
        "loss": reference.log_loss(expanded[rows], score[rows]),
        "brier": reference.brier_score_loss(expanded[rows], score[rows]),
    }
    assert {name: metric(weights)[0] for name, metric in result.items()} == pytest.approx(expected)


@given(histories(), st.integers(1, 6))
def test_precision_and_recall_at_capacity_use_resampled_rows_of_each_as_of(
    history: tuple[Array, NDArray[np.bool_], ResampleWeights], capacity: int
) -> None:
    score, expanded, weights = history
    as_of = np.arange(len(score)) % 2
    # The first as-of belongs to a cutoff that is drawn twice.
    resampled = ResampleWeights(weights.account, 2.0 - as_of[None, :])
    precisions, hits, expansions = [], 0.0, 0
    for day in (0, 0, 1):
        rows = np.repeat(np.arange(len(score)), weights.account[0].astype(int) * (as_of == day))
        if not len(rows):
            continue
        limited_capacity = min(capacity, len(rows))
        precision = ranking.precision_at_capacity(score[rows], expanded[rows], limited_capacity)
        precisions.append(precision)
        hits += precision * limited_capacity
        expansions += int(expanded[rows].sum())

    values = [
        metric(score, expanded, as_of, capacity)(resampled)[0]
        for metric in (
            ranking.mean_precision_at_capacity,
            ranking.recall_at_capacity,
        )
    ]

    assert values == pytest.approx([np.mean(precisions), hits / expansions])


@given(st.integers(0, 1_000))
@settings(max_examples=10)
def test_a_weighted_calibration_slope_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_odds, weight = rng.normal(-1, 1, size=200), rng.integers(0, 4, size=200).astype(float)
    expanded = rng.uniform(size=200) < expit(log_odds)

    result = probability.calibration_slope(expit(log_odds), expanded, weight)

    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(log_odds[:, None], expanded, sample_weight=weight)
    assert result == pytest.approx(model.coef_[0, 0], abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=40))
def test_whole_accounts_and_cutoffs_are_resampled_to_the_original_number(
    rows: list[tuple[int, int]],
) -> None:
    account, cutoff = cluster_bootstrap.factorize_columns(*zip(*rows, strict=True))

    def check_whole_clusters(weights: ResampleWeights) -> Array:
        for code, resampled in ((account, weights.account), (cutoff, weights.cutoff)):
            firsts = np.unique(code, return_index=True)[1]
            assert (resampled == resampled[:, firsts][:, code]).all()
            assert (resampled[:, firsts].sum(axis=1) == len(firsts)).all()
        return weights.row.sum(axis=1)

    sizes = ClusterBootstrap(account, cutoff, resamples=9, seed=1).evaluate(check_whole_clusters)

    assert sizes[0] == len(rows)


def test_chunked_evaluation_gives_the_same_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    account, cutoff = np.arange(30) % 10, np.arange(30) // 10
    metric = cluster_bootstrap.mean_metric(np.random.default_rng(1).normal(size=30))
    all_at_once = ClusterBootstrap(account, cutoff, resamples=25, seed=3).evaluate(metric)

    monkeypatch.setattr(cluster_bootstrap, "MAX_CHUNK_VALUES", 60)

    assert ClusterBootstrap(account, cutoff, resamples=25, seed=3).evaluate(
        metric
    ) == pytest.approx(all_at_once)


@pytest.mark.parametrize("n_cutoffs", [1, 2, 3])
def test_few_cutoffs_are_not_resampled(n_cutoffs: int) -> None:
    account, cutoff = np.arange(60) % 20, np.arange(60) // 20 % n_cutoffs
    metric = cluster_bootstrap.mean_metric(np.random.default_rng(1).normal(size=60) + cutoff)
    options = {"resamples": 20, "seed": 3}

    assert (
        ClusterBootstrap(account, cutoff, **options).evaluate(metric).tolist()
        == ClusterBootstrap(account, **options).evaluate(metric).tolist()
    )


def estimate(metric: Metric, *codes: Any, resamples: int = 50) -> MetricEstimate:
    return cluster_bootstrap.estimate_metrics({"it": metric}, *codes, resamples=resamples, seed=1)[
        "it"
    ]


def test_different_cutoffs_widen_an_interval_and_one_cutoff_is_the_account_bootstrap() -> None:
    rng = np.random.default_rng(5)
    account, cutoff = np.tile(np.arange(100), 4), np.repeat(np.arange(4), 100)
    metric = cluster_bootstrap.mean_metric(rng.normal(size=400) * 0.1 + cutoff)

    account_bootstrap, single_cutoff, by_cutoff = (
        estimate(metric, *codes, resamples=200)
        for codes in ((account,), (account, cutoff * 0), (account, cutoff))
    )

    assert account_bootstrap == single_cutoff
    assert account_bootstrap.high - account_bootstrap.low < 0.1  # type: ignore[operator]
    # The mean of four of 0, 1, 2, 3 has a standard deviation of .56.
    assert by_cutoff.high - by_cutoff.low == pytest.approx(2 * 1.645 * 0.56, rel=0.2)  # type: ignore[operator]


def test_an_interval_contains_its_estimate_even_if_all_replicates_lie_on_one_side() -> None:
    def metric_at_bound(weights: cluster_bootstrap.ResampleWeights) -> np.ndarray:
        return np.abs(weights.row - 1).sum(axis=1)

    result = estimate(metric_at_bound, np.arange(40))

    assert (result.value, result.low) == (0, 0)
    assert result.high is not None
    assert result.high > 0


def test_undefined_replicates_are_ignored() -> None:
    def metric_of_first_row(weights: ResampleWeights) -> Array:
        return np.where(weights.row[:, 0] > 0, 7.0, np.nan)

    assert estimate(metric_of_first_row, np.arange(3)) == MetricEstimate(7.0, 7.0, 7.0)
