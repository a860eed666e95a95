"""Report section that compares CSM feedback with contract outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.report.html_page import Paragraph, ReportSection
from training.report.metric_format import build_record_table, format_share

__all__ = ["build_feedback_sections"]


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
