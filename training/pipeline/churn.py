"""Who is about to leave: the model of expansion with the other outcome, judged in the same walk.

One does not pitch a leaving customer. The model is the plain classifier of one horizon; nothing is
held to a direction, since what drives an expansion need not keep a customer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from training.evaluation import splits, walk_forward
from training.evaluation.splits import TrainingSet
from training.labels import build_outcomes, churned_within
from training.metrics import summary
from training.model.propensity import Propensity

__all__ = ["ChurnModel", "train_churn_model"]

_NOT_EVALUATED = "The churn probability could not be judged: the history is too short."
_REPORTED_METRICS = ("auroc", "average_precision", "observed_to_expected")


@dataclass(frozen=True)
class ChurnModel:
    """A model of churn, and what it was worth.

    Attributes
    ----------
    model : Propensity or None
        Calibrated on the walk forward; None where too few contracts ended.
    note : str
        What the figures say, or why there is no model.
    estimates : mapping of str to training.metrics.summary.Figure
        Over the judged snapshots; empty where none could be judged.
    """

    model: Propensity | None
    note: str
    estimates: Mapping[str, summary.MetricEstimate] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Churn({self.model!r}: {self.note})"


def train_churn_model(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, *, end: datetime
) -> ChurnModel:
    """Train on everything known at the end, calibrated and judged on a walk forward up to it.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    settings : data.config.settings.Settings
        Outcome (its horizon is that of churn too), model and evaluation.
    end : datetime.datetime
        What is known before this moment, UTC, trains and judges.

    Returns
    -------
    ChurnModel
        Without a model where the history holds too few ends of contract.
    """
    horizon = settings.outcome.horizon_days
    model_config = settings.model.model_copy(
        update={"horizons_days": (horizon,), "monotone_features": ()}
    )

    def fit(training_set: TrainingSet, past_predictions: pl.DataFrame | None) -> Propensity:
        return walk_forward.fit_and_calibrate(
            training_set,
            past_predictions,
            model_config,
            horizon_days=horizon,
            label_within=churned_within,
        )

    training_set = splits.build_training_set(snapshots, contracts, end, settings.outcome)
    predictions = _predict_walk_forward(snapshots, contracts, settings, fit, end=end)
    try:
        fitted = fit(training_set, predictions)
    except HistoryError as error:
        return ChurnModel(None, f"No churn probability: {error}")
    if predictions is None:
        return ChurnModel(fitted, _NOT_EVALUATED)
    estimates = _compute_churn_metrics(predictions, settings)
    note = f"Churn within {horizon} days: AUROC {estimates['auroc']}, observed"
    note += f" ÷ expected {estimates['observed_to_expected']}."
    return ChurnModel(fitted, note, estimates)


def _predict_walk_forward(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    fit: Callable[[TrainingSet, pl.DataFrame | None], Propensity],
    *,
    end: datetime,
) -> pl.DataFrame | None:
    """What the walk forward said, with what happened; None where that tells nothing."""
    try:
        predictions = walk_forward.run_walk_forward(
            snapshots,
            contracts,
            settings,
            fit=fit,
            predict=walk_forward.predict_fold,
            label_within=churned_within,
        ).predictions
    except HistoryError:
        return None
    labels = build_outcomes(predictions, contracts, cutoff=end, rules=settings.outcome)
    label = labels.select(happened=churned_within(settings.outcome.horizon_days))["happened"]
    labelled = predictions.with_columns(happened=label).drop_nulls("happened")
    return labelled if labelled["happened"].n_unique() == 2 else None


def _compute_churn_metrics(
    predictions: pl.DataFrame, settings: Settings
) -> Mapping[str, summary.MetricEstimate]:
    probability = predictions["probability"].to_numpy()
    estimates = summary.compute_metrics(
        probability,
        summary.label_outcomes(predictions.with_columns(expanded="happened")),
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
        probability=probability,
        reference=np.full(len(predictions), predictions["happened"].mean()),
    )
    return {name: estimates[name] for name in _REPORTED_METRICS}
