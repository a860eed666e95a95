"""What the controls would have added: logins, tickets and NPS, which the model is never given.

They look like expansion and are not. Whoever doubts that can see it on their own history.
"""

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from data.config.settings import Settings
from features.catalogue import FEATURE_NAMES
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.metrics import summary
from training.metrics.summary import MetricEstimate
from training.pipeline.training_run import TrainingHistory

__all__ = ["evaluate_controls"]

_KEYS: Final = ["account_id", "as_of"]


def evaluate_controls(
    history: TrainingHistory,
    settings: Settings,
    evaluation: EvaluationResult,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Mapping[str, MetricEstimate]:
    """Walk forward once more with the controls, and tell what they change.

    Parameters
    ----------
    history : training.pipeline.training_run.TrainingHistory
        From :func:`training.pipeline.training_run.build_history`.
    settings : data.config.settings.Settings
        As for the walk without them.
    evaluation : training.evaluation.evaluate.Evaluation
        That walk.
    progress : callable, optional
        Told cuts done and cuts in all.

    Returns
    -------
    mapping of str to training.metrics.summary.Figure
        ``auroc``, ``average_precision`` and ``log_loss``: with the controls less without them, on
        the same snapshots and the same draws of accounts; null where it cannot be told.
    """
    with_controls = evaluate.evaluate_walk_forward(
        history.panel.snapshots,
        history.contracts,
        settings,
        end=history.as_of,
        inputs=FEATURE_NAMES,
        progress=progress,
        reference_models={},
    )
    paired = evaluation.predictions.filter(pl.col("expanded").is_not_null()).join(
        with_controls.predictions.select(*_KEYS, given="probability"), on=_KEYS
    )
    return summary.compute_metric_change(
        paired["probability"].to_numpy(),
        paired["given"].to_numpy(),
        summary.label_outcomes(paired),
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
    )
