"""The ablation detects control features that leak the outcome."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import Settings
from tests.unit.training.conftest import change_section
from training import labels
from training.evaluation import evaluate
from training.pipeline import ablation


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_the_ablation_measures_the_effect_of_control_features(
    history: Any, settings: Settings, strength: float
) -> None:
    settings = change_section(settings, "evaluation", refit_months=6)
    expanded = labels.build_outcomes(
        history.snapshots, history.contracts, cutoff=history.end, rules=settings.outcome
    ).select(y=labels.expansion_label(60).fill_null(value=False).cast(pl.Float64))["y"]
    noise = np.random.default_rng(5).normal(size=len(expanded))
    snapshots = history.snapshots.with_columns(tickets_90d=strength * expanded + noise)
    training_history = SimpleNamespace(
        as_of=history.end,
        contracts=history.contracts,
        panel=SimpleNamespace(snapshots=snapshots),
    )
    evaluation = evaluate.evaluate_walk_forward(
        snapshots, history.contracts, settings, end=history.end
    )

    changes = ablation.evaluate_controls(training_history, settings, evaluation)

    gain = changes["auroc"]
    assert (gain.low > 0.02) == (strength > 0)
    assert (changes["log_loss"].high < 0) == (strength > 0)
