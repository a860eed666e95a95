"""Settings are compared on inner folds, on one scale, with a standard error over accounts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from optuna.distributions import IntDistribution
from polars.testing import assert_frame_equal
from sklearn.metrics import brier_score_loss, log_loss

from data.config.settings import ModelConfig
from data.errors import HistoryError
from training.evaluation import splits
from training.model import event_date
from training.tuning import cv_objective, search_space
from training.tuning.cv_objective import InnerCV, InnerFold

HORIZONS = (14, 30, 60, 90, 180)


def build_inner_cv(history: Any, end: datetime, rules: Any, horizons: Any = HORIZONS) -> InnerCV:
    return cv_objective.build_inner_cv(
        history.snapshots, history.contracts, end=end, rules=rules, horizons_days=horizons
    )


@pytest.fixture(scope="module")
def inner_cv(history: Any, settings: Any) -> InnerCV:
    return build_inner_cv(history, history.end, settings.outcome)


def test_three_consecutive_folds_test_what_came_after_their_cutoff(inner_cv: InnerCV) -> None:
    assert len(inner_cv.folds) == 3
    days = [day for fold in inner_cv.folds for day in fold.test_snapshots["as_of"].unique().sort()]
    assert days == sorted(set(days))
    for fold in inner_cv.folds:
        assert fold.test_snapshots["as_of"].min() == fold.cutoff
        assert fold.training_set.snapshots["as_of"].max() < fold.cutoff  # type: ignore[operator]


def test_the_repr_of_the_inner_folds_is_one_line(inner_cv: InnerCV) -> None:
    text = repr(inner_cv)

    assert text.startswith("InnerCV(60 accounts; [InnerFold(cutoff 2024-")
    assert text.count("test snapshots at [14, 30, 60, 90") == 3
    assert len(text) < 400


def test_a_fold_trains_on_what_was_known_at_its_cutoff(inner_cv: InnerCV, history: Any) -> None:
    for fold in inner_cv.folds:
        known = history.training_set(splits.to_utc_midnight(fold.cutoff))

        assert_frame_equal(fold.training_set.outcomes, known.outcomes)


@pytest.mark.parametrize("months", [2, 5])
def test_data_after_the_end_changes_no_fold(months: int, history: Any, settings: Any) -> None:
    end = history.end - timedelta(days=30 * months + 7)
    history_before_end = replace(
        history,
        snapshots=history.snapshots.filter(pl.col("as_of") < end.date()),
        contracts=history.contracts.filter(pl.col("known") < end),
    )

    with_future, without_future = (
        build_inner_cv(h, end, settings.outcome) for h in (history, history_before_end)
    )

    for one, other in zip(with_future.folds, without_future.folds, strict=True):
        assert_frame_equal(one.training_set.outcomes, other.training_set.outcomes)
        assert_frame_equal(one.test_snapshots, other.test_snapshots)
        for h, label in one.labels.items():
            assert np.array_equal(label, other.labels[h], equal_nan=True)


def test_the_loss_of_a_model_with_signal_is_below_one_and_adds_up_over_accounts(
    inner_cv: InnerCV, settings: Any
) -> None:
    account_losses = cv_objective.compute_account_losses(
        inner_cv.folds[-1], inner_cv, settings.model
    )

    assert account_losses.shape == (inner_cv.accounts,)
    assert (account_losses >= 0).all()
    assert 0.3 < account_losses.sum() < 0.95


def loss_of_curve(
    fold: InnerFold, curve: Mapping[int, Any], monkeypatch: pytest.MonkeyPatch
) -> float:
    """Compute the loss of a fold for given predictions."""
    monkeypatch.setattr(cv_objective.propensity, "fit_propensity", lambda *_, **__: None)
    monkeypatch.setattr(cv_objective, "predict_curve", lambda *_: curve)
    single_fold_cv = InnerCV((fold,), {}, int(fold.account.max()) + 1, 60)
    return float(cv_objective.compute_account_losses(fold, single_fold_cv, ModelConfig()).sum())


def test_the_base_rate_has_a_loss_of_one(
    inner_cv: InnerCV, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = inner_cv.folds[0]
    base_rates = {
        h: np.full(fold.test_snapshots.height, rate) for h, rate in fold.base_rates.items()
    }

    assert loss_of_curve(fold, base_rates, monkeypatch) == pytest.approx(1)


def test_the_loss_is_the_mean_of_log_loss_and_integrated_brier_relative_to_the_base_rate(
    inner_cv: InnerCV, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = np.array([1.0, 0.0, 0.0, np.nan])
    fold = replace(
        inner_cv.folds[0],
        account=np.array([0, 1, 1, 2]),
        labels={30: np.array([0.0, 0.0, 0.0, 0.0]), 60: label},
        base_rates={30: 0.1, 60: 0.25},
    )
    predicted = {30: np.array([0.2, 0.1, 0.1, 0.1]), 60: np.array([0.6, 0.3, 0.2, 0.5])}

    loss = loss_of_curve(fold, predicted, monkeypatch)

    predicted_60d, observed = predicted[60][:3], label[:3]
    relative_log_loss = log_loss(observed, predicted_60d) / log_loss(observed, np.full(3, 0.25))

    def integrate(error_30d: Any, probability_60d: Any) -> float:
        scores = [0, np.mean(error_30d**2), brier_score_loss(observed, probability_60d)]
        return float(np.trapezoid(scores, [0, 30, 60]))

    brier = integrate(predicted[30], predicted_60d) / integrate(np.full(4, 0.1), np.full(3, 0.25))
    assert loss == pytest.approx((relative_log_loss + brier) / 2)


def test_a_single_horizon_model_is_evaluated_with_a_constant_hazard(
    inner_cv: InnerCV, settings: Any
) -> None:
    fold = inner_cv.folds[-1]
    plain = settings.model.model_copy(update={"horizons_days": (60,)})
    fitted = cv_objective.propensity.fit_propensity(fold.training_set, plain, horizon_days=60)
    longest = replace(fold, labels={**fold.labels, 180: np.zeros(fold.test_snapshots.height)})

    curve = cv_objective.predict_curve(fitted, longest)

    probability_180d = event_date.estimate_event_dates(curve[60][:, None], [60]).probability_180d
    assert curve[180] == pytest.approx(probability_180d)
    assert cv_objective.compute_account_losses(fold, inner_cv, plain).sum() < 1


def test_a_fold_without_expansions_is_skipped_with_its_reason(history: Any, settings: Any) -> None:
    quiet_cutoff = build_inner_cv(history, history.end, settings.outcome).folds[0].cutoff
    later = splits.to_utc_midnight(quiet_cutoff + timedelta(days=150))
    calm_history = replace(
        history,
        contracts=history.contracts.filter(
            ~pl.col("known").is_between(splits.to_utc_midnight(quiet_cutoff), later)
        ),
    )

    result = build_inner_cv(calm_history, history.end, settings.outcome)

    assert quiet_cutoff in result.skipped
    assert "contain an expansion" in result.skipped[quiet_cutoff]
    assert all(fold.cutoff > quiet_cutoff for fold in result.folds)


@pytest.mark.parametrize("months", [1, 3])
def test_a_history_too_short_for_folds_raises_a_one_line_error(
    months: int, history: Any, settings: Any
) -> None:
    end = splits.to_utc_midnight(history.snapshots["as_of"].min() + timedelta(days=30 * months))

    with pytest.raises(
        HistoryError, match=r"too little was known before .* to compare settings"
    ) as error:
        build_inner_cv(history, end, settings.outcome)

    assert "\n" not in str(error.value)


def test_a_history_of_ten_years_has_three_folds(history: Any, settings: Any) -> None:
    shifts = [pl.duration(days=480 * times) for times in range(8)]
    long_history = replace(
        history,
        snapshots=pl.concat(history.snapshots.with_columns(pl.col("as_of") + s) for s in shifts),
        contracts=pl.concat(
            history.contracts.with_columns(pl.col("known", "effective") + s) for s in shifts
        ).sort("account_id", "known", "effective", maintain_order=True),
    )

    result = build_inner_cv(long_history, long_history.end, settings.outcome)

    assert (long_history.end.date() - long_history.snapshots["as_of"].min()).days > 3650
    assert len(result.folds) == 3


def test_the_one_standard_error_rule_matches_hand_worked_numbers() -> None:
    # Gains over the current settings per account: .3, 0, .3 and 0; they sum to .6. Their
    # mean is .15, their squared deviations sum to 4 · .0225 = .09, the variance is .03, and the
    # standard error of the sum is sqrt(4 · .03) = .3464.
    current = np.array([0.5, 0.4, 0.6, 0.5])
    better = current - [0.3, 0.0, 0.3, 0.0]
    # Here they are .9, 0, 0 and -.3, which also sum to .6; their squared deviations sum to
    # .5625 + .0225 + .0225 + .2025 = .81, the variance is .27, the error is sqrt(4 · .27) = 1.0392.
    erratic = current - [0.9, 0.0, 0.0, -0.3]

    assert search_space.compute_paired_gain(current, better) == pytest.approx(
        (0.6, 0.3464), abs=1e-4
    )
    assert search_space.compute_paired_gain(current, erratic) == pytest.approx(
        (0.6, 1.0392), abs=1e-4
    )
    assert search_space.select_by_one_standard_error([current, better], [0, 1]) == 1
    assert search_space.select_by_one_standard_error([current, erratic], [0, 1]) == 0


drawn_candidates = st.integers(2, 6).flatmap(
    lambda accounts: st.lists(
        st.tuples(
            st.lists(st.integers(0, 20), min_size=accounts, max_size=accounts), st.integers(1, 5)
        ),
        min_size=1,
        max_size=6,
    )
)


@given(drawn_candidates)
def test_the_selected_setting_is_the_nearest_within_one_standard_error(drawn: Any) -> None:
    account_losses: list[NDArray[np.float64]] = [
        np.array(losses, dtype=float) for losses, _ in drawn
    ]
    distances = [0.0, *(float(distance) for _, distance in drawn[1:])]

    selected = search_space.select_by_one_standard_error(account_losses, distances)

    best = min(account_losses, key=lambda losses: losses.sum())
    gain, error = search_space.compute_paired_gain(account_losses[selected], best)
    assert gain <= error
    for losses, distance in zip(account_losses, distances, strict=True):
        gain_of_best, noise = search_space.compute_paired_gain(losses, best)
        assert gain_of_best > noise or distance >= distances[selected]


search_values = st.builds(
    lambda shares: {
        name: round(r.low + share * (r.high - r.low))
        if isinstance(r, IntDistribution)
        else r.low + share * (r.high - r.low)
        for (name, r), share in zip(search_space.RANGES.items(), shares, strict=True)
    },
    st.lists(st.floats(0, 1), min_size=len(search_space.RANGES), max_size=len(search_space.RANGES)),
)


@given(search_values, search_values)
@settings(max_examples=50)
def test_encoding_inverts_applying_and_distance_is_a_metric(one: Any, other: Any) -> None:
    settings_applied = search_space.apply_values(ModelConfig(), one)

    assert search_space.clip_settings(settings_applied) == one
    assert search_space.compute_distance(one, other) == search_space.compute_distance(other, one)
    assert (search_space.compute_distance(one, other) == 0) == (one == other)
    assert search_space.compute_distance(one, other) <= np.sqrt(len(one))


def test_settings_outside_the_space_are_clipped_to_it() -> None:
    outside = ModelConfig(n_estimators=5000, reg_lambda=0, num_leaves=2, horizons_days=(45,))

    encoded = search_space.clip_settings(outside)

    assert (encoded["n_estimators"], encoded["reg_lambda"], encoded["num_leaves"]) == (600, 0.1, 3)
    assert isinstance(encoded["n_estimators"], int)
    assert search_space.select_horizons(outside) == ModelConfig().horizons_days
