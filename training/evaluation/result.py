"""Evaluation result: walk-forward predictions, their metrics and a verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from data.config.settings import Settings
from training.evaluation import caveats, metric_tables, power, segments
from training.evaluation.metric_tables import MODEL, MetricTable
from training.evaluation.power import PowerAnalysis
from training.evaluation.segments import SegmentMetrics
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.calibration import Calibration

__all__ = ["EvaluationResult"]

_PROMISING_SKILL = 0.05


@dataclass(frozen=True)
class EvaluationResult:
    """Walk-forward predictions and their metrics.

    Attributes
    ----------
    predictions : polars.DataFrame
        One row per eligible account and test as-of. Keys and label: ``account_id``, ``as_of``,
        ``cutoff``, ``expanded`` (null while unknown). Model: ``probability``, ``low``, ``high``,
        ``margin``, its parts ``gbm_margin`` and ``logistic_margin``, and the cumulative incidence
        ``within_14d`` and so on. Dates: ``early_days``, ``median_days`` and ``late_days``, the
        predicted quantiles; the same with the prefix ``constant_``, the best constants of the
        training set; ``days_to_limit`` by linear extrapolation; ``expanded_180d``, null until all
        180 days are known; ``days_to_expansion``. Comparisons: ``base_rate`` of the training set, a
        column per baseline and per reference model, ``baseline`` (selected on the
        training set) and ``baseline_score`` (its score, comparable within an as-of only),
        ``best_feature`` (the best feature of the training set) and ``best feature so far`` (its
        score). Survival: ``observed_days`` of follow-up, at most 180; ``followup_days`` until the
        expansion or, where ``event_observed`` is false, the censoring. ``arr_added`` is the yearly
        revenue added by an expansion within the horizon, 0 without one, null where unknown.
        ``size``, ``plan``, ``tenure`` and, where configured, ``segment`` are the account's
        segments.
    metrics : mapping
        Ranking → metric name → estimate with interval; over all labelled test snapshots.
    date_metrics : mapping
        Metric name → estimate with interval; see
        :func:`training.metrics.dates.compute_date_metrics` and
        :func:`training.metrics.survival.compute_survival_metrics`.
    gain_over_best_baseline : training.metrics.cluster_bootstrap.MetricEstimate
        Precision at capacity minus that of the best baseline, on the same bootstrap replicates.
    bands : list of dict
        Expected and observed rate of each probability band;
        :func:`training.evaluation.probability_bands.compute_band_calibration`.
    skipped : mapping of datetime.date to str
        Cutoffs at which no model could be trained, with the reason.
    blend_weight : float
        Weight of the regressions in the margin, fitted on all matured predictions.
    calibration : training.model.calibration.Calibration
        Likewise; the model trained at the end uses both.
    """

    predictions: pl.DataFrame
    metrics: Mapping[str, Mapping[str, MetricEstimate]]
    date_metrics: Mapping[str, MetricEstimate]
    gain_over_best_baseline: MetricEstimate
    bands: list[dict[str, Any]]
    skipped: Mapping[date, str]
    blend_weight: float
    calibration: Calibration
    settings: Settings

    def __repr__(self) -> str:
        labels = self.predictions["expanded"].drop_nulls()
        return (
            f"EvaluationResult({self.predictions.height:,} predictions from"
            f" {self.predictions['cutoff'].n_unique()} cutoffs; {labels.len():,} with a known"
            f" outcome, {labels.sum():,} expanded)"
        )

    def best_baseline(self) -> str:
        """Return the name of the baseline with the highest precision at capacity."""
        return metric_tables.select_best_baseline(self.metrics)

    @cached_property
    def reference_metrics(self) -> MetricTable:
        """Metrics by reference model, as for the model."""
        return metric_tables.compute_reference_metrics(self.predictions, self.settings)

    @property
    def all_metrics(self) -> MetricTable:
        """Metrics of the model, the baselines and the reference models."""
        return {**self.metrics, **self.reference_metrics}

    @property
    def metrics_by_two_class_cutoff(self) -> dict[date, MetricTable]:
        """Metrics of every cutoff whose test snapshots contain both classes."""
        return {
            cutoff: table
            for cutoff, table in self.metrics_by_cutoff.items()
            if table[MODEL]["auroc"].value is not None
        }

    @cached_property
    def metrics_by_cutoff(self) -> Mapping[date, MetricTable]:
        """Metrics of model, baselines and reference models, by cutoff."""
        return metric_tables.compute_metrics_by_cutoff(self.predictions, self.settings)

    @cached_property
    def segment_metrics(self) -> Mapping[str, Mapping[str, SegmentMetrics]]:
        """Metrics of the model by segmentation (size, plan, tenure, segment) and segment."""
        return segments.compute_segment_metrics(self.predictions, self.settings)

    @cached_property
    def lift_by_decile(self) -> list[dict[str, Any]]:
        """Lift by decile of the probability."""
        rows, outcomes = metric_tables.select_labelled_predictions(self.predictions)
        return metric_tables.compute_lift_by_decile(
            rows["probability"].to_numpy(),
            outcomes,
            resamples=self.settings.evaluation.n_bootstrap,
            seed=self.settings.model.seed,
        )

    @cached_property
    def power(self) -> PowerAnalysis:
        """Minimum detectable difference from the best baseline."""
        best = self.best_baseline()
        return power.analyze_power(
            best, metric_tables.compute_paired_differences(self.predictions, best, self.settings)
        )

    @cached_property
    def gain_over_selected_baseline(self) -> MetricEstimate:
        """Precision at capacity minus that of the baseline selected at each cutoff."""
        return metric_tables.compute_precision_gain(
            self.predictions, "baseline_score", self.settings
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the predictions as JSON values."""
        best = {"ranking": self.best_baseline(), **asdict(self.gain_over_best_baseline)}
        return {
            "verdict": self.summarize_verdict(),
            "metrics": _to_json(self.metrics),
            "reference_models": _to_json(self.reference_metrics),
            "date_metrics": _to_json(self.date_metrics),
            "by_cutoff": {
                str(cutoff): _to_json(table) for cutoff, table in self.metrics_by_cutoff.items()
            },
            "segments": _to_json(self.segment_metrics),
            "lift": self.lift_by_decile,
            "bands": self.bands,
            "precision_gain_over_best_baseline": best,
            "precision_gain_over_selected_baseline": asdict(self.gain_over_selected_baseline),
            "power": {**asdict(self.power), "summary": str(self.power)},
            "notes": self.list_caveats(),
            "skipped": {str(cutoff): reason for cutoff, reason in self.skipped.items()},
        }

    def list_caveats(self) -> list[str]:
        """List assumptions and what could not be evaluated."""
        return caveats.list_caveats(self.predictions, self.settings.evaluation)

    def to_metric_values(self) -> dict[str, float]:
        """Return the metrics of the model and of its dates as plain numbers."""
        estimates = {**self.metrics[MODEL], **self.date_metrics}
        return {
            name: estimate.value
            for name, estimate in estimates.items()
            if estimate.value is not None
        }

    def summarize_verdict(self) -> str:
        """Summarise in one sentence whether the model beats the base rate and the best baseline."""
        model_metrics = self.metrics[MODEL]
        skill = model_metrics["log_loss_skill"]
        if skill.low is None or skill.value is None:
            return "Too few outcomes are known to evaluate the model."
        if skill.low <= 0 and skill.value < _PROMISING_SKILL:
            return (
                "No usable signal was found: the model does not significantly beat the base rate"
                f" (log-loss skill {skill}, AUROC {model_metrics['auroc']})."
            )
        comparison = self._compare_with_best_baseline()
        if skill.low <= 0:
            expanded = self.predictions["expanded"].sum()
            return (
                f"The model may have skill, but {expanded} expansions are too few to be certain"
                f" (log-loss skill {skill}, AUROC {model_metrics['auroc']}); {comparison}."
            )
        return f"The model beats the base rate (log-loss skill {skill}); {comparison}."

    def _compare_with_best_baseline(self) -> str:
        """Describe whether the model beats, loses to, or is level with the best baseline."""
        gain, best = self.gain_over_best_baseline, self.best_baseline()
        model_precision, baseline_precision = (
            self.metrics[n]["precision_at_capacity"].value for n in (MODEL, best)
        )
        if (
            gain.low is None
            or gain.high is None
            or model_precision is None
            or baseline_precision is None
        ):
            return "it cannot be compared with the baselines"
        verb = "beats" if gain.low > 0 else "loses to" if gain.high < 0 else "is level with"
        return (
            f"at the team's capacity it {verb} the best baseline in hindsight, {best}: precision"
            f" {model_precision:.1%} against {baseline_precision:.1%}, a difference of"
            f" {gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"
        )


def _to_json(value: Any) -> Any:  # noqa: ANN401 - estimates, at any depth
    """Convert metric estimates, at any depth of mappings, to JSON values."""
    if isinstance(value, Mapping):
        return {name: _to_json(item) for name, item in value.items()}
    return asdict(value)
