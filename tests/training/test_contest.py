"""Settings are compared on what each cut knew, on one scale, with an error over accounts."""

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
from polars.testing import assert_frame_equal
from sklearn.metrics import brier_score_loss, log_loss

from data.config.settings import ModelConfig
from data.errors import HistoryError
from training.evaluation import splits
from training.model import event_date
from training.tuning import cv_objective, search_space, selection
from training.tuning.cv_objective import InnerCV, InnerFold

HORIZONS = (14, 30, 60, 90, 180)


def prepared(history: Any, end: datetime, rules: Any, horizons: Any = HORIZONS) -> InnerCV:
    return cv_objective.build_inner_cv(
        history.snapshots, history.contracts, end=end, rules=rules, horizons_days=horizons
    )


@pytest.fixture(scope="module")
def judged(history: Any, settings: Any) -> InnerCV:
    return prepared(history, history.end, settings.outcome)


def test_three_folds_follow_each_other_and_judge_what_came_after_their_cut(judged: InnerCV) -> None:
    assert len(judged.folds) == 3
    days = [day for fold in judged.folds for day in fold.test_snapshots["as_of"].unique().sort()]
    assert days == sorted(set(days))
    for fold in judged.folds:
        assert fold.test_snapshots["as_of"].min() == fold.cutoff
        assert fold.training_set.snapshots["as_of"].max() < fold.cutoff  # type: ignore[operator]


def test_a_contest_tells_what_it_is_in_a_line(judged: InnerCV) -> None:
    told = repr(judged)

    assert told.startswith("Contest(60 accounts; [Fold(cut 2024-")
    assert told.count("judged at [14, 30, 60, 90") == 3
    assert len(told) < 400


def test_a_fold_learns_what_its_cut_knew(judged: InnerCV, history: Any, settings: Any) -> None:
    for fold in judged.folds:
        known = splits.build_training_set(
            history.snapshots, history.contracts, splits.utc_midnight(fold.cutoff), settings.outcome
        )

        assert_frame_equal(fold.training_set.outcomes, known.outcomes)


@pytest.mark.parametrize("months", [2, 5])
def test_what_comes_after_the_end_changes_nothing(months: int, history: Any, settings: Any) -> None:
    end = history.end - timedelta(days=30 * months + 7)
    past = replace(
        history,
        snapshots=history.snapshots.filter(pl.col("as_of") < end.date()),
        contracts=history.contracts.filter(pl.col("known") < end),
    )

    with_future, without = (prepared(h, end, settings.outcome) for h in (history, past))

    for one, other in zip(with_future.folds, without.folds, strict=True):
        assert_frame_equal(one.training_set.outcomes, other.training_set.outcomes)
        assert_frame_equal(one.test_snapshots, other.test_snapshots)
        for h, label in one.labels.items():
            assert np.array_equal(label, other.labels[h], equal_nan=True)


def test_the_loss_of_a_model_with_signal_is_below_one_and_adds_up_over_accounts(
    judged: InnerCV, settings: Any
) -> None:
    each = cv_objective.compute_account_losses(judged.folds[-1], judged, settings.model)

    assert each.shape == (judged.accounts,)
    assert (each >= 0).all()
    assert 0.3 < each.sum() < 0.95


def stated(fold: InnerFold, curve: Mapping[int, Any], monkeypatch: pytest.MonkeyPatch) -> float:
    """The loss of a fold if a model said this."""
    monkeypatch.setattr(cv_objective.model, "fit_propensity", lambda *_, **__: None)
    monkeypatch.setattr(cv_objective, "_predict_curve", lambda *_: curve)
    whole = InnerCV((fold,), {}, int(fold.account.max()) + 1, 60)
    return float(cv_objective.compute_account_losses(fold, whole, ModelConfig()).sum())


def test_the_base_rate_loses_one(judged: InnerCV, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = judged.folds[0]
    usual = {h: np.full(fold.test_snapshots.height, rate) for h, rate in fold.base_rates.items()}

    assert stated(fold, usual, monkeypatch) == pytest.approx(1)


def test_the_loss_is_the_mean_of_log_loss_and_integrated_brier_beside_the_base_rate(
    judged: InnerCV, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = np.array([1.0, 0.0, 0.0, np.nan])
    fold = replace(
        judged.folds[0],
        account=np.array([0, 1, 1, 2]),
        labels={30: np.array([0.0, 0.0, 0.0, 0.0]), 60: label},
        base_rates={30: 0.1, 60: 0.25},
    )
    told = {30: np.array([0.2, 0.1, 0.1, 0.1]), 60: np.array([0.6, 0.3, 0.2, 0.5])}

    found = stated(fold, told, monkeypatch)

    known, happened = told[60][:3], label[:3]
    logs = log_loss(happened, known) / log_loss(happened, np.full(3, 0.25))

    def area(at_30: Any, at_60: Any) -> float:
        scores = [0, np.mean(at_30**2), brier_score_loss(happened, at_60)]
        return float(np.trapezoid(scores, [0, 30, 60]))

    brier = area(told[30], known) / area(np.full(4, 0.1), np.full(3, 0.25))
    assert found == pytest.approx((logs + brier) / 2)


def test_a_plain_model_is_judged_by_the_curve_that_is_served(
    judged: InnerCV, settings: Any
) -> None:
    fold = judged.folds[-1]
    plain = settings.model.model_copy(update={"horizons_days": (60,)})
    fitted = cv_objective.model.fit_propensity(
        fold.training_set.snapshots, fold.training_set.outcomes, plain, horizon_days=60
    )
    longest = replace(fold, labels={**fold.labels, 180: np.zeros(fold.test_snapshots.height)})

    curve = cv_objective._predict_curve(fitted, longest)

    served = event_date.estimate_event_dates(curve[60][:, None], [60]).probability_180d
    assert curve[180] == pytest.approx(served)
    assert cv_objective.compute_account_losses(fold, judged, plain).sum() < 1


def test_a_fold_without_expansions_is_left_out_with_its_reason(history: Any, settings: Any) -> None:
    quiet = prepared(history, history.end, settings.outcome).folds[0].cutoff
    later = splits.utc_midnight(quiet + timedelta(days=150))
    calm = replace(
        history,
        contracts=history.contracts.filter(
            ~pl.col("known").is_between(splits.utc_midnight(quiet), later)
        ),
    )

    found = prepared(calm, history.end, settings.outcome)

    assert quiet in found.skipped
    assert "hold an expansion" in found.skipped[quiet]
    assert all(fold.cutoff > quiet for fold in found.folds)


@pytest.mark.parametrize("months", [1, 3])
def test_a_history_that_cannot_be_compared_on_is_told_in_one_sentence(
    months: int, history: Any, settings: Any
) -> None:
    end = splits.utc_midnight(history.snapshots["as_of"].min() + timedelta(days=30 * months))

    with pytest.raises(HistoryError, match="is too little to compare settings on") as told:
        prepared(history, end, settings.outcome)

    assert "\n" not in str(told.value)


def test_ten_years_are_three_folds_too(history: Any, settings: Any) -> None:
    shifts = [pl.duration(days=480 * times) for times in range(8)]
    long = replace(
        history,
        snapshots=pl.concat(history.snapshots.with_columns(pl.col("as_of") + s) for s in shifts),
        contracts=pl.concat(
            history.contracts.with_columns(pl.col("known", "effective") + s) for s in shifts
        ).sort("account_id", "known", "effective", maintain_order=True),
    )

    found = prepared(long, long.end, settings.outcome)

    assert (long.end.date() - long.snapshots["as_of"].min()).days > 3650
    assert len(found.folds) == 3


def test_the_rule_of_one_standard_error_by_hand() -> None:
    # Gains over the settings as they stand, per account: .3, 0, .3 and 0; they sum to .6. Their
    # mean is .15, their squared deviations sum to 4 · .0225 = .09, the variance is .03, and the
    # standard error of the sum is sqrt(4 · .03) = .3464.
    stands = np.array([0.5, 0.4, 0.6, 0.5])
    better = stands - [0.3, 0.0, 0.3, 0.0]
    # Now they are .9, 0, 0 and -.3, which sum to .6 as well; their squared deviations sum to
    # .5625 + .0225 + .0225 + .2025 = .81, the variance is .27, the error is sqrt(4 · .27) = 1.0392.
    erratic = stands - [0.9, 0.0, 0.0, -0.3]

    assert selection.compute_paired_gain(stands, better) == pytest.approx((0.6, 0.3464), abs=1e-4)
    assert selection.compute_paired_gain(stands, erratic) == pytest.approx((0.6, 1.0392), abs=1e-4)
    assert selection.select_by_one_standard_error([stands, better], [0, 1]) == 1
    assert selection.select_by_one_standard_error([stands, erratic], [0, 1]) == 0


entrants = st.integers(2, 6).flatmap(
    lambda accounts: st.lists(
        st.tuples(
            st.lists(st.integers(0, 20), min_size=accounts, max_size=accounts), st.integers(1, 5)
        ),
        min_size=1,
        max_size=6,
    )
)


@given(entrants)
def test_the_chosen_is_level_with_the_best_and_nothing_nearer_is(drawn: Any) -> None:
    each: list[NDArray[np.float64]] = [np.array(losses, dtype=float) for losses, _ in drawn]
    distances = [0.0, *(float(far) for _, far in drawn[1:])]

    taken = selection.select_by_one_standard_error(each, distances)

    best = min(each, key=lambda losses: losses.sum())
    gain, error = selection.compute_paired_gain(each[taken], best)
    assert gain <= error
    for losses, far in zip(each, distances, strict=True):
        saved, noise = selection.compute_paired_gain(losses, best)
        assert saved > noise or far >= distances[taken]


values = st.builds(
    lambda shares: {
        name: round(r.low + share * (r.high - r.low))
        if r.is_integer
        else r.low + share * (r.high - r.low)
        for (name, r), share in zip(search_space.RANGES.items(), shares, strict=True)
    },
    st.lists(st.floats(0, 1), min_size=len(search_space.RANGES), max_size=len(search_space.RANGES)),
)


@given(values, values)
@settings(max_examples=50)
def test_a_choice_is_what_is_applied_and_distance_is_one(one: Any, other: Any) -> None:
    applied = search_space.apply_values(ModelConfig(), one)

    assert search_space.encode_settings(applied) == one
    assert search_space.compute_distance(one, other) == search_space.compute_distance(other, one)
    assert (search_space.compute_distance(one, other) == 0) == (one == other)
    assert search_space.compute_distance(one, other) <= np.sqrt(len(one))


def test_settings_outside_the_space_have_a_nearest_in_it() -> None:
    odd = ModelConfig(n_estimators=5000, reg_lambda=0, num_leaves=2, horizons_days=(45,))

    near = search_space.encode_settings(odd)

    assert (near["n_estimators"], near["reg_lambda"], near["num_leaves"]) == (600, 0.1, 3)
    assert isinstance(near["n_estimators"], int)
    assert search_space.select_horizons(odd) == ModelConfig().horizons_days
