"""Ablation of the control features: logins, tickets and NPS, which the model never sees.

They correlate with expansion without causing it; this measures their effect on one's own history.
"""

from collections.abc import Callable, Mapping
from typing import Final

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
    """Run walk-forward validation with the control features and compute the change of metrics.

    The changes of ``auroc``, ``average_precision`` and ``log_loss`` are those with the controls
    minus those of ``evaluation``, without them, on the same snapshots and bootstrap replicates;
    null where undefined.
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
    paired = evaluation.predictions.drop_nulls("expanded").join(
        with_controls.predictions.select(*_KEYS, with_controls="probability"), on=_KEYS
    )
    return summary.compute_metric_change(
        paired["probability"].to_numpy(),
        paired["with_controls"].to_numpy(),
        summary.label_outcomes(paired),
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
    )
