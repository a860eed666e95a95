"""Who is about to leave: the model of expansion with the other outcome, judged in the same walk.

One does not pitch a leaving customer. The model is the plain classifier of one horizon; nothing is
held to a direction, since what drives an expansion need not keep a customer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from data.errors import HistoryError
from data.settings import Settings
from training import metrics, outcomes, splits, walk
from training.model import Propensity
from training.splits import Known

__all__ = ["Churn", "train"]

_NOT_JUDGED = "The churn probability could not be judged: the history is too short."
_TOLD = ("auroc", "average_precision", "observed_to_expected")


@dataclass(frozen=True)
class Churn:
    """A model of churn, and what it was worth.

    Attributes
    ----------
    model : Propensity or None
        Calibrated on the walk forward; None where too few contracts ended.
    note : str
        What the figures say, or why there is no model.
    figures : mapping of str to training.metrics.Figure
        Over the judged snapshots; empty where none could be judged.
    """

    model: Propensity | None
    note: str
    figures: Mapping[str, metrics.Figure] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Churn({self.model!r}: {self.note})"


def train(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, *, end: datetime
) -> Churn:
    """Train on everything known at the end, calibrated and judged on a walk forward up to it.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    settings : data.settings.Settings
        Outcome (its horizon is that of churn too), model and evaluation.
    end : datetime.datetime
        What is known before this moment, UTC, trains and judges.

    Returns
    -------
    Churn
        Without a model where the history holds too few ends of contract.
    """
    horizon = settings.outcome.horizon_days
    plain = settings.model.model_copy(update={"horizons_days": (horizon,), "held": ()})

    def learn(known: Known, seen: pl.DataFrame | None) -> Propensity:
        return walk.learned(known, seen, plain, horizon_days=horizon, happened=outcomes.churned)

    known = splits.known_at(snapshots, contracts, end, settings.outcome)
    judged = _judged(snapshots, contracts, settings, learn, end=end)
    try:
        fitted = learn(known, judged)
    except HistoryError as error:
        return Churn(None, f"No churn probability: {error}")
    if judged is None:
        return Churn(fitted, _NOT_JUDGED)
    figures = _figures(judged, settings)
    note = f"Churn within {horizon} days: AUROC {figures['auroc']}, observed"
    note += f" ÷ expected {figures['observed_to_expected']}."
    return Churn(fitted, note, figures)


def _judged(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    learn: Callable[[Known, pl.DataFrame | None], Propensity],
    *,
    end: datetime,
) -> pl.DataFrame | None:
    """What the walk forward said, with what happened; None where that tells nothing."""
    try:
        walked = walk.forward(
            snapshots,
            contracts,
            settings,
            learn=learn,
            say=walk.said,
            happened=outcomes.churned,
        ).predictions
    except HistoryError:
        return None
    found = outcomes.build(walked, contracts, cut=end, rules=settings.outcome)
    label = found.select(happened=outcomes.churned(settings.outcome.horizon_days))["happened"]
    judged = walked.with_columns(happened=label).drop_nulls("happened")
    return judged if judged["happened"].n_unique() == 2 else None


def _figures(known: pl.DataFrame, settings: Settings) -> Mapping[str, metrics.Figure]:
    probability = known["probability"].to_numpy()
    found = metrics.figures(
        probability,
        metrics.judged(known.with_columns(expanded="happened")),
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
        probability=probability,
        reference=np.full(len(known), known["happened"].mean()),
    )
    return {name: found[name] for name in _TOLD}
