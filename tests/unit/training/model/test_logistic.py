"""The regression agrees with scikit-learn, is additive, and handles real panel columns."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import QuantileTransformer

from training.model import logistic
from training.model.logistic import BaggedLogistic
from training.registry import serialization

ROWS = 600


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Skewed, tied, missing and constant columns; the first two cause the outcomes."""
    rng = np.random.default_rng(4)
    matrix = np.column_stack(
        [
            rng.lognormal(size=ROWS),
            rng.poisson(1.0, size=ROWS),
            np.where(rng.uniform(size=ROWS) < 0.4, np.nan, rng.normal(size=ROWS)),
            np.full(ROWS, 3.0),
            np.full(ROWS, np.nan),
        ]
    ).astype(np.float64)
    day = -120 * np.log(rng.uniform(size=ROWS)) / np.exp(0.6 * matrix[:, 1] - 0.4)
    return matrix, (day < 60).astype(np.float64)


def fitted(
    simulated: tuple[np.ndarray, np.ndarray], directions: tuple[int, ...] = (0,) * 5
) -> BaggedLogistic:
    matrix, label = simulated
    bootstrap_weights = [np.ones(len(label)), np.arange(len(label)) % 3.0]
    return logistic.fit_bagged_logistic(
        matrix, label, bootstrap_weights, ridge_penalty=10.0, constraints=directions
    )


@given(
    arrays.arrays(
        np.float64, 40, elements=st.floats(-5, 5, width=32) | st.just(0.0) | st.just(np.nan)
    ),
    st.lists(st.floats(-9, 9), min_size=2, max_size=10),
)
@settings(max_examples=25)
def test_scores_are_monotone_and_missing_values_score_the_mean(
    values: np.ndarray, others: list[float]
) -> None:
    result = logistic.fit_normalizer(values[:, None])

    scores = result(np.sort(others)[:, None])[:, 0]
    missing = result(np.array([[np.nan]]))

    assert (np.diff(scores) >= -1e-9).all()
    assert np.isfinite(scores).all()
    assert missing[0, 0] == 0
    assert missing[0, 1] == 1 - np.isnan(values).mean()


def test_scores_agree_with_scikit_learns_quantile_transformer() -> None:
    values = np.random.default_rng(2).lognormal(size=(20_000, 1))

    scores = logistic.fit_normalizer(values)(values)[:, 0]

    reference = QuantileTransformer(n_quantiles=51, output_distribution="normal").fit_transform(
        values
    )
    inside = np.abs(reference[:, 0]) < 1.9
    assert np.corrcoef(scores[inside], reference[inside, 0])[0, 1] > 0.9999
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.std() == pytest.approx(1, abs=1e-9)


def test_coefficients_agree_with_scikit_learn(simulated: Any) -> None:
    matrix, label = simulated
    result = fitted(simulated)
    reference = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000)
    reference.fit(result.normalizer(matrix), label)

    np.testing.assert_allclose(result.coefficients[0], reference.coef_[0], atol=1e-4)
    np.testing.assert_allclose(
        result.predict_margins(matrix)[0],
        reference.decision_function(result.normalizer(matrix)),
        atol=1e-3,
    )


def test_contributions_and_intercept_add_up_to_the_mean_margin(simulated: Any) -> None:
    matrix, _ = simulated
    result = fitted(simulated)

    total = result.compute_contributions(matrix).sum(axis=1) + result.mean_intercept
    np.testing.assert_allclose(total, result.predict_margins(matrix).mean(axis=0), atol=1e-9)
    assert np.abs(result.compute_contributions(matrix).mean(axis=0)).max() < 1e-9


def test_rows_with_unknown_outcome_are_ignored(simulated: Any) -> None:
    matrix, label = simulated
    unknown = np.arange(ROWS) >= 400

    result = fitted((matrix, np.where(unknown, np.nan, label)))

    without = fitted((matrix[:400], label[:400]))
    assert np.array_equal(result.predict_margins(matrix), without.predict_margins(matrix))


def test_a_column_that_violates_its_constraint_is_dropped(simulated: Any) -> None:
    unconstrained, constrained = fitted(simulated), fitted(simulated, (0, -1, 0, 0, 0))

    assert (unconstrained.coefficients[:, 1] > 0).all()
    assert (constrained.coefficients[:, 1] == 0).all()
    assert (
        fitted(simulated, (0, 1, 0, 0, 0)).coefficients.tolist()
        == unconstrained.coefficients.tolist()
    )


def test_a_constant_or_empty_column_never_contributes(simulated: Any) -> None:
    matrix, _ = simulated
    result = fitted(simulated)
    later = matrix.copy()
    later[:, 3:] = 1e9

    assert (result.compute_contributions(later)[:, 3] == 0).all()
    np.testing.assert_allclose(result.compute_contributions(later)[:, 4], 0, atol=1e-6)
    assert np.isfinite(result.predict_margins(later)).all()


def test_a_regression_survives_a_json_round_trip(simulated: Any) -> None:
    matrix, _ = simulated
    result = fitted(simulated)

    restored = serialization.logistic_from_dict(
        json.loads(json.dumps(serialization.logistic_to_dict(result), allow_nan=False))
    )

    assert (restored.predict_margins(matrix) == result.predict_margins(matrix)).all()
