"""Training pipeline: history, fit, walk-forward validation, calibration and promotion gate."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from data.config.settings import MONTH_DAYS, ModelConfig, Settings
from data.errors import HistoryError
from data.ingest import table_loader
from features.activity.daily_tables import Activity
from features.panel import builder
from features.panel.builder import Panel
from training.evaluation import evaluate, splits
from training.evaluation.evaluate import EvaluationResult
from training.model import expansion_size, propensity
from training.model.propensity import Propensity
from training.pipeline import churn, fallback_ranking
from training.pipeline.churn import ChurnModel
from training.pipeline.fallback_ranking import CalibratedRanking
from training.promotion import gate
from training.promotion.champion import Champion, decide_promotion, decision_to_dict
from training.promotion.gate import GateDecision
from training.rules import team_capacity

__all__ = [
    "ProgressCallback",
    "TrainingHistory",
    "TrainingResult",
    "bind_stage",
    "build_history",
    "evaluate_history",
    "resolve_as_of",
    "train",
]

ProgressCallback = Callable[[str, int, int], None]
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class TrainingHistory:
    """Tables, daily activity and all snapshots up to an as-of."""

    as_of: datetime
    tables: table_loader.Tables
    activity: Activity
    panel: Panel
    contracts: pl.DataFrame

    def __repr__(self) -> str:
        return (
            f"TrainingHistory(as of {self.as_of:%Y-%m-%d}: {self.panel!r}, {self.activity!r},"
            f" {self.contracts.height:,} contract rows)"
        )


@dataclass(frozen=True)
class TrainingResult:
    """A trained model with its fallback, churn model, evaluation and gate decision.

    Attributes
    ----------
    model : Propensity
        Fitted on everything known at the as-of.
    fallback : CalibratedRanking
        The best baseline ranking, served while no model has passed the gate.
    evaluation : training.evaluation.result.EvaluationResult or None
        Walk-forward evaluation; None where the history is too short for one.
    card : mapping
        JSON values for the model card.
    """

    model: Propensity
    churn: ChurnModel
    fallback: CalibratedRanking
    gate_decision: GateDecision
    evaluation: EvaluationResult | None
    card: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"TrainingResult({self.model!r}, {self.evaluation!r})"


def resolve_as_of(
    settings: Settings, activity: Activity, *, now: datetime, requested: datetime | None = None
) -> datetime:
    """Return the requested as-of, else the configured day, today, or the end of the data (UTC).

    Raises
    ------
    data.errors.HistoryError
        If the requested as-of lies in the future, or the log is empty.
    """
    if requested is not None:
        # East of UTC the next calendar day may have begun.
        if requested.date() > now.astimezone(UTC).date() + timedelta(days=1):
            raise HistoryError(
                f"the as-of {requested:%Y-%m-%d} lies in the future; today is"
                f" {now.astimezone(UTC):%Y-%m-%d}."
            )
        return splits.to_utc_midnight(requested.date())
    if settings.as_of == "today":
        return splits.to_utc_midnight(now.astimezone(UTC).date())
    if settings.as_of == "data end":
        if activity.last_day is None:
            raise HistoryError("the log contains no valid event; see its quarantine.")
        return splits.to_utc_midnight(activity.last_day + timedelta(days=1))
    return splits.to_utc_midnight(settings.as_of)


def build_history(
    settings: Settings,
    tables: table_loader.Tables,
    activity: Activity,
    as_of: datetime,
    *,
    progress: ProgressCallback | None = None,
) -> TrainingHistory:
    """Build all snapshots up to an as-of.

    As-ofs are 30 days apart, counted back from the as-of; ``model.weekly_anchors`` adds further
    weekly series. The first days of the log (burn-in) are excluded, because every user looks new in
    them.

    Raises
    ------
    data.errors.HistoryError
        If the log is too short for any snapshot.
    """
    if activity.first_day is None:
        raise HistoryError("the log contains no valid event; see its quarantine.")
    first_as_of = splits.to_utc_midnight(activity.first_day) + timedelta(
        days=settings.eligibility.burn_in_days
    )
    candidates = [
        moment
        for anchor in range(settings.model.weekly_anchors)
        for moment in _list_monthly_as_ofs(as_of - anchor * _WEEK, first_as_of)
    ]
    as_ofs = [
        moment
        for moment, began in zip(candidates, activity.find_log_starts(candidates), strict=True)
        if began and (moment.date() - began).days >= settings.eligibility.burn_in_days
    ]
    if not as_ofs:
        raise HistoryError(
            f"the log starts on {activity.first_day}, and its first"
            f" {settings.eligibility.burn_in_days} days (eligibility.burn_in_days) are excluded:"
            f" no snapshot remains before {as_of:%Y-%m-%d}."
        )
    history_panel = builder.build_panel(
        activity, tables, as_ofs, settings, progress=bind_stage(progress, "features")
    )
    return TrainingHistory(as_of, tables, activity, history_panel, history_panel.contracts)


def evaluate_history(
    history: TrainingHistory,
    settings: Settings,
    *,
    progress: ProgressCallback | None = None,
    on_fold: Callable[[Propensity, pl.DataFrame], object] | None = None,
) -> EvaluationResult:
    """Run walk-forward validation; see :mod:`training.evaluation.evaluate`."""
    return evaluate.evaluate_walk_forward(
        history.panel.snapshots,
        history.contracts,
        settings,
        end=history.as_of,
        progress=bind_stage(progress, "walk-forward validation"),
        on_fold=on_fold,
        accounts=history.tables.accounts.rows,
    )


def train(
    history: TrainingHistory,
    settings: Settings,
    *,
    champion: Champion | None = None,
    progress: ProgressCallback | None = None,
) -> TrainingResult:
    """Train on everything known at the as-of; evaluate and calibrate by walk-forward validation.

    Parameters
    ----------
    history : TrainingHistory
        From :func:`build_history`.
    settings : data.config.settings.Settings
        Outcome, model, evaluation and gate.
    champion : training.promotion.champion.Champion, optional
        The current champion, which the model would replace.
    progress : callable, optional
        Called with the stage, the steps done, and the total steps.

    Returns
    -------
    TrainingResult
        Where the history is too short for walk-forward validation, the model is uncalibrated, its
        evaluation is None, the gate rejects it, and the card states the reason.

    Raises
    ------
    data.errors.HistoryError
        If there is too little data to train on.
    """
    settings = team_capacity.apply_team_capacity(settings, history.tables.accounts.rows)
    snapshots, contracts, end = history.panel.snapshots, history.contracts, history.as_of
    training_set = splits.build_training_set(snapshots, contracts, end, settings.outcome)
    fit = partial(
        propensity.fit_propensity,
        training_set,
        settings.model,
        horizon_days=settings.outcome.horizon_days,
    )
    fitted = fit()  # before the walk-forward validation, so that too little data fails at once
    churn_model = churn.train_churn_model(snapshots, contracts, settings, end=end)
    fallback = fallback_ranking.train_fallback(snapshots, contracts, settings, end=end)
    card = _build_card(history, training_set, settings.model) | {"churn_note": churn_model.note}
    try:
        evaluation = evaluate_history(history, settings, progress=progress)
    except HistoryError as error:
        decision = gate.reject_unevaluated(str(error))
        card |= {
            "verdict": f"Not evaluated: {error}",
            "gate": decision_to_dict(decision, champion),
        }
        return TrainingResult(fitted, churn_model, fallback, decision, None, card)
    decision = decide_promotion(
        evaluation.predictions,
        snapshots,
        contracts,
        settings,
        end=end,
        champion=champion,
        progress=bind_stage(progress, "champion evaluation"),
    )
    card |= {"gate": decision_to_dict(decision, champion), **_describe_evaluation(evaluation)}
    if (blend_weight := evaluation.blend_weight) != fitted.blend_weight:
        fitted = fit(blend_weight=blend_weight)
    calibrated = fitted.with_calibration(evaluation.calibration)
    return TrainingResult(calibrated, churn_model, fallback, decision, evaluation, card)


def _describe_evaluation(evaluation: EvaluationResult) -> dict[str, Any]:
    """Return the part of the card that an evaluation adds."""
    return {
        "verdict": evaluation.summarize_verdict(),
        "metrics": {
            ranking: {name: estimate.value for name, estimate in estimates.items()}
            for ranking, estimates in evaluation.metrics.items()
        },
        "bands": evaluation.bands,
        "segments": {
            segmentation: {name: asdict(segment) for name, segment in segments.items()}
            for segmentation, segments in evaluation.segment_metrics.items()
        },
        "skipped_cutoffs": {str(cutoff): reason for cutoff, reason in evaluation.skipped.items()},
    }


def _build_card(
    history: TrainingHistory, training_set: splits.TrainingSet, rules: ModelConfig
) -> dict[str, Any]:
    as_ofs = training_set.snapshots["as_of"]
    return {
        "as_of": f"{history.as_of:%Y-%m-%d}",
        "settings": rules.model_dump(mode="json"),
        "log": {
            "first_day": str(history.activity.first_day),
            "last_day": str(history.activity.last_day),
        },
        "events": history.activity.events,
        "snapshots": training_set.snapshots.height,
        "accounts": training_set.snapshots["account_id"].n_unique(),
        "as_ofs": {"first": str(as_ofs.min()), "last": str(as_ofs.max())},
        "increase_by_type": expansion_size.estimate_increase_by_type(training_set.outcomes),
        "expansions_by_kind": dict(
            training_set.outcomes["kind"].drop_nulls().value_counts().sort("kind").iter_rows()
        ),
    }


def _list_monthly_as_ofs(anchor: datetime, first: datetime) -> list[datetime]:
    months = (anchor - first).days // MONTH_DAYS
    return [anchor - timedelta(days=MONTH_DAYS * back) for back in range(months + 1)]


def bind_stage(progress: ProgressCallback | None, stage: str) -> Callable[[int, int], None] | None:
    """Return a callback of one stage: called with the steps done and the total steps."""
    return None if progress is None else lambda done, total: progress(stage, done, total)
