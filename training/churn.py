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
from training import calibration, metrics, model, outcomes, splits
from training.model import Propensity

__all__ = ["Churn", "train"]

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
    try:
        last = _fitted(snapshots, contracts, settings, end)
    except HistoryError as error:
        return Churn(None, f"No churn probability: {error}")
    walked = _walked(snapshots, contracts, settings, end)
    if walked is None:
        return Churn(last, "The churn probability could not be judged: the history is too short.")
    known = walked.filter(pl.col("churned").is_not_null())
    share, settled = _settled(known, settings.model.linear_share)
    figures = _figures(known, settings)
    note = f"Churn within {settings.outcome.horizon_days} days: AUROC {figures['auroc']}, observed"
    note += f" ÷ expected {figures['observed_to_expected']}."
    return Churn(last.blended(share).calibrated(settled), note, figures)


def _fitted(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, cut: datetime
) -> Propensity:
    known = splits.known_at(snapshots, contracts, cut, settings.outcome)
    horizon = settings.outcome.horizon_days
    plain = settings.model.model_copy(update={"horizons_days": (horizon,), "held": ()})
    return model.fit(
        known.snapshots,
        known.outcomes,
        plain,
        horizon_days=horizon,
        happened=outcomes.churned,
    )


def _walked(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, end: datetime
) -> pl.DataFrame | None:
    """What each cut's model said, settled on what earlier cuts said; None where none could."""
    rules = settings.evaluation
    plan = splits.walk_forward(
        snapshots["as_of"].unique().to_list(),
        first=rules.first_as_of,
        refit_months=rules.refit_months,
    )
    parts: list[pl.DataFrame] = []
    for split in plan:
        try:
            fitted = _fitted(snapshots, contracts, settings, split.cut)
        except HistoryError:  # too few ends of contract so far
            continue
        if parts:
            seen = _with_label(pl.concat(parts), contracts, settings, split.cut)
            share, settled = _settled(seen, settings.model.linear_share)
            fitted = fitted.blended(share).calibrated(settled)
        judged = snapshots.filter(pl.col("as_of").is_in(list(split.judged)))
        parts.append(_predicted(fitted, judged, split.cut))
    if not parts:
        return None
    walked = _with_label(pl.concat(parts), contracts, settings, end)
    return None if walked["churned"].drop_nulls().n_unique() < 2 else walked


def _predicted(fitted: Propensity, judged: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    estimate = fitted.estimate(judged)
    return judged.select(
        "account_id",
        "as_of",
        cut=pl.lit(cut.date()),
        probability=pl.Series(estimate.probability),
        trees_margin=pl.Series(estimate.trees_margin),
        linear_margin=pl.Series(estimate.linear_margin),
    )


def _with_label(
    rows: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, cut: datetime
) -> pl.DataFrame:
    found = outcomes.build(rows, contracts, cut=cut, rules=settings.outcome)
    label = found.select(outcomes.churned(settings.outcome.horizon_days).alias("y"))["y"]
    return rows.with_columns(churned=label)


def _settled(rows: pl.DataFrame, usual_share: float) -> tuple[float, calibration.Calibration]:
    known = rows.filter(pl.col("churned").is_not_null())
    return calibration.settled(
        known.select("account_id", "cut", "trees_margin", "linear_margin", happened="churned"),
        usual_share,
    )


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
