"""The page of a walk through history: what the model would have been worth, and how we know."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from training.evaluation.evaluate import MODEL, EvaluationResult
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.propensity import Propensity
from training.pipeline.training_run import TrainingHistory
from training.promotion.champion_comparison import ChampionComparison
from training.report import attribution_summary
from training.report.charts import plot_helpers
from training.report.html_page import (
    KeyMetric,
    Paragraph,
    ReportPage,
    ReportSection,
    ReportTable,
    SectionPart,
    TableRow,
    render_page,
)
from training.report.metric_format import format_cell, format_interval, format_title
from training.report.sections import (
    baselines_section,
    calibration_section,
    feedback_section,
    method_section,
    segments_section,
)
from training.report.svg import to_single_line

__all__ = ["render_evaluation_page"]

_MAX_SIGNALS: Final = 14


def render_evaluation_page(
    evaluation: EvaluationResult,
    history: TrainingHistory,
    explained_model: tuple[Propensity, pl.DataFrame] | None = None,
    *,
    comparison: ChampionComparison | None = None,
    control_gains: Mapping[str, MetricEstimate] | None = None,
    feedback: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Write the evaluation as one self-contained HTML page.

    Parameters
    ----------
    evaluation : training.evaluation.evaluate.Evaluation
        The walk through history; of its settings nothing that may hold a secret is shown.
    history : training.pipeline.training_run.TrainingHistory
        What it walked through.
    explained_model : tuple of Propensity and polars.DataFrame, optional
        The last cut's model and the snapshots it judged, to show what moves its scores.
    comparison : training.promotion.champion_comparison.ChampionComparison, optional
        What the champion's settings would have been worth at the same cuts.
    control_gains : mapping of str to training.metrics.cluster_bootstrap.MetricEstimate, optional
        What the controls would have added; :func:`training.evaluation.ablation.evaluate_controls`.
    feedback : sequence of mapping, optional
        What humans said of the lists; :func:`serving.monitoring.feedback_report.compare_feedback_with_outcomes`.

    Returns
    -------
    str
        The same for the same input; of accounts it holds counts only.
    """
    settings = evaluation.settings
    labelled = evaluation.predictions.filter(pl.col("expanded").is_not_null())
    has_both_classes = labelled["expanded"].n_unique() == 2
    sections = [
        baselines_section.build_rankings_section(
            evaluation, labelled, comparison, has_both_classes=has_both_classes
        ),
        calibration_section.build_probability_section(
            evaluation, labelled, has_both_classes=has_both_classes
        ),
        calibration_section.build_dates_section(evaluation),
        segments_section.build_segments_section(evaluation),
        baselines_section.build_cutoffs_section(evaluation, labelled),
        *feedback_section.build_feedback_sections(feedback),
        _build_drivers_section(explained_model, control_gains or {}),
        method_section.build_exclusions_section(evaluation, history),
        method_section.build_method_section(history, settings),
        method_section.build_lineage_section(history, settings),
    ]
    horizon = settings.outcome.horizon_days
    return render_page(
        ReportPage(
            title="What the model would have been worth",
            about=_format_summary(evaluation, labelled, history, horizon),
            foot="Beside the figures, 90% intervals, which draw whole accounts, and whole cuts"
            " where there are four or more.",
            verdict=evaluation.summarize_verdict(),
            facts=_build_key_metrics(evaluation, labelled, settings.evaluation.capacity)
            if has_both_classes
            else (),
            warnings=[_capitalize_line(each) for each in evaluation.list_caveats()],
            sections=sections,
        )
    )


def _format_summary(
    evaluation: EvaluationResult,
    labelled: pl.DataFrame,
    history: TrainingHistory,
    horizon_days: int,
) -> str:
    predictions = evaluation.predictions
    return (
        f"A walk through history up to {history.as_of:%Y-%m-%d}: {predictions['cut'].n_unique()}"
        " models, each trained on what was known at its cut, judged on what came after it."
        f" {predictions.height:,} predictions, {labelled.height:,} with a known outcome, of"
        f" {labelled['account_id'].n_unique():,} accounts; {labelled['expanded'].sum():,} expanded within"
        f" {horizon_days} days."
    )


def _capitalize_line(text: str) -> str:
    line = to_single_line(text, 400)
    return line[:1].upper() + line[1:]


def _build_key_metrics(
    evaluation: EvaluationResult, labelled: pl.DataFrame, capacity: int
) -> list[KeyMetric]:
    model_metrics, best_baseline = evaluation.metrics[MODEL], evaluation.best_baseline()
    baseline_metrics = evaluation.metrics[best_baseline]
    rate = float(np.mean(labelled["expanded"].to_numpy()))
    explanations = {
        "auroc": f"against {format_cell('auroc', baseline_metrics['auroc']).value} for {best_baseline}",
        "average_precision": f"any order has {rate:.3f}",
        "precision_at_capacity": f"of {capacity} accounts worked per as-of;"
        f" {format_cell('precision_at_capacity', baseline_metrics['precision_at_capacity']).value} by {best_baseline}",
        "recall_at_capacity": "of all expansions are among them",
        "log_loss_skill": "saved against the base rate; above 0 is better",
        "observed_to_expected": "1 is right",
        "calibration_error": "typical gap of stated and observed; 0 is right",
    }
    key_metrics = [
        _build_key_metric(name, model_metrics[name], explanation)
        for name, explanation in explanations.items()
        if name in model_metrics
    ]
    error, constant_error = (evaluation.date_metrics[f"date_error_days{k}"] for k in ("", "_usual"))
    if error.value is not None and constant_error.value is not None:
        told = f"on average; the usual day is off by {constant_error.value:.0f}"
        key_metrics.append(_build_key_metric("date_error_days", error, told))
    return key_metrics


def _build_key_metric(name: str, estimate: MetricEstimate, explanation: str) -> KeyMetric:
    return KeyMetric(
        format_title(name),
        format_cell(name, estimate).value,
        format_interval(name, estimate),
        explanation,
    )


def _build_drivers_section(
    explained_model: tuple[Propensity, pl.DataFrame] | None,
    control_gains: Mapping[str, MetricEstimate],
) -> ReportSection:
    heading = "What drives it"
    if explained_model is None or explained_model[1].is_empty():
        none = Paragraph("No model was handed over to be explained.")
        return ReportSection("drivers", heading, [none, *_build_control_gains(control_gains)])
    model, test_snapshots = explained_model
    newest = test_snapshots["as_of"].max()
    shown_on = test_snapshots.filter(pl.col("as_of") == newest)
    summary = attribution_summary.summarize_attributions(model, shown_on)
    shown = summary.head(_MAX_SIGNALS)
    share_shown = sum(shown["size"]) / max(sum(summary["size"]), 1e-12)
    rows: list[TableRow] = [
        [row["signal"], f"{row['size']:.3f}", row["feature"], row["direction"]]
        for row in shown.rows(named=True)
    ]
    return ReportSection(
        "drivers",
        heading,
        [
            Paragraph(
                f"The last cut's model on the {shown_on.height:,} accounts of the newest as-of,"
                f" {newest!s}. The {shown.height} signals shown make {share_shown:.0%}"
                " of all moves. A signal that moves the score need not cause the expansion."
            ),
            plot_helpers.draw_contributions(shown),
            ReportTable(
                "Mean absolute contribution to the log-odds, and what its leading feature does",
                ["signal", "mean size", "leading feature", "more of it"],
                rows,
                words=frozenset({0, 2, 3}),
                beside=True,
            ),
            *_build_control_gains(control_gains),
        ],
    )


def _build_control_gains(control_gains: Mapping[str, MetricEstimate]) -> list[SectionPart]:
    """What would have been gained by what the model is not given, where that was asked for."""
    if not control_gains:
        return []
    rows: list[TableRow] = [
        [format_title(name), format_cell(name, figure)] for name, figure in control_gains.items()
    ]
    caption = "What logins, tickets and NPS would have added, which the model is not given"
    return [ReportTable(caption, ["figure", "with them less without"], rows)]
