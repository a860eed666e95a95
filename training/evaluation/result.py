"""What a walk through history was worth: predictions, their figures, and a verdict in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from data.config.settings import Settings
from training.evaluation import caveats, metric_tables, segments
from training.evaluation.metric_tables import MODEL, MetricTable
from training.evaluation.power import PowerAnalysis
from training.evaluation.segments import SegmentMetrics
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.calibration import Calibration

__all__ = ["EvaluationResult"]

_PROMISING_SKILL = 0.05


@dataclass(frozen=True)
class EvaluationResult:
    """Walk-forward predictions and what they are worth.

    Attributes
    ----------
    predictions : polars.DataFrame
        One row per eligible account and judged as-of: ``account_id``, ``as_of``, ``cut``,
        ``expanded`` (null while unknown), ``probability``, ``low``, ``high``, ``margin``, the two
        that it blends, ``trees_margin`` and ``linear_margin``,
        ``base_rate`` (of the cut's training rows), and a column per simple ranking. For the dates
        ``within_14d`` and so on, the curve; ``early_days``, ``median_days`` and ``late_days``, the
        stated quantiles, the same with ``usual_`` before it, the constants that were best on what
        the cut knew, and ``days_to_limit`` by a straight line; ``expanded_180d``, null until the
        whole of the 180 days is known, and ``days_to_expansion`` of those that did. ``simple``
        names the simple ranking that was best on what the cut knew, and ``simple_score`` is its
        score, to be compared within an as-of only; ``best_column`` names the column of the
        catalogue that was, and ``best column so far`` holds its score. A column per learner holds
        its probability. ``known_days`` of what followed are known, 180 at most; in
        ``days_followed`` came an expansion or, where ``expansion_seen`` is false, none so far.
        ``arr_added`` is what the expansion within the horizon added to the yearly revenue, 0 where
        none came, null where that is not known. ``size``, ``plan``, ``tenure`` and, where it is
        stable, ``segment`` say of what kind the account was.
    metrics : mapping
        Ranking → figure name → value with interval; over all judged snapshots.
    date_metrics : mapping
        Figure name → value with interval; see :func:`training.metrics.dates.compute_date_metrics` and
        :func:`training.metrics.survival.compute_survival_metrics`.
    gain_over_best_baseline : training.metrics.summary.Figure
        Precision at capacity less that of the best simple ranking, on the same draws.
    bands : list of dict
        Band of probability → what was expected and observed; :func:`training.evaluation.probability_bands.compute_band_calibration`.
    skipped : mapping of datetime.date to str
        Cuts at which no model could be trained, with the reason.
    blend_weight : float
        The regressions' share of the margin, and
    calibration : training.model.calibration.Calibration
        fitted on all matured predictions: what a model trained at the end uses.
    settings : data.config.settings.Settings
        By which it was judged.
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
        known = self.predictions["expanded"].drop_nulls()
        return (
            f"Evaluation({self.predictions.height:,} predictions from"
            f" {self.predictions['cut'].n_unique()} cuts; {known.len():,} with a known outcome,"
            f" {known.sum():,} expanded)"
        )

    def best_baseline(self) -> str:
        """Name of the simple ranking with the highest precision at capacity."""
        return metric_tables.select_best_baseline(self.metrics)

    @cached_property
    def reference_metrics(self) -> MetricTable:
        """Learner → figure name → value with interval, as of the model."""
        return metric_tables.compute_reference_metrics(self.predictions, self.settings)

    @cached_property
    def metrics_by_cutoff(self) -> Mapping[date, MetricTable]:
        """Cut → the same figures of model, rankings and learners on what it judged."""
        return metric_tables.compute_metrics_by_cutoff(self.predictions, self.settings)

    @cached_property
    def segment_metrics(self) -> Mapping[str, Mapping[str, SegmentMetrics]]:
        """Size, plan, tenure, segment → kind of account → figures of the model."""
        return segments.compute_segment_metrics(self.predictions, self.settings)

    @cached_property
    def lift_by_decile(self) -> list[dict[str, Any]]:
        """Lift by tenth of the probability; :func:`training.evaluation.lift.compute_lift_by_decile`."""
        return metric_tables.compute_lift_by_decile(self.predictions, self.settings)

    @cached_property
    def power(self) -> PowerAnalysis:
        """How large a difference from the best simple ranking could have been shown."""
        return metric_tables.compute_power_against(
            self.predictions, self.best_baseline(), self.settings
        )

    @cached_property
    def gain_over_selected_baseline(self) -> MetricEstimate:
        """Precision at capacity less that of the simple ranking that each cut would have chosen."""
        return metric_tables.compute_precision_gain(self.predictions, "simple_score", self.settings)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the predictions, as JSON values; a figure is value, low and high."""
        best = {"ranking": self.best_baseline(), **asdict(self.gain_over_best_baseline)}
        return {
            "verdict": self.summarize_verdict(),
            "figures": _to_json(self.metrics),
            "learners": _to_json(self.reference_metrics),
            "date_figures": _to_json(self.date_metrics),
            "by_cut": {str(cut): _to_json(found) for cut, found in self.metrics_by_cutoff.items()},
            "segments": _to_json(self.segment_metrics),
            "lift": self.lift_by_decile,
            "bands": self.bands,
            "over_best_simple": best,
            "over_simple": asdict(self.gain_over_selected_baseline),
            "power": {**asdict(self.power), "said": str(self.power)},
            "notes": self.list_caveats(),
            "skipped": {str(cut): reason for cut, reason in self.skipped.items()},
        }

    def list_caveats(self) -> list[str]:
        """Say what could not be judged, or was assumed."""
        return caveats.list_caveats(self.predictions, self.settings)

    def to_metric_values(self) -> dict[str, float]:
        """Every figure of the model and of its dates as a plain number."""
        estimates = {**self.metrics[MODEL], **self.date_metrics}
        return {
            name: figure.value for name, figure in estimates.items() if figure.value is not None
        }

    def summarize_verdict(self) -> str:
        """Say in one sentence whether the model knows more than chance and the best rule."""
        model_metrics = self.metrics[MODEL]
        skill = model_metrics["log_loss_skill"]
        if skill.low is None or skill.value is None:
            return "Too little is known of the outcomes to judge the model."
        if skill.low <= 0 and skill.value < _PROMISING_SKILL:
            return (
                "Next to no usable signal was found: the model does not beat the base rate beyond"
                f" noise (log-loss skill {skill}, AUROC {model_metrics['auroc']})."
            )
        comparison = self._compare_with_best_baseline()
        if skill.low <= 0:
            expanded = self.predictions["expanded"].sum()
            return (
                f"The model may know something, but {expanded} expansions are too few to be sure"
                f" (log-loss skill {skill}, AUROC {model_metrics['auroc']}); {comparison}."
            )
        return f"The model beats the base rate (log-loss skill {skill}); {comparison}."

    def _compare_with_best_baseline(self) -> str:
        """Say whether the model wins, loses, or is level with the best simple ranking."""
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
            return "it cannot be compared with the simple rankings"
        word = "beats" if gain.low > 0 else "loses to" if gain.high < 0 else "is level with"
        return (
            f"at the team's capacity it {word} the best simple ranking in hindsight, {best}: of the"
            f" accounts worked {model_precision:.1%} expanded against {baseline_precision:.1%}, a difference of"
            f" {gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"
        )


def _to_json(value: Any) -> Any:  # noqa: ANN401 - figures, at any depth of mappings
    """Turn figures into JSON values."""
    if isinstance(value, Mapping):
        return {name: _to_json(each) for name, each in value.items()}
    return asdict(value)
