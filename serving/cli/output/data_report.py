"""What the data is fit for, in the terminal."""

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
    """Print what the data is fit for."""
    table = Table("table", "rows", "left out, by reason", title="What was read")
    for read in report.tables:
        reasons = {**read["quarantine"], **read["notes"]}
        reason_counts = (
            "\n".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none"
        )
        table.add_row(read["table"], f"{read['rows']:,}", reason_counts)
    stdout.print(table)
    stdout.print(f"The log spans {report.span['first_day']} to {report.span['last_day']}.")
    names = Table("event", "taken for", "rows", title="Event names")
    for event in report.events[:30]:
        names.add_row(escape(event["event"]), event["role"], f"{event['rows']:,}")
    stdout.print(names)
    if len(report.events) > 30:
        stdout.print(f"… and {len(report.events) - 30} more names")
    for lack in report.missing:
        stdout.print(f"Without {lack['lacks']}: {', '.join(lack['features'])}", highlight=False)
    reason_counts = ", ".join(f"{count:,} {reason}" for reason, count in report.excluded.items())
    stdout.print(
        f"{report.eligible:,} accounts are eligible now; not eligible: {reason_counts or 'none'}."
    )
    _print_history(report.history)
    for column in report.suspicious:
        print_leakage_warning(column)
    for item in report.checklist:
        mark = "[green]✓[/green]" if item["holds"] else "[red]✗[/red]"
        stdout.print(f"{mark} {item['question']}: {item['found']}", highlight=False)


def print_leakage_warning(column: Mapping[str, Any]) -> None:
    """Print of a column that it looks like the outcome, and what to do."""
    stdout.print(
        f"[red]![/red] {column['table']}.{escape(column['column'])} looks like the outcome: alone"
        f" it tells {column['positives']:,} expansions from the rest with an AUROC of"
        f" {column['auroc']:.2f}; {column['advice']}.",
        highlight=False,
    )


def _print_history(history: Mapping[str, Any]) -> None:
    if not history:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in history["expansions"].items())
    stdout.print(
        f"In {history['months']} months: expansions: {kinds or 'none'};"
        f" {history['unclear']:,} rises that cannot be told from a price change;"
        f" {history['ended']:,} contracts ended.",
        highlight=False,
    )
