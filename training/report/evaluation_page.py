"""HTML report of a walk-forward evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from training.evaluation.evaluate import MODEL, EvaluationResult
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.propensity import Propensity
from training.pipeline.training_run import TrainingHistory
from training.promotion.champion import ChampionComparison
from training.report.charts import attribution_charts
from training.report.html_page import (
    KeyMetric,
    Paragraph,
    ReportChart,
    ReportPage,
    ReportSection,
    SectionPart,
    render_page,
)
from training.report.metric_format import (
    build_metric_table,
    build_record_table,
    format_cell,
    format_title,
)
from training.report.sections import (
    baselines_section,
    calibration_section,
    method_section,
    segments_section,
)
from training.report.svg import to_single_line

__all__ = ["draw_evaluation_charts", "render_evaluation_page"]

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
    """Render the evaluation as one self-contained HTML page, with counts of accounts only.

    Settings that may hold a secret are not shown. The explained model is the last cutoff's, with
    its test snapshots. ``control_gains`` are those of :mod:`training.pipeline.ablation`, and
    ``feedback`` is CSM feedback compared with outcomes.
    """
    settings = evaluation.settings
    labelled = evaluation.predictions.filter(pl.col("expanded").is_not_null())
    sections = [
        *_build_result_sections(evaluation, labelled, comparison),
        *calibration_section.build_feedback_sections(feedback),
        _build_drivers_section(explained_model, control_gains or {}),
        method_section.build_exclusions_section(evaluation, history),
        method_section.build_method_section(history, settings),
        method_section.build_lineage_section(history, settings),
    ]
    return render_page(
        ReportPage(
            title="Walk-forward evaluation of the model",
            summary=_format_summary(evaluation, labelled, history),
            footer="Intervals are 90% bootstrap intervals over accounts, and over cutoffs where"
            " there are at least four.",
            verdict=evaluation.summarize_verdict(),
            key_metrics=_build_key_metrics(evaluation, labelled, settings.evaluation.capacity)
            if labelled["expanded"].n_unique() == 2
            else (),
            warnings=[_capitalize_line(caveat) for caveat in evaluation.list_caveats()],
            sections=sections,
        )
    )


def draw_evaluation_charts(
    evaluation: EvaluationResult | None, model: Propensity, snapshots: pl.DataFrame
) -> list[ReportChart]:
    """Draw every chart of the page, and the importance of features, for the run of a training.

    Without an evaluation, only the attributions are drawn. ``snapshots``, at least one, are the
    accounts to explain the model on.
    """
    sections = [_build_drivers_section((model, snapshots), {})]
    if evaluation is not None:
        labelled = evaluation.predictions.filter(pl.col("expanded").is_not_null())
        sections += _build_result_sections(evaluation, labelled, None)
    return [
        attribution_charts.draw_feature_importance(model, snapshots),
        *(part for section in sections for part in section.parts if isinstance(part, ReportChart)),
    ]


def _build_result_sections(
    evaluation: EvaluationResult, labelled: pl.DataFrame, comparison: ChampionComparison | None
) -> list[ReportSection]:
    return [
        baselines_section.build_rankings_section(evaluation, labelled, comparison),
        calibration_section.build_probability_section(evaluation, labelled),
        calibration_section.build_dates_section(evaluation),
        segments_section.build_segments_section(evaluation),
        baselines_section.build_cutoffs_section(evaluation, labelled),
    ]


def _format_summary(
    evaluation: EvaluationResult, labelled: pl.DataFrame, history: TrainingHistory
) -> str:
    predictions = evaluation.predictions
    return (
        f"Walk-forward validation up to {history.as_of:%Y-%m-%d}:"
        f" {predictions['cutoff'].n_unique()} models, each trained on data known at its cutoff and"
        f" evaluated on the following period. {predictions.height:,} predictions,"
        f" {labelled.height:,} with a label, of {labelled['account_id'].n_unique():,} accounts;"
        f" {labelled['expanded'].sum():,} expanded within"
        f" {evaluation.settings.outcome.horizon_days} days."
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
    baseline_auroc, baseline_precision = (
        format_cell(name, baseline_metrics[name]).value
        for name in ("auroc", "precision_at_capacity")
    )
    explanations = {
        "auroc": f"{best_baseline}: {baseline_auroc}",
        "average_precision": f"random order: {rate:.3f}",
        "precision_at_capacity": f"of {capacity} accounts contacted per as-of date;"
        f" {best_baseline}: {baseline_precision}",
        "recall_at_capacity": "of all expansions are among them",
        "log_loss_skill": "reduction against the base rate; above 0 is better",
        "observed_to_expected": "1 is perfect",
        "calibration_error": "typical gap of predicted and observed rate; 0 is perfect",
    }
    key_metrics = [
        KeyMetric(format_title(name), *format_cell(name, model_metrics[name]), explanation)
        for name, explanation in explanations.items()
        if name in model_metrics
    ]
    name, constant_error = "date_mae_days", evaluation.date_metrics["date_mae_days_constant"]
    error = evaluation.date_metrics[name]
    if error.value is not None and constant_error.value is not None:
        explanation = f"on average; a constant date: {constant_error.value:.0f} days"
        key_metrics.append(KeyMetric(format_title(name), *format_cell(name, error), explanation))
    return key_metrics


def _build_drivers_section(
    explained_model: tuple[Propensity, pl.DataFrame] | None,
    control_gains: Mapping[str, MetricEstimate],
) -> ReportSection:
    heading = "Drivers of the score"
    caption = "Gain from logins, tickets and NPS, which the model does not use"
    gain_tables: list[SectionPart] = (
        [build_metric_table(caption, control_gains, value_title="with less without")]
        if control_gains
        else []
    )
    if explained_model is None or explained_model[1].is_empty():
        note = Paragraph("No model was passed for explanation.")
        return ReportSection("drivers", heading, [note, *gain_tables])
    model, test_snapshots = explained_model
    newest = test_snapshots["as_of"].max()
    shown_on = test_snapshots.filter(pl.col("as_of") == newest)
    summary = attribution_charts.summarize_attributions(model, shown_on)
    shown = summary.head(_MAX_SIGNALS)
    share_shown = sum(shown["size"]) / max(sum(summary["size"]), 1e-12)
    return ReportSection(
        "drivers",
        heading,
        [
            Paragraph(
                f"The last cutoff's model on the {shown_on.height:,} accounts of the latest as-of,"
                f" {newest!s}. The {shown.height} signals shown account for {share_shown:.0%}"
                " of the total attribution. A signal that drives the score need not cause the"
                " expansion."
            ),
            attribution_charts.draw_contributions(shown),
            build_record_table(
                "Mean absolute contribution to the log-odds, and the effect of the leading feature",
                shown.rows(named=True),
                {
                    "signal": "{signal}",
                    "mean size": "{size:.3f}",
                    "leading feature": "{feature}",
                    "effect of a higher value": "{direction}",
                },
                text_columns=frozenset({0, 2, 3}),
                side_by_side=True,
            ),
            *gain_tables,
        ],
    )
