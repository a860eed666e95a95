"""Report sections on predicted and observed: probabilities, expected dates, CSM feedback."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from training.evaluation.evaluate import MODEL, EvaluationResult
from training.metrics import dates
from training.metrics.cluster_bootstrap import MetricEstimate
from training.report import chart_data
from training.report.charts import plot_helpers, probability_charts
from training.report.html_page import MetricCell, Paragraph, ReportSection, ReportTable, TableRow
from training.report.metric_format import (
    build_metric_table,
    build_record_table,
    describe_missing_classes,
    format_cell,
    format_share,
)

__all__ = ["build_dates_section", "build_feedback_sections", "build_probability_section"]

_PROBABILITY_METRICS: Final = (
    "log_loss_skill",
    "log_loss",
    "brier",
    "brier_skill",
    "calibration_error",
    "calibration_slope",
    "observed_to_expected",
)
_CURVE_METRICS: Final = ("integrated_brier", "integrated_brier_skill", "concordance")
_MAX_RULES: Final = 3


def build_probability_section(
    evaluation: EvaluationResult, labelled: pl.DataFrame
) -> ReportSection:
    """Build the section on calibration and net benefit of the probabilities."""
    heading, class_count = "Calibration of the probability", labelled["expanded"].n_unique()
    if class_count < 2:
        note = Paragraph(describe_missing_classes(class_count))
        return ReportSection("probability", heading, [note, *_build_band_tables(evaluation)])
    model_metrics, settings = evaluation.metrics[MODEL], evaluation.settings
    bootstrap_options = {"resamples": settings.evaluation.n_bootstrap, "seed": settings.model.seed}
    rules = _select_binary_rules(labelled, list(evaluation.metrics))
    table = build_metric_table(
        "The model's probability, with 90% intervals",
        {name: model_metrics[name] for name in _PROBABILITY_METRICS if name in model_metrics},
        side_by_side=True,
    )
    return ReportSection(
        "probability",
        heading,
        [
            probability_charts.draw_reliability(
                chart_data.compute_reliability(labelled, **bootstrap_options),
                labelled["probability"],
            ),
            probability_charts.draw_expansions_by_date(
                chart_data.count_expansions_by_date(labelled)
            ),
            probability_charts.draw_net_benefit(
                chart_data.compute_net_benefit(labelled, rules, **bootstrap_options), rules
            ),
            table,
            *_build_band_tables(evaluation),
        ],
    )


def build_dates_section(evaluation: EvaluationResult) -> ReportSection:
    """Build the section on error and interval coverage of the expected dates."""
    heading, metrics = "Expected dates", evaluation.date_metrics
    evaluable = dates.select_evaluable_rows(evaluation.predictions)
    if evaluable.is_empty():
        message = (
            "No date can be evaluated yet: no expansion came within 180 days of an as-of whose 180"
            " days have passed."
        )
        return ReportSection("dates", heading, [Paragraph(message)])
    errors = {
        "model": metrics["date_mae_days"],
        "constant date": metrics["date_mae_days_constant"],
        "linear extrapolation to the limit": metrics["date_mae_days_linear"],
    }
    coverage = {"all": metrics["date_coverage"]} | {
        f"{third} third of the probability": metrics[f"date_coverage_{third}"]
        for third in ("lowest", "middle", "highest")
    }
    return ReportSection(
        "dates",
        heading,
        [
            Paragraph(
                f"Evaluated on the {evaluable.height:,} snapshots whose expansion came within 180"
                " days, once all 180 days are known."
            ),
            probability_charts.draw_event_dates(chart_data.group_event_dates(evaluable)),
            plot_helpers.draw_dot_plot(
                errors,
                "date-error",
                x="days",
                strong=["model"],
                numbers=_build_metric_table("Error of the expected date", "date_mae_days", errors),
            ),
            plot_helpers.draw_dot_plot(
                coverage,
                "date-coverage",
                x="share inside the interval",
                line=0.8,
                shares=True,
                strong=["all"],
                numbers=_build_metric_table(
                    "Coverage of the 80% interval", "date_coverage", coverage
                ),
            ),
            build_metric_table(
                "Cumulative incidence up to 180 days, with 90% intervals",
                {name: metrics[name] for name in _CURVE_METRICS if name in metrics},
            ),
        ],
    )


def build_feedback_sections(feedback: Sequence[Mapping[str, Any]]) -> list[ReportSection]:
    """Build the feedback section; none without feedback."""
    if not feedback:
        return []
    note = (
        "Feedback is not a label: expansions are read from contracts only. Check both where they"
        " disagree: an account marked won without an expansion, or one marked wrong that expanded."
    )
    table = build_record_table(
        "Latest feedback per account and list, with the probability on the list and the outcome"
        " within the horizon",
        feedback,
        {
            "feedback": "{verdict}",
            "entries": "{entries:,}",
            "mean probability": lambda entry: (
                "" if entry["expected"] is None else format_share(entry["expected"])
            ),
            "labelled": "{labelled:,}",
            "expanded": "{expanded:,}",
        },
    )
    return [ReportSection("feedback", "CSM feedback on the lists", [Paragraph(note), table])]


def _build_band_tables(evaluation: EvaluationResult) -> list[ReportTable]:
    if not evaluation.bands:
        return []
    return [
        build_record_table(
            "By probability band as shown to CSMs: predicted and observed rate",
            evaluation.bands,
            {
                "band": "{band}",
                "snapshots": "{snapshots:,}",
                "predicted": "{expected:share}",
                "expanded": _format_band_rate,
            },
            side_by_side=True,
        )
    ]


def _format_band_rate(band: Mapping[str, Any]) -> MetricCell:
    has_interval = band["low"] is not None
    interval = f"{format_share(band['low'])} to {format_share(band['high'])}"
    return MetricCell(format_share(band["value"]), interval if has_interval else "")


def _build_metric_table(
    caption: str, name: str, estimates: Mapping[str, MetricEstimate]
) -> ReportTable:
    rows: list[TableRow] = [
        [key, format_cell(name, estimate)] for key, estimate in estimates.items()
    ]
    return ReportTable(f"{caption}, with 90% intervals", ["", "value"], rows)


def _select_binary_rules(labelled: pl.DataFrame, rankings: Sequence[str]) -> list[str]:
    """Select the baselines that are binary rules: 1, 0, or below 0 if unknown."""
    present = [name for name in rankings if name in labelled.columns]
    binary = [
        name for name in present if labelled[name].max() == 1 and labelled[name].n_unique() <= 3
    ]
    return binary[:_MAX_RULES]
