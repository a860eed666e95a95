"""Report section that compares CSM feedback with contract outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.report.html_page import Paragraph, ReportSection, ReportTable
from training.report.metric_format import format_share

__all__ = ["build_feedback_sections"]


def build_feedback_sections(feedback: Sequence[Mapping[str, Any]]) -> list[ReportSection]:
    """Build the feedback section; none without feedback."""
    if not feedback:
        return []
    note = (
        "Feedback is not a label: expansions are read from contracts only. Check both where they"
        " disagree: an account marked won without an expansion, or one marked wrong that expanded."
    )
    table = ReportTable(
        "Latest feedback per account and list, with the probability on the list and the outcome"
        " within the horizon",
        ["feedback", "entries", "mean probability", "labelled", "expanded"],
        [_build_row(entry) for entry in feedback],
    )
    return [ReportSection("feedback", "CSM feedback on the lists", [Paragraph(note), table])]


def _build_row(entry: Mapping[str, Any]) -> list[str]:
    probability = "" if entry["expected"] is None else format_share(entry["expected"])
    return [
        entry["verdict"],
        f"{entry['entries']:,}",
        probability,
        f"{entry['labelled']:,}",
        f"{entry['expanded']:,}",
    ]
