"""The section that holds what humans said of the lists against what the contracts then showed."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.report.html_page import Paragraph, ReportSection, ReportTable
from training.report.metric_format import format_share

__all__ = ["build_feedback_sections"]


def build_feedback_sections(feedback: Sequence[Mapping[str, Any]]) -> list[ReportSection]:
    """Show the answers; nothing where none was given."""
    if not feedback:
        return []
    note = (
        "No answer is a label: what counts as an expansion is read from the contracts alone. Where"
        " the two disagree, look at both: an account that was called won and shows no expansion,"
        " or one that was called wrong and expanded."
    )
    table = ReportTable(
        "The last answer on each account of each list, beside the chance that the list told and"
        " what became of the account within the horizon",
        ["answer", "given", "chance told", "outcome known", "expanded"],
        [_build_row(each) for each in feedback],
    )
    return [ReportSection("said", "What humans said of the lists", [Paragraph(note), table])]


def _build_row(entry: Mapping[str, Any]) -> list[str]:
    chance = "" if entry["expected"] is None else format_share(entry["expected"])
    return [
        entry["verdict"],
        f"{entry['answers']:,}",
        chance,
        f"{entry['known']:,}",
        f"{entry['expanded']:,}",
    ]
