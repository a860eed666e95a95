"""The regression agrees with scikit-learn's, adds up, and bears what a real panel holds."""

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
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Skewed, tied, missing and constant columns, and outcomes that the first two bring about."""
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
    drawn: tuple[np.ndarray, np.ndarray], directions: tuple[int, ...] = (0,) * 5
) -> BaggedLogistic:
    matrix, label = drawn
    draws = [np.ones(ROWS), np.arange(ROWS) % 3.0]
    return logistic.fit_bagged_logistic(
        matrix, label, draws, ridge_penalty=10.0, constraints=directions
    )


@given(
    arrays.arrays(np.float64, 40, elements=st.floats(-5, 5) | st.just(0.0) | st.just(np.nan)),
    st.lists(st.floats(-9, 9), min_size=2, max_size=10),
)
@settings(max_examples=25)
def test_a_higher_value_never_scores_lower_and_a_missing_one_stands_at_the_mean(
    values: np.ndarray, others: list[float]
) -> None:
    found = logistic.fit_normalizer(values[:, None])

    scores = found(np.sort(others)[:, None])[:, 0]
    missing = found(np.array([[np.nan]]))

    assert (np.diff(scores) >= -1e-9).all()
    assert np.isfinite(scores).all()
    assert missing[0, 0] == 0
    assert missing[0, 1] == 1 - np.isnan(values).mean()


def test_on_many_rows_scores_are_normal_scores() -> None:
    values = np.random.default_rng(2).lognormal(size=(20_000, 1))

    scores = logistic.fit_normalizer(values)(values)[:, 0]

    theirs = QuantileTransformer(n_quantiles=51, output_distribution="normal").fit_transform(values)
    inside = np.abs(theirs[:, 0]) < 1.9
    assert np.corrcoef(scores[inside], theirs[inside, 0])[0, 1] > 0.9999
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.std() == pytest.approx(1, abs=1e-9)


def test_weights_are_those_of_scikit_learns_regression_on_the_scores(drawn: Any) -> None:
    matrix, label = drawn
    found = fitted(drawn)
    theirs = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000)
    theirs.fit(found.normalizer(matrix), label)

    np.testing.assert_allclose(found.coefficients[0], theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(
        found.predict_margins(matrix)[0],
        theirs.decision_function(found.normalizer(matrix)),
        atol=1e-3,
    )


def test_contributions_and_level_add_up_to_the_mean_margin(drawn: Any) -> None:
    matrix, _ = drawn
    found = fitted(drawn)

    total = found.compute_contributions(matrix).sum(axis=1) + found.mean_intercept
    np.testing.assert_allclose(total, found.predict_margins(matrix).mean(axis=0), atol=1e-9)
    assert np.abs(found.compute_contributions(matrix).mean(axis=0)).max() < 1e-9


def test_a_row_whose_outcome_is_unknown_counts_for_nothing(drawn: Any) -> None:
    matrix, label = drawn
    unknown = np.arange(ROWS) >= 400
    draws = [np.ones(ROWS), np.arange(ROWS) % 3.0]

    found = logistic.fit_bagged_logistic(
        matrix, np.where(unknown, np.nan, label), draws, ridge_penalty=10.0, constraints=(0,) * 5
    )

    without = logistic.fit_bagged_logistic(
        matrix[:400],
        label[:400],
        [d[:400] for d in draws],
        ridge_penalty=10.0,
        constraints=(0,) * 5,
    )
    assert np.array_equal(found.predict_margins(matrix), without.predict_margins(matrix))


def test_a_column_held_the_other_way_is_left_out(drawn: Any) -> None:
    free, held = fitted(drawn), fitted(drawn, (0, -1, 0, 0, 0))

    assert (free.coefficients[:, 1] > 0).all()
    assert (held.coefficients[:, 1] == 0).all()
    assert fitted(drawn, (0, 1, 0, 0, 0)).coefficients.tolist() == free.coefficients.tolist()


def test_a_constant_or_empty_column_counts_for_nothing_whatever_it_holds_later(drawn: Any) -> None:
    matrix, _ = drawn
    found = fitted(drawn)
    later = matrix.copy()
    later[:, 3:] = 1e9

    assert (found.compute_contributions(later)[:, 3] == 0).all()
    np.testing.assert_allclose(found.compute_contributions(later)[:, 4], 0, atol=1e-6)
    assert np.isfinite(found.predict_margins(later)).all()


def test_a_regression_survives_being_written_as_json(drawn: Any) -> None:
    matrix, _ = drawn
    found = fitted(drawn)

    again = serialization._logistic_from_dict(
        json.loads(json.dumps(serialization._logistic_to_dict(found), allow_nan=False))
    )

    assert (again.predict_margins(matrix) == found.predict_margins(matrix)).all()
