"""What the model would have been worth: a walk through history beside the simple rankings.

Every cut trains on what was known then and judges what came after it. The calibration of a cut is
fitted on the predictions of earlier cuts whose outcome the cut already knew.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from data.config.settings import Settings
from training import labels
from training.evaluation import (
    baseline_selection,
    baselines,
    metric_tables,
    probability_bands,
    segments,
)
from training.evaluation.metric_tables import MODEL, compute_metric_table
from training.evaluation.reference_models import (
    REFERENCE_MODELS,
    ReferenceModel,
    predict_reference_models,
)
from training.evaluation.result import EvaluationResult
from training.evaluation.splits import TrainingSet
from training.evaluation.walk_forward import (
    KEYS,
    WalkForwardFold,
    fit_and_calibrate,
    predict_fold,
    run_walk_forward,
    select_blend_and_calibration,
)
from training.metrics import dates, survival
from training.model import event_date, logistic, propensity
from training.model.propensity import Propensity

__all__ = ["MODEL", "EvaluationResult", "compute_metric_table", "evaluate_walk_forward"]

_MONTHS = 12


def evaluate_walk_forward(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    inputs: Sequence[str] = propensity.INPUTS,
    progress: Callable[[int, int], None] | None = None,
    on_fold: Callable[[Propensity, pl.DataFrame], object] | None = None,
    accounts: pl.DataFrame | None = None,
    reference_models: Mapping[str, ReferenceModel] = REFERENCE_MODELS,
) -> EvaluationResult:
    """Walk forward through the history and judge every cut's model on what came after.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    settings : data.config.settings.Settings
        Outcome, model and evaluation.
    end : datetime.datetime
        What is known before this moment, UTC, judges.
    inputs : sequence of str
        Columns the model may read.
    progress : callable, optional
        Told cuts done and cuts in all.
    on_fold : callable, optional
        Handed each cut's model, calibrated, and the snapshots it judges.
    accounts : polars.DataFrame, optional
        The accounts table, for their segments.
    reference_models : mapping of str to callable
        What else learns at each cut; :data:`training.evaluation.reference_models.REFERENCE_MODELS`.

    Returns
    -------
    Evaluation
        Predictions, figures with intervals, and the calibration they support.

    Raises
    ------
    data.errors.HistoryError
        If no cut could be trained and judged.
    """
    rules = settings.evaluation
    horizon = settings.outcome.horizon_days

    def fit(training_set: TrainingSet, past_predictions: pl.DataFrame | None) -> Propensity:
        return fit_and_calibrate(
            training_set, past_predictions, settings.model, horizon_days=horizon, inputs=inputs
        )

    def predict(fold: WalkForwardFold[Propensity]) -> pl.DataFrame:
        if on_fold:
            on_fold(fold.model, fold.test_snapshots)
        reference_predictions = predict_reference_models(
            reference_models,
            fold.training_set,
            labels.expanded_within(horizon),
            fold.test_snapshots,
            tuple(inputs),
        )
        return _predict_fold_columns(fold, horizon, rules.capacity).with_columns(
            **reference_predictions
        )

    result = run_walk_forward(
        snapshots,
        contracts,
        settings,
        fit=fit,
        predict=predict,
        progress=progress,
    )
    observed = _observe_outcomes(snapshots, contracts, settings, end)
    predictions = (
        result.predictions.join(observed, on=KEYS, how="left")
        .join(baselines.score_baselines(snapshots), on=KEYS, how="left")
        .join(
            segments.assign_segments(snapshots, contracts, settings, accounts), on=KEYS, how="left"
        )
        .with_columns(simple_score=_selected_baseline_score())
        .sort("as_of", "account_id")
    )
    label = observed["expanded"].cast(pl.Float64).to_numpy()
    default_weight = logistic.compute_default_blend_weight(
        observed["account_id"], label, settings.model.blend_prior_accounts
    )
    metric_table = compute_metric_table(predictions, settings)
    bootstrap = {"resamples": rules.n_bootstrap, "seed": settings.model.seed}
    return EvaluationResult(
        predictions,
        metric_table,
        dates.compute_date_metrics(predictions, **bootstrap)
        | survival.compute_survival_metrics(predictions, **bootstrap),
        metric_tables.compute_precision_gain(
            predictions, metric_tables.select_best_baseline(metric_table), settings
        ),
        probability_bands.compute_band_calibration(predictions, **bootstrap),
        result.skipped,
        *select_blend_and_calibration(
            predictions.with_columns(happened="expanded"), default_weight
        ),
        settings,
    )


def _selected_baseline_score() -> pl.Expr:
    """The score of the ranking that a row names."""
    return pl.coalesce(pl.when(pl.col("simple") == name).then(name) for name in baselines.BASELINES)


def _predict_fold_columns(
    fold: WalkForwardFold[Propensity], horizon_days: int, capacity: int
) -> pl.DataFrame:
    """What a cut's model says of the snapshots it judges, beside what the cut knew."""
    training_outcomes = fold.training_set.outcomes
    label = training_outcomes.select(expanded=labels.expanded_within(horizon_days))["expanded"]
    best_feature = baseline_selection.select_best_feature(
        fold.training_set, labels.expanded_within(horizon_days)
    )
    event_days = training_outcomes.filter(labels.expanded_within(labels.MAX_HORIZON_DAYS))[
        "days_to_expansion"
    ]
    constants = {
        "base_rate": float(np.mean(label.drop_nulls().to_numpy())),
        **dates.fit_constant_baseline(event_days),
    }
    incidence, horizons = (
        fold.model.predict_cumulative_incidence(fold.test_snapshots),
        fold.model.horizons_days,
    )
    within = {f"within_{h}d": pl.Series(p) for h, p in zip(horizons, incidence.T, strict=True)}
    return predict_fold(fold).with_columns(
        **within | dates.build_date_columns(event_date.estimate_event_dates(incidence, horizons)),
        **{name: pl.lit(value) for name, value in constants.items()},
        days_to_limit=fold.test_snapshots.select(days=baselines.DAYS_TO_LIMIT)["days"],
        simple=pl.lit(
            baseline_selection.select_baseline(
                fold.training_set, labels.expanded_within(horizon_days), capacity=capacity
            )
        ),
        best_column=pl.lit(
            f"{best_feature[0]}, {'highest' if best_feature[1] > 0 else 'lowest'} first"
        ),
        **{
            baseline_selection.BEST_FEATURE: fold.test_snapshots.select(
                s=baseline_selection.score_by_feature(*best_feature)
            )["s"]
        },
    )


def _observe_outcomes(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, end: datetime
) -> pl.DataFrame:
    """What became of each snapshot, as far as it is known at the end."""
    observed = labels.build_outcomes(snapshots, contracts, cutoff=end, rules=settings.outcome)
    expanded = labels.expanded_within(settings.outcome.horizon_days)
    within_180d = labels.expanded_within(labels.MAX_HORIZON_DAYS)
    known_days = pl.col("known_days").clip(0, labels.MAX_HORIZON_DAYS)
    event_observed = (pl.col("days_to_expansion") < known_days).fill_null(value=False)
    censored_days = pl.min_horizontal(known_days, "days_to_unclear")
    return observed.select(
        *KEYS,
        expanded=expanded,
        expanded_180d=within_180d,
        days_to_expansion=pl.when(within_180d).then("days_to_expansion"),
        known_days=known_days,
        days_followed=pl.when(event_observed).then("days_to_expansion").otherwise(censored_days),
        expansion_seen=event_observed,
        arr_added=pl.when(expanded).then(_MONTHS * pl.col("mrr_added")).when(~expanded).then(0.0),
    )
