"""Past predictions select the blend before the correction is fitted."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import ModelConfig, Settings
from training import labels
from training.dataset.training_set import TrainingSet
from training.evaluation import walk_forward
from training.model import propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity


@pytest.fixture
def rules(settings: Settings) -> ModelConfig:
    return settings.model.model_copy(update={"ensemble_size": 3, "n_estimators": 20})


def simulate_past_predictions(training_set: TrainingSet, better: str) -> pl.DataFrame:
    """Simulate predictions in which one of the two learners is informative."""
    label = training_set.outcomes.select(
        "account_id", "as_of", label=labels.expansion_label(60)
    ).drop_nulls()
    sign = np.where(label["label"].to_numpy(), 1.0, -1.0)
    noise = np.random.default_rng(1).normal(size=(2, label.height))
    margins = {"gbm_margin": noise[0], "logistic_margin": noise[1]}
    margins[better] = margins[better] + 1.5 * sign
    cutoff = pl.col("as_of").dt.truncate("6mo").alias("cutoff")
    return label.with_columns(
        cutoff, **{name: pl.Series(margin) for name, margin in margins.items()}
    )


@pytest.mark.parametrize(("better", "weight"), [("gbm_margin", 0.0), ("logistic_margin", 1.0)])
def test_correction_and_horizons_are_fitted_to_the_selected_blend(
    history: Any, rules: ModelConfig, better: str, weight: float
) -> None:
    training_set = history.training_set()

    model = walk_forward.fit_and_calibrate(
        training_set, simulate_past_predictions(training_set, better), rules, horizon_days=60
    )

    assert model.blend_weight == pytest.approx(weight, abs=0.25)
    assert model.calibration != Calibration()
    arguments = {"horizon_days": 60, "blend_weight": model.blend_weight}
    fitted = propensity.fit_propensity(training_set, rules, **arguments)
    without_past = propensity.fit_propensity(training_set, rules, horizon_days=60)
    assert key_parameters(model) == key_parameters(fitted)
    assert key_parameters(model) != key_parameters(without_past)


def key_parameters(fitted: Propensity) -> tuple[Any, ...]:
    return fitted.blend_weight, fitted.correction, dict(fitted.horizon_link.coefficients)


def test_the_first_cutoff_has_no_past_predictions(history: Any, rules: ModelConfig) -> None:
    training_set = history.training_set()

    model = walk_forward.fit_and_calibrate(training_set, None, rules, horizon_days=60)

    assert model.calibration == Calibration()
    without_past = propensity.fit_propensity(training_set, rules, horizon_days=60)
    assert key_parameters(model) == key_parameters(without_past)
