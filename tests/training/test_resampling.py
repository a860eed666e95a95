"""A weight is a repeated row, and draws are of whole accounts and whole cuts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from training.metrics import cluster_bootstrap, probability, ranking
from training.metrics.cluster_bootstrap import ClusterBootstrap, MetricEstimate, ResampleWeights

Array = NDArray[np.float64]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Array, NDArray[np.bool_], ResampleWeights]:
    """Scores with ties, outcomes of both kinds, and how often each row is drawn."""
    rows = draw(st.integers(4, 25))
    one = st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), min_size=rows, max_size=rows)
    score = np.array(draw(one))
    expanded = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    expanded[:2] = [True, False]
    counts = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    weight = np.array([counts], dtype=np.float64)
    weight[0, :2] = 1
    return score, expanded, ResampleWeights(weight, np.ones_like(weight))


@given(histories())
def test_a_weight_counts_as_so_many_rows(
    history: tuple[Array, NDArray[np.bool_], ResampleWeights],
) -> None:
    score, expanded, weights = history
    rows = np.repeat(np.arange(len(score)), weights.row[0].astype(int))

    found = {
        "auroc": ranking.auroc(score, expanded),
        "ap": ranking.average_precision(score, expanded),
        "loss": probability.log_loss(score, expanded),
        "brier": probability.brier_score(score, expanded),
    }

    theirs = {
        "auroc": reference.roc_auc_score(expanded[rows], score[rows]),
        "ap": reference.average_precision_score(expanded[rows], score[rows]),
        "loss": reference.log_loss(expanded[rows], score[rows]),
        "brier": reference.brier_score_loss(expanded[rows], score[rows]),
    }
    assert {name: metric(weights)[0] for name, metric in found.items()} == pytest.approx(theirs)


@given(histories(), st.integers(1, 6))
def test_precision_and_recall_at_capacity_count_drawn_rows_as_of_by_as_of(
    history: tuple[Array, NDArray[np.bool_], ResampleWeights], capacity: int
) -> None:
    score, expanded, weights = history
    as_of = np.arange(len(score)) % 2
    # The first as-of stands in a cut that is drawn twice.
    drawn = ResampleWeights(weights.account, 2.0 - as_of[None, :])
    precisions, hits, happened = [], 0.0, 0
    for day in (0, 0, 1):
        rows = np.repeat(np.arange(len(score)), weights.account[0].astype(int) * (as_of == day))
        if not len(rows):
            continue
        able = min(capacity, len(rows))
        share = ranking.precision_at_capacity(score[rows], expanded[rows], able)
        precisions.append(share)
        hits += share * able
        happened += int(expanded[rows].sum())

    told = [
        metric(score, expanded, as_of, capacity)(drawn)[0]
        for metric in (
            ranking.mean_precision_at_capacity,
            ranking.recall_at_capacity,
        )
    ]

    assert told == pytest.approx([np.mean(precisions), hits / happened])


@given(st.integers(0, 1_000))
@settings(max_examples=10)
def test_a_weighted_calibration_slope_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stated, weight = rng.normal(-1, 1, size=200), rng.integers(0, 4, size=200).astype(float)
    expanded = rng.uniform(size=200) < expit(stated)

    found = probability.calibration_slope(expit(stated), expanded, weight)

    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(stated[:, None], expanded, sample_weight=weight)
    assert found == pytest.approx(model.coef_[0, 0], abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=40))
def test_accounts_and_cuts_are_drawn_whole_and_as_many_as_there_are(
    rows: list[tuple[int, int]],
) -> None:
    account, cut = cluster_bootstrap.factorize_columns(*zip(*rows, strict=True))

    def seen(weights: ResampleWeights) -> Array:
        for code, drawn in ((account, weights.account), (cut, weights.cutoff)):
            firsts = np.unique(code, return_index=True)[1]
            assert (drawn == drawn[:, firsts][:, code]).all()
            assert (drawn[:, firsts].sum(axis=1) == len(firsts)).all()
        return weights.row.sum(axis=1)

    sizes = ClusterBootstrap(account, cut, resamples=9, seed=1).evaluate(seen)

    assert sizes[0] == len(rows)


def test_a_few_draws_at_a_time_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    account, cut = np.arange(30) % 10, np.arange(30) // 10
    metric = cluster_bootstrap.mean_metric(np.random.default_rng(1).normal(size=30))
    whole = ClusterBootstrap(account, cut, resamples=25, seed=3).evaluate(metric)

    monkeypatch.setattr(cluster_bootstrap, "_MAX_CHUNK_VALUES", 60)

    assert ClusterBootstrap(account, cut, resamples=25, seed=3).evaluate(metric) == pytest.approx(
        whole
    )


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_few_cuts_are_not_drawn(cuts: int) -> None:
    account, cut = np.arange(60) % 20, np.arange(60) // 20 % cuts
    metric = cluster_bootstrap.mean_metric(np.random.default_rng(1).normal(size=60) + cut)
    rules = {"resamples": 20, "seed": 3}

    assert (
        ClusterBootstrap(account, cut, **rules).evaluate(metric).tolist()
        == ClusterBootstrap(account, **rules).evaluate(metric).tolist()
    )


def test_cuts_that_differ_widen_an_interval_and_one_cut_is_the_plain_bootstrap() -> None:
    rng = np.random.default_rng(5)
    account, cut = np.tile(np.arange(100), 4), np.repeat(np.arange(4), 100)
    values = rng.normal(size=400) * 0.1 + cut
    rules = {"resamples": 200, "seed": 1}

    plain = cluster_bootstrap.estimate_metrics(
        {"it": cluster_bootstrap.mean_metric(values)}, account, **rules
    )["it"]
    of_one = cluster_bootstrap.estimate_metrics(
        {"it": cluster_bootstrap.mean_metric(values)}, account, cut * 0, **rules
    )["it"]
    blocked = cluster_bootstrap.estimate_metrics(
        {"it": cluster_bootstrap.mean_metric(values)}, account, cut, **rules
    )["it"]

    assert plain == of_one
    assert plain.high - plain.low < 0.1  # type: ignore[operator]
    # The mean of four of 0, 1, 2, 3 has a standard deviation of .56.
    assert blocked.high - blocked.low == pytest.approx(2 * 1.645 * 0.56, rel=0.2)  # type: ignore[operator]


def test_an_interval_holds_its_own_figure_where_every_draw_lies_to_one_side() -> None:
    def at_its_bound(weights: cluster_bootstrap.ResampleWeights) -> np.ndarray:
        return np.abs(weights.row - 1).sum(axis=1)

    found = cluster_bootstrap.estimate_metrics(
        {"it": at_its_bound}, np.arange(40), resamples=50, seed=1
    )["it"]

    assert (found.value, found.low) == (0, 0)
    assert found.high is not None
    assert found.high > 0


def test_a_draw_in_which_a_figure_does_not_exist_has_no_part_in_its_interval() -> None:
    def of_the_first(weights: ResampleWeights) -> Array:
        return np.where(weights.row[:, 0] > 0, 7.0, np.nan)

    found = cluster_bootstrap.estimate_metrics(
        {"seven": of_the_first}, np.arange(3), resamples=50, seed=1
    )

    assert found["seven"] == MetricEstimate(7.0, 7.0, 7.0)
