"""A control that gives the outcome away is found by the ablation, and by it alone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import Settings
from training import labels
from training.evaluation import ablation, evaluate


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_what_the_controls_would_have_added_is_what_they_know(
    history: Any, settings: Settings, strength: float
) -> None:
    expanded = labels.build_outcomes(
        history.snapshots, history.contracts, cutoff=history.end, rules=settings.outcome
    ).select(y=labels.expanded_within(60).fill_null(value=False).cast(pl.Float64))["y"]
    noise = np.random.default_rng(5).normal(size=len(expanded))
    snapshots = history.snapshots.with_columns(tickets_90d=strength * expanded + noise)
    past = SimpleNamespace(
        as_of=history.end,
        contracts=history.contracts,
        panel=SimpleNamespace(snapshots=snapshots),
    )
    without = evaluate.evaluate_walk_forward(
        snapshots, history.contracts, settings, end=history.end
    )

    added = ablation.evaluate_controls(past, settings, without)

    gain = added["auroc"]
    assert (gain.low > 0.02) == (strength > 0)
    assert (added["log_loss"].high < 0) == (strength > 0)
