"""Figures agree with scikit-learn, with hand-worked numbers, and with slow definitions."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from training.metrics import summary
from training.metrics.cluster_bootstrap import ClusterBootstrap
from training.metrics.probability import calibration_error, calibration_slope
from training.metrics.summary import LabelledOutcomes, MetricEstimate

Array = NDArray[np.float64]
# Few values, so that ties are the rule.
scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6
)


def judged(expanded: NDArray[np.bool_], accounts: int = 10) -> LabelledOutcomes:
    rows = np.arange(len(expanded))
    return LabelledOutcomes(expanded, rows % accounts, rows // accounts)


def figures(score: Array, known: LabelledOutcomes, **changes: object) -> dict[str, MetricEstimate]:
    given = {"capacity": 3, "resamples": 50, "seed": 1} | changes
    return summary.compute_metrics(score, known, **given)  # type: ignore[arg-type]


@given(st.integers(0, 10_000))
@settings(max_examples=8)
def test_figures_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(1, 20, size=60) / 20
    expanded = rng.uniform(size=60) < probability
    expanded[:2] = [True, False]

    found = figures(
        probability,
        judged(expanded),
        resamples=20,
        probability=probability,
        reference=np.full(60, 0.3),
    )

    theirs = {
        "auroc": reference.roc_auc_score(expanded, probability),
        "average_precision": reference.average_precision_score(expanded, probability),
        "log_loss": reference.log_loss(expanded, probability),
        "brier": reference.brier_score_loss(expanded, probability),
    }
    assert {name: found[name].value for name in theirs} == pytest.approx(theirs, abs=1e-12)


@given(scored, st.data())
def test_precision_at_capacity_is_the_mean_over_every_order_of_tied_accounts(
    rows: list[tuple[float, bool]], data: st.DataObject
) -> None:
    capacity = data.draw(st.integers(1, len(rows)))
    score, expanded = (np.array(column) for column in zip(*rows, strict=True))

    found = summary.precision_at_capacity(score, expanded, capacity)

    ranked = [
        [hit for _, hit in order[:capacity]]
        for order in permutations(rows)
        if all(a[0] >= b[0] for a, b in pairwise(order))
    ]
    assert found == pytest.approx(np.mean(ranked))


@pytest.mark.parametrize(
    ("score", "expanded", "capacity", "precision"),
    [
        ([3, 2, 1], [1, 0, 0], 1, 1.0),
        ([3, 2, 1], [1, 0, 0], 3, 1 / 3),
        # One above the cut expanded; two of the four tied at it did, and one of them is contacted.
        ([9, 5, 5, 5, 5], [1, 1, 1, 0, 0], 2, (1 + 0.5) / 2),
        ([5, 5, 5, 5], [0, 0, 0, 1], 2, 0.25),
    ],
)
def test_precision_at_capacity_is_as_worked_out_by_hand(
    score: list[int], expanded: list[int], capacity: int, precision: float
) -> None:
    found = summary.precision_at_capacity(
        np.array(score, dtype=float), np.array(expanded, dtype=bool), capacity
    )

    assert found == pytest.approx(precision)


@pytest.mark.parametrize("capacity", [0, 4])
def test_a_capacity_beyond_the_accounts_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="between 1 and the 3"):
        summary.precision_at_capacity(np.zeros(3), np.zeros(3, dtype=bool), capacity)


def test_precision_at_capacity_is_the_mean_over_as_ofs() -> None:
    score = np.array([3.0, 2.0, 1.0, 3.0])
    expanded = np.array([True, True, False, False])
    known = LabelledOutcomes(expanded, np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]))

    found = figures(score, known, capacity=2)

    # The first as-of finds 2 of 2; the second has one account only, which did not expand.
    assert found["precision_at_capacity"].value == pytest.approx((1.0 + 0.0) / 2)


def calibration_error(probability: Array, expanded: NDArray[np.bool_], bins: int) -> float:
    metric = calibration_error(probability, expanded, bins)
    return float(
        ClusterBootstrap(np.zeros(len(expanded), dtype=np.int64), resamples=0, seed=1).evaluate(
            metric
        )[0]
    )


def test_the_calibration_error_is_as_worked_out_by_hand() -> None:
    probability = np.repeat([0.1, 0.3, 0.6, 0.8], 25)
    expanded = np.tile([True, False, False, False, False], 20)

    found = calibration_error(probability, expanded, bins=2)

    # Stated .2 and .7 in bins of fifty; observed .2 in each, where chance alone gives this much.
    by_chance = 0.2 * 0.8 / 49
    assert found == pytest.approx(np.sqrt((0 - by_chance + 0.5**2 - by_chance) / 2))


def test_a_constant_and_true_probability_has_no_calibration_error() -> None:
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

    # A bin of forty scatters by about a twentieth. What is taken off would leave nothing on
    # average; what is left is that an error below none is told as none.
    assert np.mean(squares) < 0.3 * 0.05**2


@given(scored, st.randoms(use_true_random=False))
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

    found = figures(base, judged(expanded), probability=base, reference=base)

    assert found["log_loss_skill"].value == pytest.approx(0.0)
    assert found["observed_to_expected"].value == pytest.approx(1.0)


def test_an_interval_encloses_its_value_and_repeats_with_its_seed(
    rng: np.random.Generator,
) -> None:
    score = rng.normal(size=200)
    known = judged(rng.uniform(size=200) < 1 / (1 + np.exp(-score)), accounts=40)

    found, again = figures(score, known), figures(score, known)

    auroc = found["auroc"]
    assert auroc.low < auroc.value < auroc.high  # type: ignore[operator]
    assert found == again


def test_more_rows_of_the_same_accounts_do_not_narrow_an_interval(
    rng: np.random.Generator,
) -> None:
    score = rng.normal(size=60)
    expanded = rng.uniform(size=60) < 0.4
    once = LabelledOutcomes(expanded, np.arange(60), np.zeros(60, dtype=np.int64))
    same = LabelledOutcomes(
        *(np.repeat(column, 9) for column in (expanded, once.account, once.as_of))
    )
    other = LabelledOutcomes(same.expanded, np.arange(540), same.as_of)

    few = figures(score, once)["auroc"]
    repeated = figures(np.repeat(score, 9), same)["auroc"]
    independent = figures(np.repeat(score, 9), other)["auroc"]

    assert (repeated.low, repeated.high) == pytest.approx((few.low, few.high))
    assert independent.high - independent.low < (few.high - few.low) / 2  # type: ignore[operator]


@pytest.mark.parametrize("outcome", [True, False])
def test_where_only_one_outcome_occurred_no_figure_is_made_up(outcome: bool) -> None:
    half = np.full(20, 0.5)

    found = figures(half, judged(np.full(20, outcome)), probability=half, reference=half)

    assert set(found.values()) == {MetricEstimate(None, None, None)}
    assert str(found["auroc"]) == "n/a"


def test_without_any_known_outcome_no_figure_is_made_up() -> None:
    none = np.array([])

    found = figures(none, judged(none.astype(bool)), probability=none, reference=none)

    assert set(found.values()) == {MetricEstimate(None, None, None)}


def test_a_sure_and_wrong_probability_costs_much_and_not_infinitely_much() -> None:
    sure = np.array([1.0, 0.0, 0.0, 1.0])
    expanded = np.array([False, True, False, True])

    found = figures(sure, judged(expanded), probability=sure, reference=np.full(4, 0.5))

    assert 5 < found["log_loss"].value < 10  # type: ignore[operator]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_advantage_over_a_rival_is_judged_on_the_same_draws() -> None:
    rng = np.random.default_rng(3)
    expanded = rng.random(600) < 0.2
    judged = summary.LabelledOutcomes(expanded, np.arange(600) % 60, np.arange(600) // 60)
    good, noise = expanded + rng.normal(0, 0.3, 600), rng.random(600)
    rules = {"capacity": 10, "resamples": 100, "seed": 1}

    gain = summary.compute_precision_gain(good, noise, judged, **rules)
    none = summary.compute_precision_gain(good, good, judged, **rules)

    assert gain.low is not None
    assert gain.low > 0
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


@given(st.integers(0, 10_000), st.floats(0.3, 3))
@settings(max_examples=25)
def test_the_calibration_slope_agrees_with_scikit_learn(seed: int, slope: float) -> None:
    rng = np.random.default_rng(seed)
    stated = rng.normal(-2, 1, size=300)
    expanded = rng.uniform(size=300) < expit(slope * stated + 0.5)
    expanded[:2] = [True, False]

    found = calibration_slope(expit(stated), expanded)

    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(stated[:, None], expanded)
    assert found == pytest.approx(theirs.coef_[0, 0], abs=1e-4)


@pytest.mark.parametrize("stretch", [0.5, 2.0])
def test_stretched_log_odds_divide_the_calibration_slope(
    stretch: float, rng: np.random.Generator
) -> None:
    stated = rng.normal(-1, 1, size=500)
    expanded = rng.uniform(size=500) < expit(stated)

    plain, stretched = (calibration_slope(expit(s), expanded) for s in (stated, stretch * stated))

    assert stretched == pytest.approx(plain / stretch)


@pytest.mark.parametrize(
    "probability",
    [[0.2, 0.2, 0.2, 0.2], [0.1, 0.2, 0.8, 0.9]],
    ids=["all alike", "parts the outcomes"],
)
def test_where_the_likelihood_has_no_maximum_there_is_no_calibration_slope(
    probability: list[float],
) -> None:
    expanded = np.array([False, False, True, True])

    assert np.isnan(calibration_slope(np.array(probability), expanded))


def test_the_brier_skill_is_what_is_saved_of_the_base_rates_brier() -> None:
    expanded = np.array([True, False, False, False])
    stated = np.array([0.5, 0.0, 0.5, 0.0])

    found = figures(stated, judged(expanded), probability=stated, reference=np.full(4, 0.25))

    # Brier .125 against .1875.
    assert found["brier_skill"].value == pytest.approx(1 / 3, abs=1e-5)


def test_a_probability_replaced_by_itself_changes_nothing_and_by_the_truth_betters_all() -> None:
    rng = np.random.default_rng(6)
    truth = rng.beta(1, 6, size=2_000)
    outcome = LabelledOutcomes(
        rng.uniform(size=2_000) < truth, np.arange(2_000) // 8, np.arange(2_000) % 8
    )
    guess = np.clip(truth * rng.lognormal(0, 1.0, size=2_000), 0.001, 0.999)

    same = summary.compute_metric_change(guess, guess, outcome, resamples=20, seed=1)
    better = summary.compute_metric_change(guess, truth, outcome, resamples=20, seed=1)

    assert all((f.value, f.low, f.high) == (0, 0, 0) for f in same.values())
    whole = [
        reference.roc_auc_score(outcome.expanded, truth)
        - reference.roc_auc_score(outcome.expanded, guess),
        reference.log_loss(outcome.expanded, truth) - reference.log_loss(outcome.expanded, guess),
    ]
    assert [better["auroc"].value, better["log_loss"].value] == pytest.approx(whole)
    assert better["auroc"].low is not None
    assert better["auroc"].low > 0
    assert better["log_loss"].high is not None
    assert better["log_loss"].high < 0
