"""Walk-forward evaluation of the model against baselines and reference models.

Each fold trains on what was known at its cutoff. Its calibration is fitted on predictions of
earlier folds whose labels had matured by then.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

import numpy as np
import polars as pl

from data.config.settings import Settings
from training import labels
from training.dataset.training_set import select_labelled
from training.evaluation import (
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
from training.evaluation.walk_forward import (
    KEYS,
    WalkForwardFold,
    fit_and_calibrate,
    predict_fold,
    run_walk_forward,
)
from training.metrics import dates, survival
from training.model import calibration, event_date, logistic, propensity
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
    """Run walk-forward validation and compute all metrics.

    Outcomes known before ``end``, UTC, are used for evaluation. ``on_fold`` is called with each
    fold's calibrated model and its test snapshots; the accounts table gives the segments. The rest
    is as for :func:`training.evaluation.walk_forward.run_walk_forward`.

    Raises
    ------
    data.errors.HistoryError
        If no fold could be trained and tested.
    """
    rules = settings.evaluation
    horizon = settings.outcome.horizon_days

    def predict(fold: WalkForwardFold[Propensity]) -> pl.DataFrame:
        if on_fold:
            on_fold(fold.model, fold.test_snapshots)
        reference_predictions = predict_reference_models(
            reference_models,
            fold.training_set,
            labels.expansion_label(horizon),
            fold.test_snapshots,
            inputs,
        )
        return _predict_fold_columns(fold, horizon, rules.capacity).with_columns(
            **reference_predictions
        )

    fold_predictions, skipped = run_walk_forward(
        snapshots,
        contracts,
        rules,
        settings.outcome,
        fit=partial(fit_and_calibrate, rules=settings.model, horizon_days=horizon, inputs=inputs),
        predict=predict,
        progress=progress,
    )
    selected_scores = (
        pl.when(pl.col("baseline") == name).then(name) for name in baselines.BASELINES
    )
    segment_names = segments.assign_segments(snapshots, contracts, settings.tables, accounts)
    observed = _observe_outcomes(snapshots, contracts, settings, end)
    predictions = (
        fold_predictions.join(observed, on=KEYS, how="left")
        .join(baselines.score_baselines(snapshots), on=KEYS, how="left")
        .join(segment_names, on=KEYS, how="left")
        .with_columns(baseline_score=pl.coalesce(selected_scores))
        .sort("as_of", "account_id")
    )
    default_weight = logistic.compute_default_blend_weight(
        observed["account_id"],
        labels.evaluate_label(observed, pl.col("expanded")),
        settings.model.blend_prior_accounts,
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
        skipped,
        *calibration.fit_blend_and_calibration(
            predictions.with_columns(label="expanded"), default_weight
        ),
        settings,
    )


def _predict_fold_columns(
    fold: WalkForwardFold[Propensity], horizon_days: int, capacity: int
) -> pl.DataFrame:
    """Return a fold's predictions with the constants and baselines selected on its training set."""
    label_expr = labels.expansion_label(horizon_days)
    best_feature = baselines.select_best_feature(fold.training_set, label_expr)
    within_180d = labels.expansion_label(labels.MAX_HORIZON_DAYS)
    event_days = fold.training_set.outcomes.filter(within_180d)["days_to_expansion"]
    constants = {
        "base_rate": float(np.mean(select_labelled(fold.training_set, label_expr)[1])),
        **dates.fit_constant_baseline(event_days),
    }
    incidence = fold.model.predict_cumulative_incidence(fold.test_snapshots)
    horizons = fold.model.horizons_days
    within = {f"within_{h}d": pl.Series(p) for h, p in zip(horizons, incidence.T, strict=True)}
    return predict_fold(fold).with_columns(
        **within | dates.build_date_columns(event_date.estimate_event_dates(incidence, horizons)),
        **{name: pl.lit(value) for name, value in constants.items()},
        days_to_limit=fold.test_snapshots.select(days=baselines.DAYS_TO_LIMIT)["days"],
        baseline=pl.lit(
            baselines.select_baseline(fold.training_set, label_expr, capacity=capacity)
        ),
        best_feature=pl.lit(
            f"{best_feature[0]}, {'highest' if best_feature[1] > 0 else 'lowest'} first"
        ),
        **{
            baselines.BEST_FEATURE: fold.test_snapshots.select(
                s=baselines.score_by_feature(*best_feature)
            )["s"]
        },
    )


def _observe_outcomes(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, end: datetime
) -> pl.DataFrame:
    """Return the outcome of each snapshot as known at the end."""
    observed = labels.build_outcomes(snapshots, contracts, cutoff=end, rules=settings.outcome)
    expanded = labels.expansion_label(settings.outcome.horizon_days)
    within_180d = labels.expansion_label(labels.MAX_HORIZON_DAYS)
    observed_days = pl.col("observed_days").clip(0, labels.MAX_HORIZON_DAYS)
    event_observed = (pl.col("days_to_expansion") < observed_days).fill_null(value=False)
    censored_days = pl.min_horizontal(observed_days, "days_to_ambiguous")
    return observed.select(
        *KEYS,
        expanded=expanded,
        expanded_180d=within_180d,
        days_to_expansion=pl.when(within_180d).then("days_to_expansion"),
        observed_days=observed_days,
        followup_days=pl.when(event_observed).then("days_to_expansion").otherwise(censored_days),
        event_observed=event_observed,
        arr_added=pl.when(expanded).then(_MONTHS * pl.col("mrr_added")).when(~expanded).then(0.0),
    )
