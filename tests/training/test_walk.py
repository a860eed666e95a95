"""What earlier cuts said decides the blend before the level is fitted, and not after it."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import ModelConfig, Settings
from training import labels
from training.evaluation import walk_forward
from training.evaluation.splits import TrainingSet
from training.model import propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity


@pytest.fixture
def rules(settings: Settings) -> ModelConfig:
    return settings.model.model_copy(update={"ensemble_size": 3, "n_estimators": 20})


def seen(known: TrainingSet, better: str) -> pl.DataFrame:
    """Predictions by which one of the two learners knew what the other did not."""
    label = known.outcomes.select(
        "account_id", "as_of", happened=labels.expanded_within(60)
    ).drop_nulls()
    sign = np.where(label["happened"].to_numpy(), 1.0, -1.0)
    noise = np.random.default_rng(1).normal(size=(2, label.height))
    margins = {"trees_margin": noise[0], "linear_margin": noise[1]}
    margins[better] = margins[better] + 1.5 * sign
    cut = pl.col("as_of").dt.truncate("6mo").alias("cut")
    return label.with_columns(cut, **{name: pl.Series(told) for name, told in margins.items()})


@pytest.mark.parametrize(("better", "share"), [("trees_margin", 0.0), ("linear_margin", 1.0)])
def test_level_and_horizons_are_fitted_to_margins_that_are_blended_as_history_says(
    history: Any, rules: ModelConfig, better: str, share: float
) -> None:
    known = history.known()

    found = walk_forward.fit_and_calibrate(known, seen(known, better), rules, horizon_days=60)

    assert found.blend_weight == pytest.approx(share, abs=0.25)
    assert found.calibration != Calibration()
    said = {"horizon_days": 60, "linear_share": found.blend_weight}
    fitted = propensity.fit_propensity(known.snapshots, known.outcomes, rules, **said)
    usual = propensity.fit_propensity(known.snapshots, known.outcomes, rules, horizon_days=60)
    assert parts(found) == parts(fitted)
    assert parts(found) != parts(usual)


def parts(fitted: Propensity) -> tuple[Any, ...]:
    return fitted.blend_weight, fitted.correction, dict(fitted.horizon_link.coefficients)


def test_at_the_first_cut_nothing_was_said_before(history: Any, rules: ModelConfig) -> None:
    known = history.known()

    found = walk_forward.fit_and_calibrate(known, None, rules, horizon_days=60)

    assert found.calibration == Calibration()
    usual = propensity.fit_propensity(known.snapshots, known.outcomes, rules, horizon_days=60)
    assert parts(found) == parts(usual)
