"""Who is about to leave: the model of expansion with the other outcome, judged in the same walk.

One does not pitch a leaving customer. The model is the plain classifier of one horizon; nothing is
held to a direction, since what drives an expansion need not keep a customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from data.errors import HistoryError
from data.settings import Settings
from training import metrics, model, outcomes, splits, walk
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

    def learn(known: Known) -> Propensity:
        return model.fit(
            known.snapshots,
            known.outcomes,
            plain,
            horizon_days=horizon,
            happened=outcomes.churned,
        )

    try:
        last = learn(splits.known_at(snapshots, contracts, end, settings.outcome))
    except HistoryError as error:
        return Churn(None, f"No churn probability: {error}")
    try:
        walked = walk.forward(
            snapshots,
            contracts,
            settings,
            learn=learn,
            settle=walk.settling,
            say=walk.said,
            happened=outcomes.churned,
        ).predictions
    except HistoryError:
        return Churn(last, _NOT_JUDGED)
    known = _with_label(walked, contracts, settings, end).drop_nulls("churned")
    if known["churned"].n_unique() < 2:
        return Churn(last, _NOT_JUDGED)
    share, settled = walk.settled(known.with_columns(happened="churned"), last.linear_share)
    figures = _figures(known, settings)
    note = f"Churn within {horizon} days: AUROC {figures['auroc']}, observed"
    note += f" ÷ expected {figures['observed_to_expected']}."
    return Churn(last.blended(share).calibrated(settled), note, figures)


def _with_label(
    rows: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, end: datetime
) -> pl.DataFrame:
    found = outcomes.build(rows, contracts, cut=end, rules=settings.outcome)
    label = found.select(outcomes.churned(settings.outcome.horizon_days).alias("y"))["y"]
    return rows.with_columns(churned=label)


def _figures(known: pl.DataFrame, settings: Settings) -> Mapping[str, metrics.Figure]:
    probability = known["probability"].to_numpy()
    found = metrics.figures(
        probability,
        metrics.judged(known.with_columns(expanded="churned")),
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
        probability=probability,
        reference=np.full(len(known), known["churned"].mean()),
    )
    return {name: found[name] for name in _TOLD}
