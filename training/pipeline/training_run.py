"""The whole story of a model on one screen: history, fit, walk forward, calibrate, rule."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from data import schemas
from data.config.settings import MONTH_DAYS, Settings
from data.errors import HistoryError
from data.ingest import table_loader
from features import subscription_timeline
from features.activity import daily_tables
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
    "TrainingHistory",
    "TrainingResult",
    "build_activity",
    "build_history",
    "evaluate_history",
    "load_data",
    "resolve_as_of",
    "train",
]

ProgressCallback = Callable[[str, int, int], None]
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class TrainingHistory:
    """The tables, the daily activity, and every snapshot up to an as-of."""

    as_of: datetime
    tables: table_loader.Tables
    activity: Activity
    panel: Panel
    contracts: pl.DataFrame

    def __repr__(self) -> str:
        return (
            f"History(as of {self.as_of:%Y-%m-%d}: {self.panel!r}, {self.activity!r},"
            f" {self.contracts.height:,} contract rows)"
        )


@dataclass(frozen=True)
class TrainingResult:
    """A model and what goes with it, what it was worth in the walk, and what it was made from.

    Attributes
    ----------
    model : Propensity
        Fitted on everything known.
    churn : training.pipeline.churn.ChurnModel
        The model of churn.
    fallback : Simple
        The best simple ranking, to be served while no model has passed the gate.
    gate_decision : training.promotion.gate.GateDecision
        Whether the model may be promoted.
    evaluation : training.evaluation.evaluate.Evaluation or None
        The walk forward; None where the history is too short for one.
    card : mapping
        JSON values for the card.
    """

    model: Propensity
    churn: ChurnModel
    fallback: CalibratedRanking
    gate_decision: GateDecision
    evaluation: EvaluationResult | None
    card: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Trained({self.model!r}, {self.evaluation!r})"


def load_data(
    settings: Settings,
    *,
    now: datetime,
    rebuild: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[table_loader.Tables, Activity]:
    """Read the configured tables and make the daily activity of the log, or take what is kept.

    Raises
    ------
    data.errors.ExpansionError
        If a table cannot be read, or breaks its contract in too many rows.
    """
    tables = table_loader.load_tables(settings, now)
    return tables, build_activity(settings, tables, rebuild=rebuild, progress=progress)


def build_activity(
    settings: Settings,
    tables: table_loader.Tables,
    *,
    rebuild: bool = False,
    progress: ProgressCallback | None = None,
) -> Activity:
    """Make the daily activity of a log, or take what is kept; the tables may be frames in memory.

    Parameters
    ----------
    settings : data.config.settings.Settings
        Roles of events, seats, and the state folder, where the daily tables are kept.
    tables : data.ingest.table_loader.Tables
        From :func:`data.ingest.table_loader.load_tables` or :func:`data.ingest.table_loader.tables_from_frames`.
    rebuild : bool
        Read the whole log again, whatever is kept of it.
    progress : callable, optional
        Told the stage, steps done, and steps in all.

    Returns
    -------
    features.activity.daily_tables.Activity
        What all features are computed from, beside the small tables.

    Raises
    ------
    data.errors.ExpansionError
        If the log cannot be read, or breaks its contract in too many rows.
    """
    daily_activity = daily_tables.build_activity(
        tables.events,
        folder=settings.state_folder / "activity",
        roles=settings.roles,
        seats=settings.seats,
        known_at_reliable_from=settings.tables.known_at_reliable_from,
        accounts=tables.accounts.rows,
        engine=settings.engine,
        rebuild=rebuild,
        progress=_bind_stage(progress, "log"),
    )
    schemas.enforce_quarantine_limit(
        "events",
        daily_activity.events,
        daily_activity.quarantine,
        settings.tables.max_quarantine_share,
    )
    return daily_activity


def resolve_as_of(
    settings: Settings, activity: Activity, *, now: datetime, requested: datetime | None = None
) -> datetime:
    """Decide the as-of: the one given, else the setting's day, today, or the end of the data.

    Returns
    -------
    datetime.datetime
        00:00 UTC.

    Raises
    ------
    data.errors.HistoryError
        If the one given lies in the future, or the log is empty.
    """
    if requested is not None:
        # East of Greenwich it is tomorrow already.
        if requested.date() > now.astimezone(UTC).date() + timedelta(days=1):
            raise HistoryError(
                f"the as-of {requested:%Y-%m-%d} lies in the future, and nothing is known of it; today"
                f" is {now.astimezone(UTC):%Y-%m-%d}."
            )
        return splits.utc_midnight(requested.date())
    if settings.as_of == "today":
        return splits.utc_midnight(now.astimezone(UTC).date())
    if settings.as_of == "data end":
        if activity.last_day is None:
            raise HistoryError("the log holds no valid event; see its quarantine.")
        return splits.utc_midnight(activity.last_day + timedelta(days=1))
    return splits.utc_midnight(settings.as_of)


def build_history(
    settings: Settings,
    tables: table_loader.Tables,
    activity: Activity,
    as_of: datetime,
    *,
    progress: ProgressCallback | None = None,
) -> TrainingHistory:
    """Build every snapshot that may be trained on at an as-of.

    As-ofs stand 30 days apart, back from the as-of; further weekly anchors are pooled where the
    settings say so. The first days of the log, as it was known then, are left out: everyone looks
    new in them.

    Raises
    ------
    data.errors.HistoryError
        If the log is too short to hold any.
    """
    if activity.first_day is None:
        raise HistoryError("the log holds no valid event; see its quarantine.")
    first_as_of = splits.utc_midnight(activity.first_day) + timedelta(
        days=settings.eligibility.burn_in_days
    )
    candidates = [
        moment
        for anchor in range(settings.model.weekly_anchors)
        for moment in _list_monthly_as_ofs(as_of - anchor * _WEEK, first_as_of)
    ]
    as_ofs = [
        moment
        for moment, began in zip(candidates, activity.log_start_as_known(candidates), strict=True)
        if began and (moment.date() - began).days >= settings.eligibility.burn_in_days
    ]
    if not as_ofs:
        raise HistoryError(
            f"the log starts on {activity.first_day}, and the first"
            f" {settings.eligibility.burn_in_days} days (eligibility.burn_in_days) are not trained"
            f" on: nothing is left before {as_of:%Y-%m-%d}."
        )
    history_panel = builder.build_panel(
        activity, tables, as_ofs, settings, progress=_bind_stage(progress, "features")
    )
    timeline = subscription_timeline.build_timeline(
        tables.subscriptions.rows,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    return TrainingHistory(as_of, tables, activity, history_panel, timeline)


def evaluate_history(
    history: TrainingHistory,
    settings: Settings,
    *,
    progress: ProgressCallback | None = None,
    on_fold: Callable[[Propensity, pl.DataFrame], object] | None = None,
) -> EvaluationResult:
    """Walk forward through a history; see :func:`training.evaluation.evaluate.evaluate_walk_forward`."""
    return evaluate.evaluate_walk_forward(
        history.panel.snapshots,
        history.contracts,
        settings,
        end=history.as_of,
        progress=_bind_stage(progress, "walk forward"),
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
    """Train on everything known at the as-of, with figures and calibration from the walk forward.

    Parameters
    ----------
    history : History
        From :func:`build_history`.
    settings : data.config.settings.Settings
        Outcome, model, evaluation and gate.
    champion : training.promotion.champion.Champion, optional
        Whose place the model would take.
    progress : callable, optional
        Told the stage, steps done, and steps in all.

    Returns
    -------
    TrainingResult
        Where the history is too short for a walk forward the model is uncalibrated, its evaluation
        is None, the gate refuses it, and its card says so.

    Raises
    ------
    data.errors.HistoryError
        If there is too little to learn from.
    """
    settings = team_capacity.with_team_capacity(settings, history.tables.accounts.rows)
    training_set = splits.build_training_set(
        history.panel.snapshots, history.contracts, history.as_of, settings.outcome
    )
    horizon_days = settings.outcome.horizon_days
    # Before the walk: what cannot be learned from is refused at once.
    fitted = propensity.fit_propensity(
        training_set.snapshots, training_set.outcomes, settings.model, horizon_days=horizon_days
    )
    churn_model = churn.train_churn_model(
        history.panel.snapshots, history.contracts, settings, end=history.as_of
    )
    fallback = fallback_ranking.train_fallback(
        history.panel.snapshots, history.contracts, settings, end=history.as_of
    )
    card = _build_card(history, training_set, settings) | {"churn_note": churn_model.note}
    try:
        evaluation = evaluate_history(history, settings, progress=progress)
    except HistoryError as error:
        decision = gate.reject_unevaluated(str(error))
        card |= {
            "verdict": f"Not judged: {error}",
            "gate": decision_to_dict(decision, champion),
        }
        return TrainingResult(fitted, churn_model, fallback, decision, None, card)
    decision = decide_promotion(
        evaluation.predictions,
        history.panel.snapshots,
        history.contracts,
        settings,
        end=history.as_of,
        champion=champion,
        progress=_bind_stage(progress, "the champion"),
    )
    card |= {
        "gate": decision_to_dict(decision, champion),
        "verdict": evaluation.summarize_verdict(),
        "figures": {
            ranking: {name: figure.value for name, figure in figures.items()}
            for ranking, figures in evaluation.metrics.items()
        },
        "bands": evaluation.bands,
        "segments": {
            kind: {name: asdict(each) for name, each in found.items()}
            for kind, found in evaluation.segment_metrics.items()
        },
        "cuts_skipped": {str(cut): reason for cut, reason in evaluation.skipped.items()},
    }
    if (blend_weight := evaluation.blend_weight) != fitted.blend_weight:
        fitted = propensity.fit_propensity(
            training_set.snapshots,
            training_set.outcomes,
            settings.model,
            horizon_days=horizon_days,
            blend_weight=blend_weight,
        )
    calibrated = fitted.with_calibration(evaluation.calibration)
    return TrainingResult(calibrated, churn_model, fallback, decision, evaluation, card)


def _build_card(
    history: TrainingHistory, training_set: splits.TrainingSet, settings: Settings
) -> dict[str, Any]:
    as_ofs = training_set.snapshots["as_of"]
    return {
        "as_of": f"{history.as_of:%Y-%m-%d}",
        "settings": settings.model.model_dump(mode="json"),
        "log": {
            "first_day": str(history.activity.first_day),
            "last_day": str(history.activity.last_day),
        },
        "events": history.activity.events,
        "snapshots": training_set.snapshots.height,
        "accounts": training_set.snapshots["account_id"].n_unique(),
        "as_ofs": {"first": str(as_ofs.min()), "last": str(as_ofs.max())},
        "expansion_sizes": expansion_size.estimate_increase_by_type(training_set.outcomes),
        "expansions_by_kind": dict(
            training_set.outcomes["kind"].drop_nulls().value_counts().sort("kind").iter_rows()
        ),
    }


def _list_monthly_as_ofs(anchor: datetime, first: datetime) -> list[datetime]:
    months = (anchor - first).days // MONTH_DAYS
    return [anchor - timedelta(days=MONTH_DAYS * back) for back in range(months + 1)]


def _bind_stage(progress: ProgressCallback | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
