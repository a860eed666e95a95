"""Terminal tables of an evaluation, CSM feedback and training exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from serving.cli.output.terminal import format_share, stdout

if TYPE_CHECKING:
    from training.evaluation.evaluate import EvaluationResult
    from training.metrics.summary import MetricEstimate
    from training.promotion.champion_comparison import ChampionComparison

__all__ = [
    "print_control_features",
    "print_evaluation",
    "print_evaluation_details",
    "print_exclusions",
    "print_feedback_outcomes",
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
_MONEY = ("arr_at_capacity",)
_BASELINE_METRICS = ("auroc", "average_precision", "precision_at_capacity")
_REFERENCE_METRICS = ("auroc", "average_precision", "precision_at_capacity", "log_loss_skill")
_CUTOFF_METRICS = ("auroc", "precision_at_capacity", "log_loss_skill", "observed_to_expected")
_THIRDS = ("lowest", "middle", "highest")


def print_evaluation(evaluation: EvaluationResult) -> None:
    """Print the metrics of the model, the baselines and the reference models."""
    model_metrics = evaluation.metrics["model"]
    _print_metrics(
        "Model, walk-forward validation; 90 % intervals over accounts and cutoffs",
        model_metrics,
        _METRICS,
    )
    _print_comparison("Baselines", evaluation.metrics, _BASELINE_METRICS)
    if evaluation.reference_metrics:
        _print_comparison(
            "Reference models with default settings",
            evaluation.reference_metrics,
            _REFERENCE_METRICS,
        )
    _print_date_metrics(evaluation.date_metrics)
    _print_bands(evaluation.bands)
    labels = evaluation.predictions["expanded"].drop_nulls()
    _print_line(
        f"{evaluation.predictions.height:,} predictions from"
        f" {evaluation.predictions['cutoff'].n_unique()} cutoffs; {len(labels):,} with a known"
        f" outcome, {labels.sum():,} expanded."
    )
    for cutoff, reason in evaluation.skipped.items():
        _print_line(f"cutoff {cutoff} skipped: {reason}")
    stdout.print(evaluation.summarize_verdict(), highlight=False, style="bold")


def print_evaluation_details(
    evaluation: EvaluationResult, capacity: str, comparison: ChampionComparison | None
) -> None:
    """Print lift, cutoffs, segments, power, and the comparison with the champion."""
    _print_lift(evaluation.lift_by_decile)
    _print_cutoffs(evaluation)
    _print_segments(evaluation)
    if evaluation.gain_over_selected_baseline.value is not None:
        _print_line(
            "Gain in precision at capacity over the baselines selected at each cutoff"
            f" ({_list_selected_baselines(evaluation)}): {evaluation.gain_over_selected_baseline}"
        )
    _print_line(str(evaluation.power))
    if comparison is not None:
        _print_line(comparison.note)
    if comparison is not None and comparison.metrics:
        champion_metrics = ", ".join(
            f"{_METRICS[name]} {comparison.metrics[name]}" for name in _REFERENCE_METRICS
        )
        _print_line(
            f"The champion's settings: {champion_metrics}; precision gain of the model:"
            f" {comparison.precision_gain}."
        )
    _print_line(f"Capacity: {capacity}")
    for note in evaluation.list_caveats():
        if note != capacity:
            _print_line(note)


def print_feedback_outcomes(feedback: Sequence[Mapping[str, Any]], errors: Sequence[str]) -> None:
    """Print CSM feedback with the actual contract outcomes."""
    table = Table(title="CSM feedback and actual contract outcomes")
    for name in ("feedback", "entries", "expected rate", "labelled", "expanded"):
        table.add_column(name)
    for row in feedback:
        expected = "" if row["expected"] is None else format_share(row["expected"])
        counts = (f"{row[name]:,}" for name in ("labelled", "expanded"))
        table.add_row(row["verdict"], f"{row['entries']:,}", expected, *counts)
    if table.row_count:
        stdout.print(table)
    for error in errors:
        _print_line(error)


def print_control_features(control_gains: Mapping[str, MetricEstimate]) -> None:
    """Print the metrics of a model that also uses the control features."""
    if control_gains:
        metrics = ", ".join(f"{_METRICS[name]} {metric}" for name, metric in control_gains.items())
        _print_line(f"With logins, tickets and NPS as additional features: {metrics}")


def print_exclusions(account: str, periods: Sequence[Mapping[str, Any]]) -> None:
    """Print the periods of one account that were used for training, and the reasons for others."""
    table = Table("as of", "rows", "used", "reason", title=escape(account))
    for period in periods:
        span = str(period["first"])
        if period["rows"] > 1:
            span = f"{period['first']} to {period['last']}"
        used = "yes" if period["used"] else "no"
        table.add_row(span, str(period["rows"]), used, period["reason"])
    stdout.print(table)


def _print_metrics(
    title: str, metrics: Mapping[str, MetricEstimate], names: Mapping[str, str]
) -> None:
    """Print the metrics of one score, one per line."""
    table = Table("metric", "value", "90 % interval", title=title)
    for name, label in names.items():
        if name in metrics and metrics[name].value is not None:
            value, low, high = (
                _format_number(name, bound)
                for bound in (metrics[name].value, metrics[name].low, metrics[name].high)
            )
            table.add_row(label, value, f"{low} to {high}" if low else "")
    if table.row_count:
        stdout.print(table)


def _print_comparison(
    title: str, metrics_by_ranking: Mapping[str, Mapping[str, MetricEstimate]], names: Sequence[str]
) -> None:
    """Print a few metrics of several scores."""
    table = Table(title=title)
    table.add_column("ranking", max_width=31)
    for name in names:
        table.add_column(_METRICS[name], no_wrap=False)
    for ranking, metrics in metrics_by_ranking.items():
        style = "bold" if ranking == "model" else ""
        table.add_row(ranking, *(_format_cell(metrics[name]) for name in names), style=style)
    stdout.print(table)


def _print_lift(deciles: Sequence[Mapping[str, Any]]) -> None:
    """Print the lift of each decile."""
    table = Table("decile", "snapshots", "expanded", "rate", "lift", title="Lift by decile")
    for row in deciles:
        interval = "" if row["low"] is None else f"  {row['low']:.1f}–{row['high']:.1f}"
        lift = "n/a" if row["value"] is None else f"{row['value']:.1f}{interval}"
        counts = (f"{row[name]:,.0f}" for name in ("snapshots", "expanded"))
        table.add_row(str(row["decile"]), *counts, format_share(row["rate"]), lift)
    if deciles:
        stdout.print(table)


def _print_cutoffs(evaluation: EvaluationResult) -> None:
    """Print the model's metrics at every cutoff."""
    table = Table(title="Model metrics at each cutoff")
    for name in ("cutoff", "rows", "expanded", *(_METRICS[name] for name in _CUTOFF_METRICS)):
        table.add_column(name)
    for cutoff, metrics in evaluation.metrics_by_cutoff.items():
        at_cutoff = evaluation.predictions.filter(evaluation.predictions["cutoff"] == cutoff)
        labels = at_cutoff["expanded"].drop_nulls()
        cells = (_format_cell(metrics["model"][name]) for name in _CUTOFF_METRICS)
        table.add_row(str(cutoff), f"{len(labels):,}", f"{labels.sum():,}", *cells)
    if table.row_count:
        stdout.print(table)


def _print_segments(evaluation: EvaluationResult) -> None:
    """Print the model's metrics for every segment."""
    table = Table(title="Metrics by segment; precision within overall capacity")
    for name in (
        "segment",
        "",
        "evaluated",
        "expanded",
        "AUROC",
        "precision",
        "observed ÷ expected",
    ):
        table.add_column(name)
    for kind, segments in evaluation.segment_metrics.items():
        for index, (name, segment) in enumerate(segments.items()):
            metrics = segment.metrics
            cells = ("auroc", "precision_at_capacity", "observed_to_expected")
            table.add_row(
                "" if index else kind,
                escape(name),
                f"{segment.snapshots:,}",
                f"{segment.expanded:,}",
                *(_format_cell(metrics[cell]) for cell in cells),
            )
    if table.row_count:
        stdout.print(table)


def _print_bands(bands: Sequence[Mapping[str, Any]]) -> None:
    """Print expected and observed rates of each probability band."""
    table = Table("band", "snapshots", "expected", "expanded", title="By probability band")
    for band in bands:
        interval = f"({format_share(band['low'])} – {format_share(band['high'])})"
        observed = f"{format_share(band['value'])} {interval}"
        expected = format_share(band["expected"])
        table.add_row(band["band"], f"{band['snapshots']:,}", expected, observed)
    if bands:
        stdout.print(table)


def _print_date_metrics(metrics: Mapping[str, MetricEstimate]) -> None:
    """Print the errors of the expected dates, where expansions have been observed."""
    _print_metrics("Cumulative incidence and dates", metrics, _DATE_METRICS)
    error, baseline, line = (
        metrics[f"date_mae_days{rival}"] for rival in ("", "_constant", "_linear")
    )
    if error.value is None:
        return
    _print_line(
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
    _print_line(
        f"coverage of the 80 % interval of the date: {metrics['date_coverage']}; by probability"
        f" tercile: {coverage_text}; width in days: {width_text}"
    )


def _list_selected_baselines(evaluation: EvaluationResult) -> str:
    """Return the names of the baselines selected at the cutoffs."""
    return ", ".join(evaluation.predictions["baseline"].unique(maintain_order=True))


def _print_line(text: str) -> None:
    stdout.print(escape(text), highlight=False)


def _format_number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if name in _MONEY else f"{value:.3f}"


def _format_cell(estimate: MetricEstimate) -> str:
    if estimate.value is None or estimate.low is None:
        return str(estimate)
    return f"{estimate.value:.3f}  {estimate.low:.2f}–{estimate.high:.2f}"
