"""Terminal view of the data quality report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from serving.cli.output.terminal import print_line, print_table, stdout

if TYPE_CHECKING:
    from training.data_quality.report import DataQualityReport

__all__ = ["print_data_report", "print_leakage_warning"]

_MAX_EVENT_NAMES = 30


def print_data_report(report: DataQualityReport) -> None:
    """Print the data quality report."""
    print_table(
        "Loaded tables",
        ["table", "rows", "rejected, by reason"],
        [
            (
                table["table"],
                f"{table['rows']:,}",
                _list_counts({**table["quarantine"], **table["notes"]}, "\n"),
            )
            for table in report.tables
        ],
    )
    print_line(f"The log spans {report.span['first_day']} to {report.span['last_day']}.")
    print_table(
        "Event names",
        ["event", "role", "rows"],
        [
            (event["event"], event["role"], f"{event['rows']:,}")
            for event in report.events[:_MAX_EVENT_NAMES]
        ],
    )
    if len(report.events) > _MAX_EVENT_NAMES:
        print_line(f"… and {len(report.events) - _MAX_EVENT_NAMES} more names")
    for gap in report.missing:
        print_line(f"Without {gap['missing_input']}: {', '.join(gap['features'])}")
    print_line(
        f"{report.eligible:,} accounts are eligible now; not eligible:"
        f" {_list_counts(report.excluded)}."
    )
    if history := report.history:
        print_line(
            f"In {history['months']} months: expansions: {_list_counts(history['expansions'])};"
            f" {history['unclear']:,} increases that may be price changes;"
            f" {history['ended']:,} contracts ended."
        )
    for column in report.leakage:
        print_leakage_warning(column)
    for item in report.checklist:
        mark = "[green]✓[/green]" if item["passed"] else "[red]✗[/red]"
        stdout.print(f"{mark} {item['question']}: {item['found']}", highlight=False)


def print_leakage_warning(column: Mapping[str, Any]) -> None:
    """Print a warning about a column that may leak the label, with advice."""
    stdout.print(
        f"[red]![/red] {column['table']}.{escape(column['column'])} may leak the label: alone"
        f" it separates {column['positives']:,} expansions from the rest with an AUROC of"
        f" {column['auroc']:.2f}; {column['advice']}.",
        highlight=False,
    )


def _list_counts(counts: Mapping[str, int], separator: str = ", ") -> str:
    return separator.join(f"{count:,} {reason}" for reason, count in counts.items()) or "none"
