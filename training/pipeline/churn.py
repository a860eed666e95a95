"""Churn model: same learner, churn label and walk-forward validation.

An account at churn risk gets no sales pitch. The model is a classifier of one horizon without
monotone constraints, since drivers of expansion need not reduce churn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import numpy as np
import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from training.dataset.training_set import TrainingSet
from training.evaluation import splits, walk_forward
from training.labels import build_outcomes, churn_label
from training.metrics import summary
from training.model.propensity import Propensity

__all__ = ["ChurnModel", "train_churn_model"]

_NOT_EVALUATED = "The churn probability could not be evaluated: the history is too short."
_REPORTED_METRICS = ("auroc", "average_precision", "observed_to_expected")


@dataclass(frozen=True)
class ChurnModel:
    """A churn model, calibrated on walk-forward predictions, and its metrics over them.

    The model is None if too few contracts ended; the note then says why. There are no estimates if
    none could be evaluated.
    """

    model: Propensity | None
    note: str
    estimates: Mapping[str, summary.MetricEstimate] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"ChurnModel({self.model!r}: {self.note})"


def train_churn_model(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, *, end: datetime
) -> ChurnModel:
    """Train a churn model on data known at ``end``, calibrated and evaluated walk-forward.

    The primary horizon of ``settings.outcome`` applies to churn too. There is no model if the
    history contains too few churned accounts.
    """
    horizon = settings.outcome.horizon_days
    model_config = settings.model.model_copy(
        update={"horizons_days": (horizon,), "monotone_features": ()}
    )
    fit = partial(
        walk_forward.fit_and_calibrate,
        rules=model_config,
        horizon_days=horizon,
        build_label=churn_label,
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
    """Return labelled walk-forward predictions; None if they contain a single class."""
    try:
        predictions, _ = walk_forward.run_walk_forward(
            snapshots,
            contracts,
            settings.evaluation,
            settings.outcome,
            fit=fit,
            predict=walk_forward.predict_fold,
            build_label=churn_label,
        )
    except HistoryError:
        return None
    labels = build_outcomes(predictions, contracts, cutoff=end, rules=settings.outcome)
    label = labels.select(label=churn_label(settings.outcome.horizon_days))["label"]
    labelled = predictions.with_columns(label=label).drop_nulls("label")
    return labelled if labelled["label"].n_unique() == 2 else None


def _compute_churn_metrics(
    predictions: pl.DataFrame, settings: Settings
) -> Mapping[str, summary.MetricEstimate]:
    estimates = summary.compute_metrics(
        predictions["probability"].to_numpy(),
        summary.label_outcomes(predictions.with_columns(expanded="label")),
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
        base_rate=np.full(len(predictions), predictions["label"].mean()),
    )
    return {name: estimates[name] for name in _REPORTED_METRICS}
