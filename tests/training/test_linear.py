"""The regression agrees with scikit-learn's, adds up, and bears what a real panel holds."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import QuantileTransformer

from training import artifact, linear
from training.linear import Linear

ROWS = 600


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, dict[int, np.ndarray]]:
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
    labels = {horizon: (day < horizon).astype(np.float64) for horizon in (30, 60, 120)}
    labels[120][:100] = np.nan
    return matrix, labels


def fitted(
    drawn: tuple[np.ndarray, dict[int, np.ndarray]], directions: tuple[int, ...] = (0,) * 5
) -> Linear:
    matrix, labels = drawn
    draws = [np.ones(ROWS), np.arange(ROWS) % 3.0]
    return linear.fit(matrix, labels, draws, horizon_days=60, ridge=10.0, directions=directions)


@given(
    arrays.arrays(np.float64, 40, elements=st.floats(-5, 5) | st.just(0.0) | st.just(np.nan)),
    st.lists(st.floats(-9, 9), min_size=2, max_size=10),
)
@settings(max_examples=25)
def test_a_higher_value_never_scores_lower_and_a_missing_one_stands_at_the_mean(
    values: np.ndarray, others: list[float]
) -> None:
    found = linear.scale(values[:, None])

    scores = found(np.sort(others)[:, None])[:, 0]
    missing = found(np.array([[np.nan]]))

    assert (np.diff(scores) >= -1e-9).all()
    assert np.isfinite(scores).all()
    assert missing[0, 0] == 0
    assert missing[0, 1] == 1 - np.isnan(values).mean()


def test_on_many_rows_scores_are_normal_scores() -> None:
    values = np.random.default_rng(2).lognormal(size=(20_000, 1))

    scores = linear.scale(values)(values)[:, 0]

    theirs = QuantileTransformer(n_quantiles=51, output_distribution="normal").fit_transform(values)
    inside = np.abs(theirs[:, 0]) < 1.9
    assert np.corrcoef(scores[inside], theirs[inside, 0])[0, 1] > 0.9999
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.std() == pytest.approx(1, abs=1e-9)


def test_weights_are_those_of_scikit_learns_regression_on_the_scores(drawn: Any) -> None:
    matrix, labels = drawn
    found = fitted(drawn)
    theirs = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000)
    theirs.fit(found.scale(matrix), labels[60])

    np.testing.assert_allclose(found.weights[0], theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(
        found.margins(matrix, 60)[0], theirs.decision_function(found.scale(matrix)), atol=1e-3
    )


def test_contributions_and_level_add_up_to_the_mean_margin(drawn: Any) -> None:
    matrix, _ = drawn
    found = fitted(drawn)

    for horizon in (30, 45, 60, 120):
        total = found.contributions(matrix).sum(axis=1) + found.level(horizon)
        np.testing.assert_allclose(total, found.margins(matrix, horizon).mean(axis=0), atol=1e-9)
    assert np.abs(found.contributions(matrix).mean(axis=0)).max() < 1e-9


def test_each_horizon_expects_as_many_as_were_seen_on_its_complete_windows(drawn: Any) -> None:
    matrix, labels = drawn
    found = fitted(drawn)

    assert list(found.offsets.values()) == sorted(found.offsets.values())
    assert found.offsets[60] == 0
    for horizon in (30, 120):
        known = ~np.isnan(labels[horizon])
        expected = expit(found.margins(matrix, horizon).mean(axis=0))[known].sum()
        assert expected == pytest.approx(np.nansum(labels[horizon]), rel=1e-6)


def test_a_column_held_the_other_way_is_left_out(drawn: Any) -> None:
    free, held = fitted(drawn), fitted(drawn, (0, -1, 0, 0, 0))

    assert (free.weights[:, 1] > 0).all()
    assert (held.weights[:, 1] == 0).all()
    assert fitted(drawn, (0, 1, 0, 0, 0)).weights.tolist() == free.weights.tolist()


def test_a_constant_or_empty_column_counts_for_nothing_whatever_it_holds_later(drawn: Any) -> None:
    matrix, _ = drawn
    found = fitted(drawn)
    later = matrix.copy()
    later[:, 3:] = 1e9

    assert (found.contributions(later)[:, 3] == 0).all()
    np.testing.assert_allclose(found.contributions(later)[:, 4], 0, atol=1e-6)
    assert np.isfinite(found.margins(later, 60)).all()


def test_nothing_or_everything_within_a_horizon_moves_its_margin_far(drawn: Any) -> None:
    matrix, labels = drawn
    odd = labels | {14: np.zeros(ROWS), 180: np.ones(ROWS), 150: np.full(ROWS, np.nan)}

    found = linear.fit(
        matrix, odd, [np.ones(ROWS)], horizon_days=60, ridge=10.0, directions=(0,) * 5
    )

    assert expit(found.margins(matrix, 14)).max() < 1e-6
    assert expit(found.margins(matrix, 180)).min() > 1 - 1e-6
    assert list(found.offsets) == sorted(odd)


def test_a_regression_survives_being_written_as_json(drawn: Any) -> None:
    matrix, _ = drawn
    found = fitted(drawn)

    again = artifact._linear(json.loads(json.dumps(artifact._told(found), allow_nan=False)))

    assert (again.margins(matrix, 45) == found.margins(matrix, 45)).all()
