"""Report sections that compare the model with the baselines, overall and by cutoff."""

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from training.evaluation.evaluate import MODEL, EvaluationResult
from training.evaluation.metric_tables import MetricTable
from training.metrics.cluster_bootstrap import MetricEstimate
from training.promotion.champion import ChampionComparison
from training.report import chart_data
from training.report.charts import plot_helpers, ranking_charts
from training.report.html_page import (
    GroupRow,
    Paragraph,
    ReportChart,
    ReportSection,
    ReportTable,
    SectionPart,
    TableRow,
)
from training.report.metric_format import describe_missing_classes, format_cell, format_title
from training.report.svg import to_single_line

__all__ = ["build_cutoffs_section", "build_rankings_section"]

_RANKING_METRICS: Final = (
    "auroc",
    "average_precision",
    "precision_at_capacity",
    "recall_at_capacity",
    "arr_at_capacity",
)
_MAX_NAMED_BASELINES: Final = 3


def build_rankings_section(
    evaluation: EvaluationResult, labelled: pl.DataFrame, champion: ChampionComparison | None
) -> ReportSection:
    """Build the comparison of every ranking on the same snapshots."""
    heading = "Comparison with the baselines"
    table = _build_ranking_table(evaluation, champion)
    class_count = labelled["expanded"].n_unique()
    if class_count < 2:
        note = Paragraph(describe_missing_classes(class_count))
        return ReportSection("rankings", heading, [note, table])
    capacity = evaluation.settings.evaluation.capacity
    all_rankings = evaluation.all_metrics
    named = _select_named_rankings(evaluation)
    contact_counts = _choose_contact_counts(labelled, capacity)
    score_columns = {
        name: "probability" if name == MODEL else name for name in _sort_by_precision(all_rankings)
    }
    capacity_curves = {
        name: chart_data.compute_capacity_curve(labelled, column, contact_counts)
        for name, column in score_columns.items()
    }
    recall_curves = {
        name: chart_data.compute_precision_recall(labelled, column)
        for name, column in score_columns.items()
    }
    rate = float(np.mean(labelled["expanded"].to_numpy()))
    parts: list[SectionPart] = [
        table,
        *_build_champion_note(champion),
        Paragraph(f"{_describe_baseline_gain(evaluation)} {evaluation.power}"),
        ranking_charts.draw_capacity_curve(capacity_curves, named, team_capacity=capacity),
        ranking_charts.draw_precision_recall(recall_curves, named, rate=rate),
        ranking_charts.draw_lift(evaluation.lift_by_decile),
        _build_capacity_chart(all_rankings),
    ]
    return ReportSection("rankings", heading, parts)


def build_cutoffs_section(evaluation: EvaluationResult, labelled: pl.DataFrame) -> ReportSection:
    """Build the section on each cutoff's model, for test snapshots that contain both classes."""
    heading, best_baseline = "Results by cutoff", evaluation.best_baseline()
    metrics_by_cutoff = evaluation.metrics_by_two_class_cutoff
    if not metrics_by_cutoff:
        return ReportSection(
            "cutoffs", heading, [Paragraph("No cutoff has test snapshots of both classes yet.")]
        )

    def select_metric(metric: str, *names: str) -> dict[date, dict[str, MetricEstimate]]:
        return {
            cutoff: {name: ranking_metrics[name][metric] for name in names}
            for cutoff, ranking_metrics in metrics_by_cutoff.items()
        }

    rows: list[TableRow] = [
        [
            str(cutoff),
            f"{(labelled['cutoff'] == cutoff).sum():,}",
            f"{labelled.filter(pl.col('cutoff') == cutoff)['expanded'].sum():,}",
            *(
                format_cell(metric, ranking_metrics[name].get(metric))
                for name, metric in (
                    (MODEL, "auroc"),
                    (MODEL, "log_loss_skill"),
                    (MODEL, "precision_at_capacity"),
                    (best_baseline, "precision_at_capacity"),
                )
            ),
        ]
        for cutoff, ranking_metrics in metrics_by_cutoff.items()
    ]
    titles = (format_title(name) for name in ("auroc", "log_loss_skill", "precision_at_capacity"))
    header = ["cutoff", "snapshots", "expanded", *titles, f"the same for {best_baseline}"]
    return ReportSection(
        "cutoffs",
        heading,
        [
            plot_helpers.draw_by_cutoff(
                select_metric("log_loss_skill", MODEL),
                "cutoffs-skill",
                y="log-loss skill",
                line=0.0,
            ),
            plot_helpers.draw_by_cutoff(
                select_metric("precision_at_capacity", MODEL, best_baseline),
                "cutoffs-precision",
                values={"best_baseline": best_baseline},
                y="precision at capacity",
                shares=True,
            ),
            ReportTable(
                "Each cutoff's model on its test snapshots, with 90% intervals", header, rows
            ),
        ],
    )


def _build_ranking_table(
    evaluation: EvaluationResult, champion: ChampionComparison | None
) -> ReportTable:
    metrics = evaluation.metrics
    shown = [
        name for name in _RANKING_METRICS if metrics[MODEL][name].value is not None
    ] or _RANKING_METRICS[:4]
    groups: dict[str, MetricTable] = {
        "The model": {MODEL: metrics[MODEL]},
        "The champion's settings on the same cutoffs": {"champion": champion.metrics}
        if champion and champion.metrics
        else {},
        "Baselines: single columns and rules": {
            name: metrics[name] for name in _sort_by_precision(metrics)[1:]
        },
        "Reference models, trained on the same rows at each cutoff": evaluation.reference_metrics,
    }
    rows: list[TableRow] = []
    for title, rankings in groups.items():
        rows += [GroupRow(title)] if rankings else []
        rows += [
            [name, *(format_cell(key, estimates.get(key)) for key in shown)]
            for name, estimates in rankings.items()
        ]
    caption = "Every ranking on the same snapshots, with 90% intervals"
    header = ["ranking", *(format_title(name) for name in shown)]
    return ReportTable(caption, header, rows, bold_rows=frozenset({1}))


def _build_champion_note(champion: ChampionComparison | None) -> list[SectionPart]:
    if champion is None:
        return []
    gain = champion.precision_gain
    gain_text = ""
    if gain is not None and gain.value is not None:
        gain_text = (
            f" The model's precision at capacity less the champion's is {_format_points(gain)}."
        )
    return [Paragraph(f"{to_single_line(champion.note, 400)}{gain_text}")]


def _format_points(gain: MetricEstimate) -> str:
    """Format a difference of shares in percentage points."""
    if gain.value is None:
        return "n/a"
    text = f"{100 * gain.value:+.1f} points"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _describe_baseline_gain(evaluation: EvaluationResult) -> str:
    """Describe the gain over the baseline selected at each cutoff, without hindsight."""
    gain = evaluation.gain_over_selected_baseline
    if gain.value is None:
        return "The model cannot be compared with the baseline selected at each cutoff."
    return (
        "The best baseline is known only in hindsight. Compared with the baseline selected at each"
        " cutoff from data known then, the model's precision at capacity differs by"
        f" {_format_points(gain)}."
    )


def _select_named_rankings(evaluation: EvaluationResult) -> list[str]:
    """Select the labelled rankings: the model, the best baselines and reference model."""
    baselines = _sort_by_precision(evaluation.metrics)[1:]
    reference_models = _sort_by_precision(
        {MODEL: evaluation.metrics[MODEL], **evaluation.reference_metrics}
    )[1:2]
    return [MODEL, *baselines[: _MAX_NAMED_BASELINES - len(reference_models)], *reference_models]


def _build_capacity_chart(metrics: MetricTable) -> ReportChart:
    name = "precision_at_capacity"
    return plot_helpers.draw_dot_plot(
        {ranking: metrics[ranking][name] for ranking in _sort_by_precision(metrics)},
        "at-capacity",
        x="precision at capacity",
        shares=True,
        strong=[MODEL],
    )


def _sort_by_precision(metrics: MetricTable) -> list[str]:
    """Sort the rankings by precision at capacity, the model first."""
    others = [name for name in metrics if name != MODEL]
    order = sorted(others, key=lambda name: -(metrics[name]["precision_at_capacity"].value or 0))
    return [MODEL, *order]


def _choose_contact_counts(labelled: pl.DataFrame, capacity: int) -> list[int]:
    """Choose the x values of the capacity curves: up to five times the capacity."""
    max_accounts = int(labelled.group_by("as_of").len()["len"].max())  # type: ignore[arg-type]
    max_shown = max(min(5 * capacity, max_accounts), 2)
    step = max(max_shown // 40, 1)
    candidates = {*range(1, max_shown + 1, step), 5, 10, 20, 50, 100, capacity, max_shown}
    return sorted(count for count in candidates if 1 <= count <= max_shown)
