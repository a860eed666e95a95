"""Cumulative incidence is monotone, contributions are additive, training is reproducible."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from data.config.settings import ModelConfig, Settings
from data.errors import HistoryError, SettingsError
from features.catalogue import FEATURE_NAMES, FEATURES, FEATURES_BY_NAME
from training import labels
from training.dataset import training_set
from training.model import gbm, propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity


def texts(fitted: Propensity) -> list[str]:
    return [booster.model_to_string() for booster in fitted.boosters]


def test_the_cumulative_incidence_never_falls_with_the_horizon(
    fitted: Propensity, history: Any
) -> None:
    curve = fitted.predict_cumulative_incidence(history.snapshots)

    assert curve.shape == (history.snapshots.height, len(fitted.horizons_days))
    assert (np.diff(curve, axis=1) >= 0).all()
    assert (curve[:, -1] > curve[:, 0]).any()


def test_the_probability_is_the_cumulative_incidence_at_its_horizon(
    fitted: Propensity, history: Any
) -> None:
    index_60d = fitted.horizons_days.index(60)

    prediction = fitted.predict(history.snapshots)

    assert (
        prediction.probability
        == fitted.predict_cumulative_incidence(history.snapshots)[:, index_60d]
    ).all()
    assert (prediction.low <= prediction.probability).all()
    assert (prediction.probability <= prediction.high).all()


def test_all_horizons_at_once_are_bit_identical_to_each(fitted: Propensity, history: Any) -> None:
    rows = history.snapshots.head(300)

    at_once = fitted.predict_all_horizons(rows)

    assert tuple(at_once) == fitted.horizons_days
    for horizon, prediction in at_once.items():
        expected = fitted.predict(rows, horizon)
        for name, values in vars(expected).items():
            assert np.array_equal(getattr(prediction, name), values), (horizon, name)


def test_a_single_horizon_model_predicts_the_same_at_its_horizon_only(
    fitted: Propensity, history: Any
) -> None:
    single_horizon, rows = history.fit(horizons_days=(60,)), history.snapshots

    assert texts(single_horizon) == texts(fitted)
    for name, values in vars(single_horizon.predict(rows)).items():
        assert np.array_equal(getattr(fitted.predict(rows), name), values), name
    for parts, expected in zip(
        single_horizon.compute_contributions(rows), fitted.compute_contributions(rows), strict=True
    ):
        assert np.array_equal(parts, expected)
    assert single_horizon.horizons_days == (60,)
    assert single_horizon.predict_cumulative_incidence(rows).shape[1] == 1
    with pytest.raises(ValueError, match="single horizon of 60 days, not 90"):
        single_horizon.predict(rows, 90)


def test_each_horizon_expects_about_the_observed_number(fitted: Propensity, history: Any) -> None:
    labelled_set = history.training_set()
    for horizon in fitted.horizons_days:
        label = labelled_set.outcomes.select(labels.expansion_label(horizon).alias("y"))["y"]
        predicted = fitted.predict(labelled_set.snapshots, horizon).probability
        expected = pl.Series(predicted).filter(label.is_not_null()).sum()
        assert expected == pytest.approx(label.sum(), rel=0.25)


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_out_of_bag_predictions_expect_the_observed_number(
    history: Any, share: float | None
) -> None:
    labelled_set = history.training_set()
    model_settings = Settings().model.model_copy(update={"ensemble_size": 4, "n_estimators": 40})
    fitted = propensity.fit_propensity(
        labelled_set, model_settings, horizon_days=60, blend_weight=share
    )
    label = training_set.build_labels(labelled_set.outcomes, model_settings, 60)[60]
    out_of_bag = (
        np.stack(training_set.draw_bootstrap_weights(labelled_set.snapshots, label, model_settings))
        == 0
    )
    out_of_bag |= ~out_of_bag.any(axis=0)  # in every bag: mean of all members
    labelled = ~np.isnan(label)

    matrix = labelled_set.snapshots.select(fitted.inputs).to_numpy()
    gbm_margins = np.stack([booster.predict(matrix, raw_score=True) for booster in fitted.boosters])
    blended = (1 - fitted.blend_weight) * gbm_margins
    blended += fitted.blend_weight * fitted.logistic.predict_margins(matrix) + fitted.correction
    mean = np.where(out_of_bag, blended, np.nan)[:, labelled]
    predicted = expit(np.nanmean(mean, axis=0))

    assert fitted.correction != 0
    assert predicted.sum() == pytest.approx(label[labelled].sum(), rel=1e-6)


def test_the_default_blend_weight_follows_the_prior_accounts(history: Any) -> None:
    labelled_set = history.training_set()
    expanded = pl.col("expanded").fill_null(value=False)
    label = labelled_set.outcomes.select("account_id", expanded=labels.expansion_label(60))
    accounts = label.filter(expanded)["account_id"].n_unique()

    for weight in (0.0, 7.0, 30.0):
        model = history.fit(ensemble_size=2, n_estimators=10, blend_prior_accounts=weight)
        assert model.blend_weight == pytest.approx(weight / (weight + accounts))


def test_calibration_changes_probabilities_and_not_the_order(
    fitted: Propensity, history: Any
) -> None:
    uncalibrated = fitted.predict(history.snapshots)

    calibrated = fitted.with_calibration(Calibration(slope=0.5, intercept=-1.0)).predict(
        history.snapshots
    )

    assert (calibrated.margin == uncalibrated.margin).all()
    assert (np.argsort(calibrated.probability) == np.argsort(uncalibrated.probability)).all()
    assert not np.allclose(calibrated.probability, uncalibrated.probability)


def test_calibration_is_applied_before_the_horizon_link(fitted: Propensity, history: Any) -> None:
    calibrated = fitted.with_calibration(Calibration(slope=0.5, intercept=-1.0))
    offset, slope = fitted.horizon_link.coefficients[30]

    probability = calibrated.predict(history.snapshots, 30).probability

    calibrated_margin = 0.5 * fitted.predict(history.snapshots).margin - 1.0
    assert probability == pytest.approx(
        expit(np.minimum(offset + slope * calibrated_margin, calibrated_margin))
    )


def test_contributions_and_base_add_up_to_the_margin(fitted: Propensity, history: Any) -> None:
    contributions, base = fitted.compute_contributions(history.snapshots)

    margin = fitted.predict(history.snapshots).margin
    assert contributions.shape == (history.snapshots.height, len(fitted.inputs))
    np.testing.assert_allclose(contributions.sum(axis=1) + base, margin, rtol=0, atol=1e-9)


def test_contributions_agree_with_shap(fitted: Propensity, history: Any) -> None:
    rows = history.snapshots.sample(40, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # noqa: PLC0415 - warns on import

        matrix = rows.select(fitted.inputs).to_numpy()
        shap_values = [
            shap.TreeExplainer(booster).shap_values(matrix) for booster in fitted.boosters
        ]

    contributions, _ = replace(fitted, blend_weight=0.0).compute_contributions(rows)

    np.testing.assert_allclose(contributions, np.mean(shap_values, axis=0), rtol=0, atol=1e-9)


def test_blended_margins_and_contributions_interpolate_between_the_learners(
    fitted: Propensity, history: Any
) -> None:
    rows = history.snapshots.head(50)
    models = [replace(fitted, blend_weight=share) for share in (0.0, 0.4, 1.0)]

    trees, blended, regressions = (model.predict(rows) for model in models)
    contributions_by_weight = [model.compute_contributions(rows)[0] for model in models]

    np.testing.assert_allclose(blended.margin, 0.6 * trees.margin + 0.4 * regressions.margin)
    np.testing.assert_allclose(
        contributions_by_weight[1],
        0.6 * contributions_by_weight[0] + 0.4 * contributions_by_weight[2],
        atol=1e-12,
    )
    assert (trees.margin == blended.gbm_margin).all()
    assert (regressions.margin == blended.logistic_margin).all()


def test_the_interval_covers_the_residual_variation_between_accounts(
    fitted: Propensity, history: Any
) -> None:
    """Simulate log-odds with the predicted mean probability: 80 % lie inside."""
    same_boosters = fitted.boosters[:1] * 3
    without_disagreement = replace(
        fitted, boosters=same_boosters, residual_logit_sd=1.2, blend_weight=0.0
    )
    rows = history.snapshots.sample(8, seed=3)
    prediction = without_disagreement.predict(rows)
    rng = np.random.default_rng(1)

    for probability, low, high in zip(
        prediction.probability, prediction.low, prediction.high, strict=True
    ):
        residuals = rng.normal(size=20_000) * 1.2
        center = brentq(
            lambda value, z=residuals, p=probability: expit(value + z).mean() - p, -30, 30
        )
        inside = (expit(center + residuals) >= low) & (expit(center + residuals) <= high)
        assert inside.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_seed_gives_the_same_bytes_for_any_number_of_threads(
    fitted: Propensity, history: Any, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gbm, "cpu_count", lambda: threads)

    again = history.fit()

    assert texts(again) == texts(fitted)


def test_another_seed_gives_another_model_and_members_differ(
    fitted: Propensity, history: Any
) -> None:
    assert texts(history.fit(seed=8)) != texts(fitted)
    assert len(set(texts(fitted))) == len(fitted.boosters)
    assert "3 boosters of 40 trees" in repr(fitted)


def test_the_order_of_the_panel_columns_is_immaterial(fitted: Propensity, history: Any) -> None:
    backwards = history.snapshots.select(*reversed(history.snapshots.columns))

    assert (fitted.predict(backwards).margin == fitted.predict(history.snapshots).margin).all()


DIRECTED = Settings().model.monotone_features


def _predict_by_value(history: Any, name: str, effect: int, **changes: Any) -> np.ndarray:
    """Fit a feature with a given sign of its effect; return margins by its rising values."""
    training_set = history.training_set()
    rows = training_set.snapshots.with_columns((pl.col("seat_utilization") * effect).alias(name))
    fitted = propensity.fit_propensity(
        replace(training_set, snapshots=rows),
        _small().model_copy(update=changes),
        horizon_days=60,
        inputs=(name, "tenure_days", "mrr"),
    )
    values = np.linspace(-1.5, 1.5, 13)
    steps = [rows.head(30).with_columns(pl.lit(float(v)).alias(name)) for v in values]
    return np.stack([fitted.predict(step).margin for step in steps])


@pytest.mark.parametrize("name", DIRECTED)
def test_a_monotone_constraint_holds_even_against_the_data(history: Any, name: str) -> None:
    direction = FEATURES_BY_NAME[name].direction

    margins = _predict_by_value(history, name, effect=-direction)

    assert (np.diff(margins, axis=0) * direction >= 0).all()


def _small() -> ModelConfig:
    return ModelConfig(ensemble_size=2, n_estimators=15, min_child_samples=5, horizons_days=(60,))


def test_a_monotone_constraint_can_be_disabled(history: Any) -> None:
    name = "days_since_new_user"  # its expected direction is negative
    assert FEATURES_BY_NAME[name].direction < 0

    margins = _predict_by_value(history, name, effect=1, monotone_features=())

    assert (margins[-1] > margins[0]).all()


@pytest.mark.parametrize("name", ["tenure_days", "no_such_feature"])
def test_a_constraint_on_a_feature_without_direction_is_rejected(history: Any, name: str) -> None:
    constrained = _small().model_copy(update={"monotone_features": ("seat_utilization", name)})

    with pytest.raises(SettingsError, match=f"model.monotone_features contains {name}"):
        propensity.fit_propensity(history.training_set(), constrained, horizon_days=60)


def test_an_effect_in_the_expected_direction_is_learned(fitted: Propensity, history: Any) -> None:
    rows = history.snapshots.head(50)

    low, high = (
        fitted.predict(rows.with_columns(seat_utilization=pl.lit(utilization))).margin
        for utilization in (0.2, 1.1)
    )

    assert (high > low).all()


def test_control_features_are_not_inputs(fitted: Propensity) -> None:
    controls = {feature.name for feature in FEATURES if feature.family == "controls"}

    assert controls
    assert not controls & set(fitted.inputs)
    assert set(fitted.inputs) == set(FEATURE_NAMES) - controls


def test_constant_and_missing_columns_do_not_contribute(fitted: Propensity, history: Any) -> None:
    contributions, _ = fitted.compute_contributions(history.snapshots)

    # In this history mrr is always missing and plan_rank is constant.
    useless = [fitted.inputs.index(name) for name in ("mrr", "plan_rank")]
    assert (contributions[:, useless] == 0).all()


def test_a_snapshot_without_data_has_a_prediction(fitted: Propensity, history: Any) -> None:
    without_data = history.snapshots.head(1).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in FEATURE_NAMES
    )

    prediction = fitted.predict(without_data)

    assert 0 < prediction.probability[0] < 1


def test_incomplete_windows_are_used_for_shorter_horizons(history: Any, settings: Settings) -> None:
    labelled_set = history.training_set()
    recent = pl.col("observed_days").is_between(30, 59)
    none_yet = pl.when(~recent).then("days_to_expansion").alias("days_to_expansion")
    assert labelled_set.outcomes.filter(recent)["days_to_expansion"].is_not_null().any()
    with_events = history.fit()

    without_events = _fit(
        history, labelled_set.outcomes.with_columns(none_yet), settings=settings.model
    )

    assert texts(without_events) == texts(with_events)
    assert without_events.horizon_link.coefficients[30] != with_events.horizon_link.coefficients[30]
    assert without_events.horizon_link.coefficients[90] == with_events.horizon_link.coefficients[90]


ALWAYS = pl.lit(1, pl.Int64).alias("days_to_expansion")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            pl.lit(None, pl.Int64).alias("days_to_expansion"),
            r"^0 of \d+ complete windows of",
        ),
        (ALWAYS, "at least 10 with and 10 without are needed"),
        # They are not counted once per horizon.
        (pl.when(pl.int_range(pl.len()) < 9).then(ALWAYS), r"^9 of"),
        (pl.lit(59).alias("observed_days"), "no snapshot has a complete window of 60 days yet"),
    ],
    ids=["none", "all", "nine", "incomplete"],
)
def test_outcomes_too_few_for_a_model_raise_a_one_line_error(
    history: Any, change: pl.Expr, message: str
) -> None:
    outcomes = history.training_set().outcomes.with_columns(change)

    with pytest.raises(HistoryError, match=message) as error:
        _fit(history, outcomes)

    assert "\n" not in str(error.value)


def test_expansions_of_a_single_account_reach_every_member(history: Any) -> None:
    event_days = pl.when(pl.col("account_id") == "acc_007").then(pl.lit(1, pl.Int64))
    single_account = history.training_set().outcomes.with_columns(days_to_expansion=event_days)

    fitted = _fit(history, single_account, ensemble_size=12)

    # A member without any expansion would predict almost 0.
    assert fitted.predict(history.snapshots).margin.min() > -6


@pytest.mark.parametrize("days", [100, 1])
def test_an_event_rare_only_within_the_horizon_reaches_every_member(
    history: Any, days: int
) -> None:
    """One account expands, or all but one, within 60 days; within 180 days all of them do."""
    event_days = pl.when((pl.col("account_id") == "acc_007") == (days > 60)).then(1).otherwise(100)
    rare_events = history.training_set().outcomes.with_columns(
        days_to_expansion=event_days.cast(pl.Int64)
    )

    fitted = _fit(history, rare_events, ensemble_size=12, horizons_days=(60, 180))

    assert np.abs(fitted.predict(history.snapshots).margin).max() < 8


def _fit(
    history: Any, outcomes: pl.DataFrame, *, settings: ModelConfig | None = None, **changes: Any
) -> Propensity:
    """Fit a small model on changed outcomes."""
    training_set = replace(history.training_set(), outcomes=outcomes)
    rules = (settings or _small()).model_copy(update=changes)
    return propensity.fit_propensity(training_set, rules, horizon_days=60)
