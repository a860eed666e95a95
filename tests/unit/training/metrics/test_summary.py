"""Metrics agree with scikit-learn, with hand-worked numbers, and with slow definitions."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from training.metrics import probability as probability_metrics
from training.metrics import summary
from training.metrics.cluster_bootstrap import ClusterBootstrap
from training.metrics.probability import calibration_slope
from training.metrics.summary import LabelledOutcomes, MetricEstimate

Array = NDArray[np.float64]
# Few distinct values, so that ties are common.
scored_rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6
)


def label_rows(expanded: NDArray[np.bool_], accounts: int = 10) -> LabelledOutcomes:
    rows = np.arange(len(expanded))
    return LabelledOutcomes(expanded, rows % accounts, rows // accounts)


def compute_metrics(
    score: Array, outcomes: LabelledOutcomes, **changes: object
) -> dict[str, MetricEstimate]:
    """Compute metrics with the test's default options."""
    arguments = {"capacity": 3, "resamples": 50, "seed": 1} | changes
    return summary.compute_metrics(score, outcomes, **arguments)  # type: ignore[arg-type]


@given(st.integers(0, 10_000))
@settings(max_examples=8)
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(1, 20, size=60) / 20
    expanded = rng.uniform(size=60) < probability
    expanded[:2] = [True, False]

    result = compute_metrics(
        probability,
        label_rows(expanded),
        resamples=20,
        base_rate=np.full(60, 0.3),
    )

    expected = {
        "auroc": reference.roc_auc_score(expanded, probability),
        "average_precision": reference.average_precision_score(expanded, probability),
        "log_loss": reference.log_loss(expanded, probability),
        "brier": reference.brier_score_loss(expanded, probability),
    }
    assert {name: result[name].value for name in expected} == pytest.approx(expected, abs=1e-12)


@given(scored_rows, st.data())
def test_precision_at_capacity_is_the_mean_over_every_order_of_tied_accounts(
    rows: list[tuple[float, bool]], data: st.DataObject
) -> None:
    capacity = data.draw(st.integers(1, len(rows)))
    score, expanded = (np.array(column) for column in zip(*rows, strict=True))

    result = summary.precision_at_capacity(score, expanded, capacity)

    ranked = [
        [hit for _, hit in order[:capacity]]
        for order in permutations(rows)
        if all(a[0] >= b[0] for a, b in pairwise(order))
    ]
    assert result == pytest.approx(np.mean(ranked))


@pytest.mark.parametrize(
    ("score", "expanded", "capacity", "precision"),
    [
        ([3, 2, 1], [1, 0, 0], 1, 1.0),
        ([3, 2, 1], [1, 0, 0], 3, 1 / 3),
        # One above the threshold expanded; two of four ties did, and one tie is contacted.
        ([9, 5, 5, 5, 5], [1, 1, 1, 0, 0], 2, (1 + 0.5) / 2),
        ([5, 5, 5, 5], [0, 0, 0, 1], 2, 0.25),
    ],
)
def test_precision_at_capacity_matches_hand_worked_numbers(
    score: list[int], expanded: list[int], capacity: int, precision: float
) -> None:
    result = summary.precision_at_capacity(
        np.array(score, dtype=float), np.array(expanded, dtype=bool), capacity
    )

    assert result == pytest.approx(precision)


@pytest.mark.parametrize("capacity", [0, 4])
def test_a_capacity_beyond_the_accounts_is_rejected(capacity: int) -> None:
    with pytest.raises(ValueError, match="between 1 and the 3"):
        summary.precision_at_capacity(np.zeros(3), np.zeros(3, dtype=bool), capacity)


def test_precision_at_capacity_is_the_mean_over_as_ofs() -> None:
    score = np.array([3.0, 2.0, 1.0, 3.0])
    expanded = np.array([True, True, False, False])
    outcomes = LabelledOutcomes(expanded, np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]))

    result = compute_metrics(score, outcomes, capacity=2)

    # First as-of: 2 of 2; second: a single account, which did not expand.
    assert result["precision_at_capacity"].value == pytest.approx((1.0 + 0.0) / 2)


def calibration_error(probability: Array, expanded: NDArray[np.bool_], bins: int) -> float:
    metric = probability_metrics.calibration_error(probability, expanded, bins)
    return float(
        ClusterBootstrap(np.zeros(len(expanded), dtype=np.int64), resamples=0, seed=1).evaluate(
            metric
        )[0]
    )


def test_the_calibration_error_matches_hand_worked_numbers() -> None:
    probability = np.repeat([0.1, 0.3, 0.6, 0.8], 25)
    expanded = np.tile([True, False, False, False, False], 20)

    result = calibration_error(probability, expanded, bins=2)

    # Predicted .2 and .7 in bins of fifty; observed .2 in each; this is the sampling variance.
    sampling_variance = 0.2 * 0.8 / 49
    assert result == pytest.approx(
        np.sqrt((0 - sampling_variance + 0.5**2 - sampling_variance) / 2)
    )


def test_a_constant_true_probability_has_no_calibration_error() -> None:
    expanded = np.repeat([True, False], [10, 90])

    assert calibration_error(np.full(100, 0.1), expanded, bins=10) == 0.0


def test_a_true_probability_shows_no_more_error_than_chance_on_average(
    rng: np.random.Generator,
) -> None:
    probability = rng.beta(1, 8, size=(300, 400))
    expanded = rng.uniform(size=probability.shape) < probability

    squares = [
        calibration_error(p, e, bins=10) ** 2 for p, e in zip(probability, expanded, strict=True)
    ]

    # The standard error of a bin of forty is about .05. The correction removes it on
    # average; a small bias remains because negative errors are set to zero.
    assert np.mean(squares) < 0.3 * 0.05**2


@given(scored_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_calibration_error(
    rows: list[tuple[float, bool]], random: object
) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    before, after = (
        calibration_error(*(np.array(c) for c in zip(*order, strict=True)), bins=3)
        for order in (rows, shuffled)
    )

    assert before == pytest.approx(after)


def test_the_running_base_rate_has_no_skill_over_itself() -> None:
    expanded = np.array([True, False, False, False] * 5)
    base = np.full(20, 0.25)

    result = compute_metrics(base, label_rows(expanded), base_rate=base)

    assert result["log_loss_skill"].value == pytest.approx(0.0)
    assert result["observed_to_expected"].value == pytest.approx(1.0)


def test_an_interval_contains_its_value_and_is_reproducible(
    rng: np.random.Generator,
) -> None:
    score = rng.normal(size=200)
    outcomes = label_rows(rng.uniform(size=200) < 1 / (1 + np.exp(-score)), accounts=40)

    result, repeated = compute_metrics(score, outcomes), compute_metrics(score, outcomes)

    auroc = result["auroc"]
    assert auroc.low < auroc.value < auroc.high  # type: ignore[operator]
    assert result == repeated


def test_more_rows_of_the_same_accounts_do_not_narrow_an_interval(
    rng: np.random.Generator,
) -> None:
    score = rng.normal(size=60)
    expanded = rng.uniform(size=60) < 0.4
    single_rows = LabelledOutcomes(expanded, np.arange(60), np.zeros(60, dtype=np.int64))
    unchanged = LabelledOutcomes(
        *(np.repeat(column, 9) for column in (expanded, single_rows.account, single_rows.as_of))
    )
    other = LabelledOutcomes(unchanged.expanded, np.arange(540), unchanged.as_of)

    few_rows = compute_metrics(score, single_rows)["auroc"]
    repeated = compute_metrics(np.repeat(score, 9), unchanged)["auroc"]
    independent = compute_metrics(np.repeat(score, 9), other)["auroc"]

    assert (repeated.low, repeated.high) == pytest.approx((few_rows.low, few_rows.high))
    assert independent.high - independent.low < (few_rows.high - few_rows.low) / 2  # type: ignore[operator]


@pytest.mark.parametrize("outcomes", [[True] * 20, [False] * 20, []], ids=["all", "none", "empty"])
def test_without_both_classes_all_metrics_are_undefined(outcomes: list[bool]) -> None:
    constant = np.full(len(outcomes), 0.5)

    result = compute_metrics(
        constant, label_rows(np.array(outcomes, dtype=bool)), base_rate=constant
    )

    assert set(result.values()) == {MetricEstimate(None, None, None)}
    assert str(result["auroc"]) == "n/a"


def test_a_certain_wrong_probability_has_a_large_finite_loss() -> None:
    certain = np.array([1.0, 0.0, 0.0, 1.0])
    expanded = np.array([False, True, False, True])

    result = compute_metrics(certain, label_rows(expanded), base_rate=np.full(4, 0.5))

    assert 5 < result["log_loss"].value < 10  # type: ignore[operator]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_precision_gain_uses_the_same_replicates() -> None:
    rng = np.random.default_rng(3)
    expanded = rng.random(600) < 0.2
    outcomes = summary.LabelledOutcomes(expanded, np.arange(600) % 60, np.arange(600) // 60)
    informative, noise = expanded + rng.normal(0, 0.3, 600), rng.random(600)
    options = {"capacity": 10, "resamples": 100, "seed": 1}

    gain = summary.compute_precision_gain(informative, noise, outcomes, **options)
    gain_over_itself = summary.compute_precision_gain(informative, informative, outcomes, **options)

    assert gain.low is not None
    assert gain.low > 0
    assert (gain_over_itself.value, gain_over_itself.low, gain_over_itself.high) == (0.0, 0.0, 0.0)


@given(st.integers(0, 10_000), st.floats(0.3, 3))
@settings(max_examples=25)
def test_the_calibration_slope_agrees_with_scikit_learn(seed: int, slope: float) -> None:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-2, 1, size=300)
    expanded = rng.uniform(size=300) < expit(slope * log_odds + 0.5)
    expanded[:2] = [True, False]

    result = calibration_slope(expit(log_odds), expanded)

    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        log_odds[:, None], expanded
    )
    assert result == pytest.approx(expected.coef_[0, 0], abs=1e-4)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scaling_log_odds_divides_the_calibration_slope(
    scale: float, rng: np.random.Generator
) -> None:
    log_odds = rng.normal(-1, 1, size=500)
    expanded = rng.uniform(size=500) < expit(log_odds)

    original, scaled = (calibration_slope(expit(s), expanded) for s in (log_odds, scale * log_odds))

    assert scaled == pytest.approx(original / scale)


@pytest.mark.parametrize(
    "probability",
    [[0.2, 0.2, 0.2, 0.2], [0.1, 0.2, 0.8, 0.9]],
    ids=["all alike", "parts the outcomes"],
)
def test_without_a_likelihood_maximum_the_calibration_slope_is_undefined(
    probability: list[float],
) -> None:
    expanded = np.array([False, False, True, True])

    assert np.isnan(calibration_slope(np.array(probability), expanded))


def test_the_brier_skill_is_relative_to_the_base_rate() -> None:
    expanded = np.array([True, False, False, False])
    probability = np.array([0.5, 0.0, 0.5, 0.0])

    result = compute_metrics(probability, label_rows(expanded), base_rate=np.full(4, 0.25))

    # Brier .125 against .1875.
    assert result["brier_skill"].value == pytest.approx(1 / 3, abs=1e-5)


def test_the_metric_change_is_zero_for_equal_and_positive_for_true_probabilities() -> None:
    rng = np.random.default_rng(6)
    truth = rng.beta(1, 6, size=2_000)
    outcome = LabelledOutcomes(
        rng.uniform(size=2_000) < truth, np.arange(2_000) // 8, np.arange(2_000) % 8
    )
    noisy = np.clip(truth * rng.lognormal(0, 1.0, size=2_000), 0.001, 0.999)

    unchanged = summary.compute_metric_change(noisy, noisy, outcome, resamples=20, seed=1)
    improved = summary.compute_metric_change(noisy, truth, outcome, resamples=20, seed=1)

    assert all(
        (estimate.value, estimate.low, estimate.high) == (0, 0, 0)
        for estimate in unchanged.values()
    )
    expected = [
        reference.roc_auc_score(outcome.expanded, truth)
        - reference.roc_auc_score(outcome.expanded, noisy),
        reference.log_loss(outcome.expanded, truth) - reference.log_loss(outcome.expanded, noisy),
    ]
    assert [improved["auroc"].value, improved["log_loss"].value] == pytest.approx(expected)
    assert improved["auroc"].low is not None
    assert improved["auroc"].low > 0
    assert improved["log_loss"].high is not None
    assert improved["log_loss"].high < 0
