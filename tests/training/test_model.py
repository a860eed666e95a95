"""The curve never crosses itself, contributions add up, and the same data gives the same bytes."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_series_equal
from scipy.optimize import brentq
from scipy.special import expit

from data.config.settings import Settings
from data.errors import HistoryError, SettingsError
from features.catalogue import FEATURE_NAMES, FEATURES, FEATURES_BY_NAME
from training import labels
from training.dataset import training_set
from training.model import gbm, propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity


def texts(fitted: Propensity) -> list[str]:
    return [booster.model_to_string() for booster in fitted.boosters]


def test_the_curve_never_falls_with_the_horizon(fitted: Propensity, history: Any) -> None:
    curve = fitted.predict_cumulative_incidence(history.snapshots)

    assert curve.shape == (history.snapshots.height, len(fitted.horizons_days))
    assert (np.diff(curve, axis=1) >= 0).all()
    assert (curve[:, -1] > curve[:, 0]).any()


def test_the_probability_is_the_curve_at_its_horizon(fitted: Propensity, history: Any) -> None:
    at_sixty = fitted.horizons_days.index(60)

    estimate = fitted.predict(history.snapshots)

    assert (
        estimate.probability == fitted.predict_cumulative_incidence(history.snapshots)[:, at_sixty]
    ).all()
    assert (estimate.low <= estimate.probability).all()
    assert (estimate.probability <= estimate.high).all()


def test_all_horizons_at_once_are_each_to_the_bit(fitted: Propensity, history: Any) -> None:
    some = history.snapshots.head(300)

    at_once = fitted.predict_all_horizons(some)

    assert tuple(at_once) == fitted.horizons_days
    for horizon, found in at_once.items():
        alone = fitted.predict(some, horizon)
        for name, values in vars(alone).items():
            assert np.array_equal(getattr(found, name), values), (horizon, name)


def test_the_plain_model_says_the_same_of_its_horizon(fitted: Propensity, history: Any) -> None:
    plain = history.fit(horizons_days=(60,))

    assert texts(plain) == texts(fitted)
    for name, values in vars(plain.predict(history.snapshots)).items():
        assert np.array_equal(getattr(fitted.predict(history.snapshots), name), values), name


def test_each_horizon_expects_about_as_many_as_came_within_it(
    fitted: Propensity, history: Any
) -> None:
    known = history.known()
    for horizon in fitted.horizons_days:
        label = known.outcomes.select(labels.expanded_within(horizon).alias("y"))["y"]
        stated = fitted.predict(known.snapshots, horizon).probability
        expected = pl.Series(stated).filter(label.is_not_null()).sum()
        assert expected == pytest.approx(label.sum(), rel=0.25)


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_of_rows_that_members_were_not_shown_as_many_are_expected_as_happened(
    history: Any, share: float | None
) -> None:
    known = history.known()
    rules = Settings().model.model_copy(update={"ensemble_size": 4, "n_estimators": 40})
    fitted = propensity.fit_propensity(
        known.snapshots, known.outcomes, rules, horizon_days=60, blend_weight=share
    )
    label = training_set.build_labels(known.outcomes, rules, 60)[60]
    spared = np.stack(training_set.draw_bootstrap_weights(known.snapshots, label, rules)) == 0
    spared |= ~spared.any(axis=0)  # shown to all: told by all
    asked = ~np.isnan(label)

    matrix = known.snapshots.select(fitted.inputs).to_numpy()
    boosted = np.stack([booster.predict(matrix, raw_score=True) for booster in fitted.boosters])
    both = (1 - fitted.blend_weight) * boosted
    both += fitted.blend_weight * fitted.logistic.predict_margins(matrix) + fitted.correction
    mean = np.where(spared, both, np.nan)[:, asked]
    stated = expit(np.nanmean(mean, axis=0))

    assert fitted.correction != 0
    assert stated.sum() == pytest.approx(label[asked].sum(), rel=1e-6)


def test_the_regression_weighs_as_much_as_so_many_accounts_that_expanded(history: Any) -> None:
    known = history.known()
    expanded = pl.col("expanded").fill_null(value=False)
    label = known.outcomes.select("account_id", expanded=labels.expanded_within(60))
    accounts = label.filter(expanded)["account_id"].n_unique()

    for weight in (0.0, 7.0, 30.0):
        found = history.fit(members=2, rounds=10, linear_accounts=weight)
        assert found.blend_weight == pytest.approx(weight / (weight + accounts))


def test_calibration_changes_probabilities_and_not_the_order(
    fitted: Propensity, history: Any
) -> None:
    plain = fitted.predict(history.snapshots)

    mapped = fitted.with_calibration(Calibration(slope=0.5, intercept=-1.0)).predict(
        history.snapshots
    )

    assert (mapped.margin == plain.margin).all()
    assert (np.argsort(mapped.probability) == np.argsort(plain.probability)).all()
    assert not np.allclose(mapped.probability, plain.probability)


def test_the_other_horizons_follow_what_calibration_says_of_the_own_one(
    fitted: Propensity, history: Any
) -> None:
    mapped = fitted.with_calibration(Calibration(slope=0.5, intercept=-1.0))
    shift, slope = fitted.horizon_link.coefficients[30]

    found = mapped.predict(history.snapshots, 30).probability

    right = 0.5 * fitted.predict(history.snapshots).margin - 1.0
    assert found == pytest.approx(expit(np.minimum(shift + slope * right, right)))


def test_contributions_and_base_add_up_to_the_margin(fitted: Propensity, history: Any) -> None:
    contributions, base = fitted.compute_contributions(history.snapshots)

    margin = fitted.predict(history.snapshots).margin
    assert contributions.shape == (history.snapshots.height, len(fitted.inputs))
    np.testing.assert_allclose(contributions.sum(axis=1) + base, margin, rtol=0, atol=1e-9)


def test_contributions_agree_with_shap(fitted: Propensity, history: Any) -> None:
    some = history.snapshots.sample(40, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # noqa: PLC0415 - warns on import

        matrix = some.select(fitted.inputs).to_numpy()
        told = [shap.TreeExplainer(booster).shap_values(matrix) for booster in fitted.boosters]

    contributions, _ = replace(fitted, linear_share=0.0).compute_contributions(some)

    np.testing.assert_allclose(contributions, np.mean(told, axis=0), rtol=0, atol=1e-9)


def test_blended_margins_and_contributions_lie_between_those_of_trees_and_regressions(
    fitted: Propensity, history: Any
) -> None:
    some = history.snapshots.head(50)
    whole = [replace(fitted, linear_share=share) for share in (0.0, 0.4, 1.0)]

    trees, both, regressions = (each.predict(some) for each in whole)
    parts = [each.compute_contributions(some)[0] for each in whole]

    np.testing.assert_allclose(both.margin, 0.6 * trees.margin + 0.4 * regressions.margin)
    np.testing.assert_allclose(parts[1], 0.6 * parts[0] + 0.4 * parts[2], atol=1e-12)
    assert (trees.margin == both.gbm_margin).all()
    assert (regressions.margin == both.logistic_margin).all()


def test_the_interval_is_that_of_accounts_that_differ_as_much_as_stated(
    fitted: Propensity, history: Any
) -> None:
    """Drawn log-odds whose mean probability is the stated one: eight in ten lie inside."""
    alike = fitted.boosters[:1] * 3
    certain = replace(fitted, boosters=alike, unseen_spread=1.2, linear_share=0.0)
    some = history.snapshots.sample(8, seed=3)
    estimate = certain.predict(some)
    rng = np.random.default_rng(1)

    for probability, low, high in zip(
        estimate.probability, estimate.low, estimate.high, strict=True
    ):
        drawn = rng.normal(size=20_000) * 1.2
        centre = brentq(lambda at, z=drawn, p=probability: expit(at + z).mean() - p, -30, 30)
        inside = (expit(centre + drawn) >= low) & (expit(centre + drawn) <= high)
        assert inside.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(
    fitted: Propensity, history: Any, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gbm, "cpu_count", lambda: threads)

    again = history.fit()

    assert texts(again) == texts(fitted)


def test_another_seed_gives_another_model(fitted: Propensity, history: Any) -> None:
    other = history.fit(seed=8)

    assert texts(other) != texts(fitted)


def test_members_differ_from_each_other(fitted: Propensity) -> None:
    assert len(set(texts(fitted))) == len(fitted.boosters)


def test_the_order_of_the_panel_columns_is_immaterial(fitted: Propensity, history: Any) -> None:
    backwards = history.snapshots.select(*reversed(history.snapshots.columns))

    assert (fitted.predict(backwards).margin == fitted.predict(history.snapshots).margin).all()


DIRECTED = Settings().model.monotone_features


@pytest.mark.parametrize("name", DIRECTED)
def test_a_known_direction_is_honoured_even_against_the_data(history: Any, name: str) -> None:
    direction = FEATURES_BY_NAME[name].direction
    # In this history the column acts the other way round.
    against = (pl.col("seat_utilization") * -direction).alias(name)
    known = history.known()
    turned = known.snapshots.with_columns(against)
    fitted = propensity.fit_propensity(
        turned,
        known.outcomes,
        _small(),
        horizon_days=60,
        inputs=(name, "tenure_days", "mrr"),
    )
    some = turned.head(30)
    steps = [some.with_columns(pl.lit(float(at)).alias(name)) for at in np.linspace(-1.5, 1.5, 13)]

    margins = np.stack([fitted.predict(step).margin for step in steps])

    assert (np.diff(margins, axis=0) * direction >= 0).all()


def _small() -> Any:
    return Settings().model.model_copy(
        update={
            "ensemble_size": 2,
            "n_estimators": 15,
            "min_child_samples": 5,
            "horizons_days": (60,),
        }
    )


def test_a_direction_can_be_let_go(history: Any) -> None:
    name, free = "days_since_new_user", _small().model_copy(update={"monotone_features": ()})
    known = history.known()
    # In this history the column acts the other way round.
    turned = known.snapshots.with_columns(pl.col("seat_utilization").alias(name))

    fitted = propensity.fit_propensity(
        turned, known.outcomes, free, horizon_days=60, inputs=(name, "tenure_days", "mrr")
    )

    low, high = (
        fitted.predict(turned.head(30).with_columns(pl.lit(use).alias(name))).margin
        for use in (0.2, 1.1)
    )
    assert (high > low).all()


@pytest.mark.parametrize("name", ["tenure_days", "no_such_feature"])
def test_to_hold_what_has_no_direction_is_refused(history: Any, name: str) -> None:
    held = _small().model_copy(update={"monotone_features": ("seat_utilization", name)})
    known = history.known()

    with pytest.raises(SettingsError, match=f"model.monotone_features names {name}"):
        propensity.fit_propensity(known.snapshots, known.outcomes, held, horizon_days=60)


def test_what_the_data_says_in_the_known_direction_is_learned(
    fitted: Propensity, history: Any
) -> None:
    some = history.snapshots.head(50)

    low, high = (
        fitted.predict(some.with_columns(seat_utilization=pl.lit(use))).margin for use in (0.2, 1.1)
    )

    assert (high > low).all()


def test_controls_are_no_inputs(fitted: Propensity) -> None:
    controls = {feature.name for feature in FEATURES if feature.family == "controls"}

    assert controls
    assert not controls & set(fitted.inputs)
    assert set(fitted.inputs) == set(FEATURE_NAMES) - controls


def test_controls_change_nothing(fitted: Propensity, history: Any) -> None:
    without = history.snapshots.with_columns(
        pl.lit(None, pl.Float64).alias(feature.name)
        for feature in FEATURES
        if feature.family == "controls"
    )

    assert (fitted.predict(without).margin == fitted.predict(history.snapshots).margin).all()


def test_constant_and_missing_columns_are_no_obstacle(fitted: Propensity, history: Any) -> None:
    contributions, _ = fitted.compute_contributions(history.snapshots)

    # The history's mrr is missing throughout and its plan_rank is constant.
    useless = [fitted.inputs.index(name) for name in ("mrr", "plan_rank")]
    assert (contributions[:, useless] == 0).all()


def test_a_snapshot_of_which_nothing_is_known_is_still_estimated(
    fitted: Propensity, history: Any
) -> None:
    nothing = history.snapshots.head(1).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in FEATURE_NAMES
    )

    estimate = fitted.predict(nothing)

    assert 0 < estimate.probability[0] < 1


def test_a_plain_model_knows_its_own_horizon_only(history: Any) -> None:
    plain = history.fit(horizons_days=(60,))

    assert plain.horizons_days == (60,)
    assert plain.predict_cumulative_incidence(history.snapshots).shape[1] == 1
    with pytest.raises(ValueError, match="knows 60 days only, not 90"):
        plain.predict(history.snapshots, 90)


def test_a_plain_model_explains_its_margin_too(history: Any) -> None:
    plain = history.fit(horizons_days=(60,))

    contributions, base = plain.compute_contributions(history.snapshots)

    margin = plain.predict(history.snapshots).margin
    np.testing.assert_allclose(contributions.sum(axis=1) + base, margin, rtol=0, atol=1e-9)


def test_unfinished_windows_are_used_as_far_as_they_are_known(
    history: Any, settings: Settings
) -> None:
    known = history.known()
    recent = pl.col("known_days").is_between(30, 59)
    none_yet = pl.when(~recent).then("days_to_expansion").alias("days_to_expansion")
    assert known.outcomes.filter(recent)["days_to_expansion"].is_not_null().any()
    whole = history.fit()

    quiet = propensity.fit_propensity(
        known.snapshots, known.outcomes.with_columns(none_yet), settings.model, horizon_days=60
    )

    assert texts(quiet) == texts(whole)
    assert quiet.horizon_link.coefficients[30] != whole.horizon_link.coefficients[30]
    assert quiet.horizon_link.coefficients[90] == whole.horizons.shifts[90]


def test_a_history_without_expansions_is_refused_in_one_sentence(history: Any) -> None:
    quiet = history.known().outcomes.with_columns(pl.lit(None, pl.Int64).alias("days_to_expansion"))

    with pytest.raises(
        HistoryError, match=r"^0 of \d+ complete windows of 60 days hold an"
    ) as told:
        _fit(history, quiet)

    assert "\n" not in str(told.value)


def test_a_history_of_nothing_but_expansions_is_refused(history: Any) -> None:
    always = history.known().outcomes.with_columns(pl.lit(1, pl.Int64).alias("days_to_expansion"))

    with pytest.raises(HistoryError, match="at least 10 with and 10 without are needed"):
        _fit(history, always)


def test_a_handful_of_expansions_is_not_counted_once_per_horizon(history: Any) -> None:
    outcome = history.known().outcomes.with_row_index("row")
    nine = pl.when(pl.col("row") < 9).then(pl.lit(1, pl.Int64))
    few = outcome.with_columns(days_to_expansion=nine).drop("row")

    with pytest.raises(HistoryError, match=r"^9 of"):
        _fit(history, few)


def test_expansions_of_one_account_alone_reach_every_member(history: Any) -> None:
    mine = pl.when(pl.col("account_id") == "acc_007").then(pl.lit(1, pl.Int64))
    alone = history.known().outcomes.with_columns(days_to_expansion=mine)

    fitted = propensity.fit_propensity(
        history.known().snapshots,
        alone,
        _small().model_copy(update={"ensemble_size": 12}),
        horizon_days=60,
    )

    # A member that never saw an expansion would be all but certain that there is none.
    assert fitted.predict(history.snapshots).margin.min() > -6


@pytest.mark.parametrize("days", [100, 1])
def test_what_is_rare_within_the_horizon_only_reaches_every_member_too(
    history: Any, days: int
) -> None:
    """One account expands, or all but one, within 60 days; within 180 days all of them do."""
    mine = pl.when((pl.col("account_id") == "acc_007") == (days > 60)).then(1).otherwise(100)
    rare = history.known().outcomes.with_columns(days_to_expansion=mine.cast(pl.Int64))

    fitted = propensity.fit_propensity(
        history.known().snapshots,
        rare,
        _small().model_copy(update={"ensemble_size": 12, "horizons_days": (60, 180)}),
        horizon_days=60,
    )

    assert np.abs(fitted.predict(history.snapshots).margin).max() < 8


def test_without_a_complete_window_the_history_is_called_too_short(history: Any) -> None:
    open_ended = history.known().outcomes.with_columns(pl.lit(59).alias("known_days"))

    with pytest.raises(HistoryError, match="no snapshot has a complete window of 60 days yet"):
        _fit(history, open_ended)


def _fit(history: Any, outcome: pl.DataFrame) -> Propensity:
    return propensity.fit_propensity(history.known().snapshots, outcome, _small(), horizon_days=60)


def test_the_same_data_gives_the_same_label_rows(history: Any) -> None:
    first, second = history.known(), history.known()

    assert_series_equal(first.outcomes["days_to_expansion"], second.outcomes["days_to_expansion"])
    assert "3 boosters of 40 trees" in repr(history.fit())
