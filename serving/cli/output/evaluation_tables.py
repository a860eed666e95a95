"""Terminal output of trained models: evaluation, gate decision, CSM feedback and exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Column
from rich.text import Text

from serving.cli.output.terminal import format_share, print_line, print_table

if TYPE_CHECKING:
    from training.evaluation.evaluate import EvaluationResult
    from training.metrics.summary import MetricEstimate
    from training.promotion.champion import ChampionComparison
    from training.promotion.gate import GateDecision
    from training.registry import ModelAliases, Promotion

__all__ = [
    "print_control_features",
    "print_evaluation",
    "print_evaluation_details",
    "print_exclusions",
    "print_feedback_outcomes",
    "print_gate_decision",
    "print_promotion",
]

_METRICS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_capacity": "precision at capacity",
    "recall_at_capacity": "recall at capacity",
    "arr_at_capacity": "yearly revenue added by accounts within capacity, per as-of date",
    "log_loss": "log loss",
    "log_loss_skill": "log-loss skill",
    "brier": "Brier",
    "brier_skill": "Brier skill",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "observed_to_expected": "observed ÷ expected",
}
_DATE_METRICS = {
    "integrated_brier": "integrated Brier score",
    "integrated_brier_skill": "skill over the observed base rates",
    "concordance": "concordance index",
}
_BASELINE_METRICS = ("auroc", "average_precision", "precision_at_capacity")
_REFERENCE_METRICS = (*_BASELINE_METRICS, "log_loss_skill")
_CUTOFF_METRICS = ("auroc", "precision_at_capacity", "log_loss_skill", "observed_to_expected")
_SEGMENT_METRICS = ("auroc", "precision_at_capacity", "observed_to_expected")
_THIRDS = ("lowest", "middle", "highest")


def print_evaluation(evaluation: EvaluationResult) -> None:
    """Print the metrics of the model, the baselines and the reference models."""
    _print_metrics(
        "Model, walk-forward validation; 90 % intervals over accounts and cutoffs",
        evaluation.metrics["model"],
        _METRICS,
    )
    _print_comparison("Baselines", evaluation.metrics, _BASELINE_METRICS)
    _print_comparison(
        "Reference models with default settings", evaluation.reference_metrics, _REFERENCE_METRICS
    )
    _print_metrics("Cumulative incidence and dates", evaluation.date_metrics, _DATE_METRICS)
    _print_date_errors(evaluation.date_metrics)
    print_table(
        "By probability band",
        ["band", "snapshots", "expected", "expanded"],
        [
            (
                band["band"],
                f"{band['snapshots']:,}",
                format_share(band["expected"]),
                f"{format_share(band['value'])} ({format_share(band['low'])} –"
                f" {format_share(band['high'])})",
            )
            for band in evaluation.bands
        ],
    )
    labels = evaluation.predictions["expanded"].drop_nulls()
    print_line(
        f"{evaluation.predictions.height:,} predictions from"
        f" {evaluation.predictions['cutoff'].n_unique()} cutoffs; {len(labels):,} with a known"
        f" outcome, {labels.sum():,} expanded."
    )
    for cutoff, reason in evaluation.skipped.items():
        print_line(f"cutoff {cutoff} skipped: {reason}")
    print_line(evaluation.summarize_verdict(), "bold")


def print_evaluation_details(
    evaluation: EvaluationResult, capacity: str, comparison: ChampionComparison | None
) -> None:
    """Print lift, cutoffs, segments, power, and the comparison with the champion."""
    print_table(
        "Lift by decile",
        ["decile", "snapshots", "expanded", "rate", "lift"],
        [
            (
                str(row["decile"]),
                f"{row['snapshots']:,.0f}",
                f"{row['expanded']:,.0f}",
                format_share(row["rate"]),
                _format_lift(row),
            )
            for row in evaluation.lift_by_decile
        ],
    )
    _print_cutoffs(evaluation)
    _print_segments(evaluation)
    if evaluation.gain_over_selected_baseline.value is not None:
        baselines = ", ".join(evaluation.predictions["baseline"].unique(maintain_order=True))
        print_line(
            "Gain in precision at capacity over the baselines selected at each cutoff"
            f" ({baselines}): {evaluation.gain_over_selected_baseline}"
        )
    print_line(str(evaluation.power))
    if comparison is not None:
        print_line(comparison.note)
    if comparison is not None and comparison.metrics:
        champion_metrics = ", ".join(
            f"{_METRICS[name]} {comparison.metrics[name]}" for name in _REFERENCE_METRICS
        )
        print_line(
            f"The champion's settings: {champion_metrics}; precision gain of the model:"
            f" {comparison.precision_gain}."
        )
    print_line(f"Capacity: {capacity}")
    for note in evaluation.list_caveats():
        if note != capacity:
            print_line(note)


def print_feedback_outcomes(feedback: Sequence[Mapping[str, Any]], errors: Sequence[str]) -> None:
    """Print CSM feedback with the actual contract outcomes."""
    print_table(
        "CSM feedback and actual contract outcomes",
        ["feedback", "entries", "expected rate", "labelled", "expanded"],
        [
            (
                row["verdict"],
                f"{row['entries']:,}",
                "" if row["expected"] is None else format_share(row["expected"]),
                f"{row['labelled']:,}",
                f"{row['expanded']:,}",
            )
            for row in feedback
        ],
    )
    for error in errors:
        print_line(error)


def print_control_features(control_gains: Mapping[str, MetricEstimate]) -> None:
    """Print the metrics of a model that also uses the control features."""
    if control_gains:
        metrics = ", ".join(f"{_METRICS[name]} {metric}" for name, metric in control_gains.items())
        print_line(f"With logins, tickets and NPS as additional features: {metrics}")


def print_exclusions(account: str, periods: Sequence[Mapping[str, Any]]) -> None:
    """Print the periods of one account that were used for training, and the reasons for others."""
    print_table(
        account,
        ["as of", "rows", "used", "reason"],
        [
            (
                f"{period['first']}" + (f" to {period['last']}" if period["rows"] > 1 else ""),
                str(period["rows"]),
                "yes" if period["used"] else "no",
                period["reason"],
            )
            for period in periods
        ],
    )


def print_gate_decision(
    decision: GateDecision, fallback: str, version: str, aliases: ModelAliases
) -> None:
    """Print the gate decision on a new version, and the model that ranks the list now."""
    for sentence in (decision.summary, *decision.notes):
        print_line(sentence)
    if aliases.champion == version:
        status = f"Version {version} is the champion and ranks the weekly list."
    elif aliases.champion is None:
        status = (
            f"Version {version} is the challenger, and there is no champion: the best baseline"
            f" ranks the weekly list, {fallback}, with a probability calibrated on past outcomes."
        )
    else:
        status = (
            f"Version {version} is the challenger, and version {aliases.champion} remains the"
            " champion."
        )
    print_line(status, "bold")


def print_promotion(promotion: Promotion) -> None:
    """Print a change of champion."""
    previous = "" if promotion.previous is None else f" in place of version {promotion.previous}"
    forced = ", against the gate" if promotion.forced else ""
    print_line(f"Version {promotion.version} is the champion{previous}{forced}: {promotion.reason}")


def _print_metrics(
    title: str, metrics: Mapping[str, MetricEstimate], names: Mapping[str, str]
) -> None:
    """Print the metrics of one score, one per line."""
    print_table(
        title,
        ["metric", "value", "90 % interval"],
        [
            (
                label,
                *_format_estimate(metrics[name], ",.0f" if name == "arr_at_capacity" else ".3f"),
            )
            for name, label in names.items()
            if name in metrics and metrics[name].value is not None
        ],
    )


def _print_comparison(
    title: str, metrics_by_ranking: Mapping[str, Mapping[str, MetricEstimate]], names: Sequence[str]
) -> None:
    """Print a few metrics of several scores."""
    print_table(
        title,
        [Column("ranking", max_width=31), *(_METRICS[name] for name in names)],
        [
            [
                Text(cell, "bold" if ranking == "model" else "")
                for cell in (ranking, *(_format_cell(metrics[name]) for name in names))
            ]
            for ranking, metrics in metrics_by_ranking.items()
        ],
    )


def _print_cutoffs(evaluation: EvaluationResult) -> None:
    """Print the model's metrics at every cutoff."""
    rows = []
    for cutoff, metrics in evaluation.metrics_by_cutoff.items():
        at_cutoff = evaluation.predictions.filter(evaluation.predictions["cutoff"] == cutoff)
        labels = at_cutoff["expanded"].drop_nulls()
        cells = (_format_cell(metrics["model"][name]) for name in _CUTOFF_METRICS)
        rows.append((str(cutoff), f"{len(labels):,}", f"{labels.sum():,}", *cells))
    columns = ["cutoff", "rows", "expanded", *(_METRICS[name] for name in _CUTOFF_METRICS)]
    print_table("Model metrics at each cutoff", columns, rows)


def _print_segments(evaluation: EvaluationResult) -> None:
    """Print the model's metrics for every segment."""
    print_table(
        "Metrics by segment; precision within overall capacity",
        ["segment", "", "evaluated", "expanded", "AUROC", "precision", "observed ÷ expected"],
        [
            (
                "" if index else kind,
                name,
                f"{segment.snapshots:,}",
                f"{segment.expanded:,}",
                *(_format_cell(segment.metrics[metric]) for metric in _SEGMENT_METRICS),
            )
            for kind, segments in evaluation.segment_metrics.items()
            for index, (name, segment) in enumerate(segments.items())
        ],
    )


def _print_date_errors(metrics: Mapping[str, MetricEstimate]) -> None:
    """Print the errors of the expected dates, where expansions have been observed."""
    error, baseline, line = (
        metrics[f"date_mae_days{rival}"] for rival in ("", "_constant", "_linear")
    )
    if error.value is None:
        return
    print_line(
        f"mean absolute error of the expected date: {error.value:.0f} days, for expansions within"
        " 180 days;"
        f" constant baseline {baseline.value:.0f}, linear extrapolation to the limit"
        f" {line.value:.0f};"
        f" skill: {metrics['date_skill_over_constant']} and {metrics['date_skill_over_linear']}"
    )
    coverages = (metrics[f"date_coverage_{third}"].value for third in _THIRDS)
    widths = (metrics[f"date_width_days_{third}"].value for third in _THIRDS)
    coverage_text = ", ".join("n/a" if third is None else f"{third:.0%}" for third in coverages)
    width_text = ", ".join("n/a" if third is None else f"{third:.0f}" for third in widths)
    print_line(
        f"coverage of the 80 % interval of the date: {metrics['date_coverage']}; by probability"
        f" tercile: {coverage_text}; width in days: {width_text}"
    )


def _format_estimate(estimate: MetricEstimate, number_format: str) -> tuple[str, str]:
    """Format a metric and its interval, which may be missing."""
    value, low, high = (
        "" if bound is None else format(bound, number_format)
        for bound in (estimate.value, estimate.low, estimate.high)
    )
    return value, f"{low} to {high}" if low else ""


def _format_cell(estimate: MetricEstimate) -> str:
    if estimate.value is None or estimate.low is None:
        return str(estimate)
    return f"{estimate.value:.3f}  {estimate.low:.2f}–{estimate.high:.2f}"


def _format_lift(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "n/a"
    interval = "" if row["low"] is None else f"  {row['low']:.1f}–{row['high']:.1f}"
    return f"{row['value']:.1f}{interval}"
