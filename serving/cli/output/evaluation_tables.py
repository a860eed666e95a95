"""What a data scientist reads in the terminal: the figures, and what was trained on."""

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
    "arr_at_capacity": "yearly revenue added by the worked accounts, per as-of",
    "log_loss": "log loss",
    "log_loss_skill": "log-loss skill",
    "brier": "Brier",
    "brier_skill": "Brier skill",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "observed_to_expected": "observed ÷ expected",
}
_DATE_METRICS = {
    "integrated_brier": "Brier integrated over the horizons",
    "integrated_brier_skill": "its skill over the rates in hindsight",
    "concordance": "concordance of who expands first",
}
_MONEY = ("arr_at_capacity",)
_BASELINE_METRICS = ("auroc", "average_precision", "precision_at_capacity")
_REFERENCE_METRICS = ("auroc", "average_precision", "precision_at_capacity", "log_loss_skill")
_CUTOFF_METRICS = ("auroc", "precision_at_capacity", "log_loss_skill", "observed_to_expected")
_THIRDS = ("lowest", "middle", "highest")


def print_evaluation(evaluation: EvaluationResult) -> None:
    """Print the model's figures, then the simple rankings, then the learners."""
    model_metrics = evaluation.metrics["model"]
    _print_metrics(
        "The model, walked forward; 90 % intervals over accounts and cuts", model_metrics, _METRICS
    )
    _print_comparison("Beside it: simple rankings", evaluation.metrics, _BASELINE_METRICS)
    if evaluation.reference_metrics:
        _print_comparison(
            "And plain learners at their defaults", evaluation.reference_metrics, _REFERENCE_METRICS
        )
    _print_date_metrics(evaluation.date_metrics)
    _print_bands(evaluation.bands)
    labels = evaluation.predictions["expanded"].drop_nulls()
    _print_line(
        f"{evaluation.predictions.height:,} predictions from {evaluation.predictions['cut'].n_unique()}"
        f" cuts; {len(labels):,} with a known outcome, {labels.sum():,} expanded."
    )
    for cut, reason in evaluation.skipped.items():
        _print_line(f"cut {cut} skipped: {reason}")
    stdout.print(evaluation.summarize_verdict(), highlight=False, style="bold")


def print_evaluation_details(
    evaluation: EvaluationResult, capacity: str, comparison: ChampionComparison | None
) -> None:
    """Print what only an evaluation tells: lift, cuts, segments, power, and the champion."""
    _print_lift(evaluation.lift_by_decile)
    _print_cutoffs(evaluation)
    _print_segments(evaluation)
    if evaluation.gain_over_selected_baseline.value is not None:
        _print_line(
            "Precision at capacity less that of the simple ranking that each cut would have chosen"
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
            f"The champion's settings: {champion_metrics}; the model's precision less theirs: {comparison.precision_gain}."
        )
    _print_line(f"Capacity: {capacity}")
    for note in evaluation.list_caveats():
        if note != capacity:
            _print_line(note)


def print_feedback_outcomes(feedback: Sequence[Mapping[str, Any]], errors: Sequence[str]) -> None:
    """Print what humans said of the lists beside what the contracts then showed."""
    table = Table(title="What humans said of the lists, and what the contracts showed then")
    for name in ("said", "answers", "chance told", "outcome known", "expanded"):
        table.add_column(name)
    for row in feedback:
        chance = "" if row["expected"] is None else format_share(row["expected"])
        counts = (f"{row[name]:,}" for name in ("known", "expanded"))
        table.add_row(row["verdict"], f"{row['answers']:,}", chance, *counts)
    if table.row_count:
        stdout.print(table)
    for why in errors:
        _print_line(why)


def print_control_features(control_gains: Mapping[str, MetricEstimate]) -> None:
    """Print what the controls would have added, where that was asked for."""
    if control_gains:
        metrics = ", ".join(f"{_METRICS[name]} {figure}" for name, figure in control_gains.items())
        _print_line(f"With logins, tickets and NPS, which it is not given: {metrics}")


def print_exclusions(account: str, periods: Sequence[Mapping[str, Any]]) -> None:
    """Print what the rows of one account were used for, and why others were not."""
    table = Table("as of", "rows", "trained on", "why", title=escape(account))
    for each in periods:
        span = str(each["first"]) if each["rows"] == 1 else f"{each['first']} to {each['last']}"
        table.add_row(span, str(each["rows"]), "yes" if each["used"] else "no", each["why"])
    stdout.print(table)


def _print_metrics(
    title: str, metrics: Mapping[str, MetricEstimate], names: Mapping[str, str]
) -> None:
    """Print the figures of one score, a line each."""
    table = Table("figure", "value", "90 % interval", title=title)
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
    """Print the same few figures of several scores."""
    table = Table(title=title)
    table.add_column("ranking", max_width=31)
    for name in names:
        table.add_column(_METRICS[name], no_wrap=False)
    for ranking, figures in metrics_by_ranking.items():
        style = "bold" if ranking == "model" else ""
        table.add_row(ranking, *(_format_cell(figures[name]) for name in names), style=style)
    stdout.print(table)


def _print_lift(deciles: Sequence[Mapping[str, Any]]) -> None:
    """Print how much more often each tenth of the ranking expanded than all."""
    table = Table("tenth", "snapshots", "expanded", "rate", "lift", title="Lift by tenth")
    for row in deciles:
        interval = "" if row["low"] is None else f"  {row['low']:.1f}–{row['high']:.1f}"
        lift = "n/a" if row["value"] is None else f"{row['value']:.1f}{interval}"
        counts = (f"{row[name]:,.0f}" for name in ("snapshots", "expanded"))
        table.add_row(str(row["decile"]), *counts, format_share(row["rate"]), lift)
    if deciles:
        stdout.print(table)


def _print_cutoffs(evaluation: EvaluationResult) -> None:
    """Print the model at every cut."""
    table = Table(title="The model of each cut, on what came after it")
    for name in ("cut", "judged", "expanded", *(_METRICS[name] for name in _CUTOFF_METRICS)):
        table.add_column(name)
    for cut, figures in evaluation.metrics_by_cutoff.items():
        labels = evaluation.predictions.filter(evaluation.predictions["cut"] == cut)[
            "expanded"
        ].drop_nulls()
        cells = (_format_cell(figures["model"][name]) for name in _CUTOFF_METRICS)
        table.add_row(str(cut), f"{len(labels):,}", f"{labels.sum():,}", *cells)
    if table.row_count:
        stdout.print(table)


def _print_segments(evaluation: EvaluationResult) -> None:
    """Print the model for every kind of account."""
    table = Table(title="By kind of account; precision among those within the capacity of all")
    for name in ("kind", "", "judged", "expanded", "AUROC", "precision", "observed ÷ expected"):
        table.add_column(name)
    for kind, segments in evaluation.segment_metrics.items():
        for index, (name, segment) in enumerate(segments.items()):
            metrics = segment.figures
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
    """Print what was expected and observed in each band of probability."""
    table = Table("chance", "snapshots", "expected", "expanded", title="By band of the chance")
    for band in bands:
        observed = f"{format_share(band['value'])} ({format_share(band['low'])} – {format_share(band['high'])})"
        expected = format_share(band["expected"])
        table.add_row(band["band"], f"{band['snapshots']:,}", expected, observed)
    if bands:
        stdout.print(table)


def _print_date_metrics(metrics: Mapping[str, MetricEstimate]) -> None:
    """Print how far the expected dates were off, where any expansion can be judged yet."""
    _print_metrics("The whole curve and the dates", metrics, _DATE_METRICS)
    error, baseline, line = (
        metrics[f"date_error_days{rival}"] for rival in ("", "_usual", "_line")
    )
    if error.value is None:
        return
    _print_line(
        f"expected date off by {error.value:.0f} days on average, for expansions within 180 days;"
        f" the usual day by {baseline.value:.0f}, a straight line to the limit by {line.value:.0f};"
        f" saved: {metrics['date_gain_over_usual']} and {metrics['date_gain_over_line']}"
    )
    coverages = (metrics[f"date_coverage_{third}"].value for third in _THIRDS)
    widths = (metrics[f"date_width_days_{third}"].value for third in _THIRDS)
    coverage_text = ", ".join("n/a" if third is None else f"{third:.0%}" for third in coverages)
    width_text = ", ".join("n/a" if third is None else f"{third:.0f}" for third in widths)
    _print_line(
        f"80 % interval of the date held {metrics['date_coverage']}; by third of the chance: {coverage_text};"
        f" it is {width_text} days wide"
    )


def _list_selected_baselines(evaluation: EvaluationResult) -> str:
    """The simple rankings that the cuts would have chosen."""
    return ", ".join(evaluation.predictions["simple"].unique(maintain_order=True))


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
