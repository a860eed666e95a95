"""Report section on the model's metrics by account segment."""

from collections.abc import Mapping
from typing import Final

from training.evaluation.evaluate import EvaluationResult
from training.evaluation.segments import SegmentMetrics
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
    """Build the metrics by size, plan, tenure, and segment where it is time-invariant."""
    heading = "Metrics by account segment"
    segments = {
        dimension: members
        for dimension, members in evaluation.segment_metrics.items()
        if len(members) > 1
    }
    if not segments:
        note = Paragraph("All evaluated accounts are in one segment.")
        return ReportSection("segments", heading, [note])
    rows: list[TableRow] = []
    for dimension, members in segments.items():
        rows.append(GroupRow(dimension.capitalize()))
        rows += [
            [
                to_single_line(name, 40),
                f"{segment.snapshots:,}",
                f"{segment.expanded:,}",
                format_share(segment.expanded / segment.snapshots),
                *(format_cell(metric, segment.metrics[metric]) for metric in _SEGMENT_METRICS),
            ]
            for name, segment in members.items()
        ]
    titles = [format_title(name) for name in _SEGMENT_METRICS[:2]]
    table = ReportTable(
        "The model by account segment, with 90% intervals; precision is that of the accounts"
        " within the team's capacity",
        ["segment", "snapshots", "expanded", "rate", *titles, "precision"],
        rows,
    )
    note = Paragraph(
        "Size is licensed seats, or users where no seats are sold; plan and tenure are those at the"
        f" as-of. Segments with fewer than {_MIN_EXPANSIONS} expansions are only in the table:"
        " their metrics carry little information."
    )
    return ReportSection("segments", heading, [note, *_draw_segments(segments), table])


def _draw_segments(segments: Mapping[str, Mapping[str, SegmentMetrics]]) -> list[SectionPart]:
    auroc, ratio = (
        {
            f"{dimension}: {to_single_line(name, 24)}": segment.metrics[metric]
            for dimension, members in segments.items()
            for name, segment in members.items()
            if segment.expanded >= _MIN_EXPANSIONS
        }
        for metric in ("auroc", "observed_to_expected")
    )
    if not auroc:
        return []
    return [
        plot_helpers.draw_dot_plot(
            auroc,
            "segments-auroc",
            x="AUROC",
            line=0.5,
        ),
        plot_helpers.draw_dot_plot(
            ratio,
            "segments-ratio",
            x="observed ÷ expected",
            line=1.0,
        ),
    ]
