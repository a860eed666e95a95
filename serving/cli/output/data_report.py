"""Terminal view of the data quality report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from serving.cli.output.terminal import stdout

if TYPE_CHECKING:
    from training.data_quality.report import DataQualityReport

__all__ = ["print_data_report", "print_leakage_warning"]


def print_data_report(report: DataQualityReport) -> None:
    """Print the data quality report."""
    table = Table("table", "rows", "rejected, by reason", title="Loaded tables")
    for table_report in report.tables:
        reasons = {**table_report["quarantine"], **table_report["notes"]}
        reason_counts = (
            "\n".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none"
        )
        table.add_row(table_report["table"], f"{table_report['rows']:,}", reason_counts)
    stdout.print(table)
    stdout.print(f"The log spans {report.span['first_day']} to {report.span['last_day']}.")
    names = Table("event", "role", "rows", title="Event names")
    for event in report.events[:30]:
        names.add_row(escape(event["event"]), event["role"], f"{event['rows']:,}")
    stdout.print(names)
    if len(report.events) > 30:
        stdout.print(f"… and {len(report.events) - 30} more names")
    for gap in report.missing:
        stdout.print(
            f"Without {gap['missing_input']}: {', '.join(gap['features'])}", highlight=False
        )
    reason_counts = ", ".join(f"{count:,} {reason}" for reason, count in report.excluded.items())
    stdout.print(
        f"{report.eligible:,} accounts are eligible now; not eligible: {reason_counts or 'none'}."
    )
    _print_history(report.history)
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


def _print_history(history: Mapping[str, Any]) -> None:
    if not history:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in history["expansions"].items())
    stdout.print(
        f"In {history['months']} months: expansions: {kinds or 'none'};"
        f" {history['unclear']:,} increases that may be price changes;"
        f" {history['ended']:,} contracts ended.",
        highlight=False,
    )
