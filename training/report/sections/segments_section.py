"""The section that asks whether the model is as good for each kind of account."""

from collections.abc import Mapping
from typing import Final

from training.evaluation.evaluate import EvaluationResult
from training.evaluation.segments import SegmentMetrics
from training.metrics.cluster_bootstrap import MetricEstimate
from training.report.charts import plot_helpers
from training.report.html_page import (
    GroupRow,
    Paragraph,
    ReportSection,
    ReportTable,
    SectionPart,
    TableRow,
)
from training.report.metric_format import format_cell, format_share, format_title
from training.report.svg import to_single_line

__all__ = ["build_segments_section"]

_SEGMENT_METRICS: Final = ("auroc", "observed_to_expected", "precision_at_capacity")
_MIN_EXPANSIONS: Final = 10


def build_segments_section(evaluation: EvaluationResult) -> ReportSection:
    """Show the model's figures by size, plan, tenure, and segment where it is stable."""
    heading = "By kind of account"
    segments = {
        dimension: members
        for dimension, members in evaluation.segment_metrics.items()
        if len(members) > 1
    }
    if not segments:
        return ReportSection("kinds", heading, [Paragraph("All judged accounts are of one kind.")])
    rows: list[TableRow] = []
    for kind, found in segments.items():
        rows += [
            GroupRow(kind.capitalize()),
            *(_build_row(name, each) for name, each in found.items()),
        ]
    head = [
        "kind",
        "snapshots",
        "expanded",
        "rate",
        *(format_title(name) for name in _SEGMENT_METRICS[:2]),
    ]
    table = ReportTable(
        "The model by kind of account, with 90% intervals; precision is that of the accounts within"
        " the team's capacity",
        [*head, "precision"],
        rows,
    )
    note = (
        "Size is licensed seats, or people where none are sold; plan and tenure are those of the"
        f" as-of. Kinds with fewer than {_MIN_EXPANSIONS} expansions are in the table only: their figures tell"
        " next to nothing."
    )
    return ReportSection("kinds", heading, [Paragraph(note), *_build_charts(segments), table])


def _build_charts(segments: Mapping[str, Mapping[str, SegmentMetrics]]) -> list[SectionPart]:
    enough = {
        f"{dimension}: {to_single_line(name, 24)}": each
        for dimension, members in segments.items()
        for name, each in members.items()
        if each.expanded >= _MIN_EXPANSIONS
    }
    if not enough:
        return []

    def select_metric(name: str) -> dict[str, MetricEstimate]:
        return {label: each.figures[name] for label, each in enough.items()}

    return [
        plot_helpers.draw_dot_plot(
            select_metric("auroc"),
            key="kinds-auroc",
            title="Does it rank well within each kind?",
            says="AUROC among the accounts of a kind, with 90% intervals; dashed: any order.",
            x="AUROC",
            line=0.5,
        ),
        plot_helpers.draw_dot_plot(
            select_metric("observed_to_expected"),
            key="kinds-ratio",
            title="Is the probability true for each kind?",
            says="Observed ÷ expected expansions, with 90% intervals; dashed: as expected.",
            x="observed ÷ expected",
            line=1.0,
        ),
    ]


def _build_row(name: str, segment: SegmentMetrics) -> TableRow:
    return [
        to_single_line(name, 40),
        f"{segment.snapshots:,}",
        f"{segment.expanded:,}",
        format_share(segment.expanded / segment.snapshots),
        *(format_cell(figure, segment.figures[figure]) for figure in _SEGMENT_METRICS),
    ]
