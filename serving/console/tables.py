"""What the data is fit for, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from serving.console.terminal import out

if TYPE_CHECKING:
    from serving.checkup import Checkup

__all__ = ["checkup", "suspicious"]


def checkup(report: Checkup) -> None:
    """Print what the data is fit for."""
    table = Table("table", "rows", "left out, by reason", title="What was read")
    for read in report.tables:
        reasons = {**read["quarantine"], **read["notes"]}
        told = "\n".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none"
        table.add_row(read["table"], f"{read['rows']:,}", told)
    out.print(table)
    out.print(f"The log spans {report.span['first_day']} to {report.span['last_day']}.")
    names = Table("event", "taken for", "rows", title="Event names")
    for event in report.events[:30]:
        names.add_row(escape(event["event"]), event["role"], f"{event['rows']:,}")
    out.print(names)
    if len(report.events) > 30:
        out.print(f"… and {len(report.events) - 30} more names")
    for lack in report.missing:
        out.print(f"Without {lack['lacks']}: {', '.join(lack['features'])}", highlight=False)
    told = ", ".join(f"{count:,} {reason}" for reason, count in report.excluded.items())
    out.print(f"{report.eligible:,} accounts are eligible now; not eligible: {told or 'none'}.")
    _history(report.history)
    for column in report.suspicious:
        suspicious(column)
    for item in report.checklist:
        mark = "[green]✓[/green]" if item["holds"] else "[red]✗[/red]"
        out.print(f"{mark} {item['question']}: {item['found']}", highlight=False)


def suspicious(column: Mapping[str, Any]) -> None:
    """Print of a column that it looks like the outcome, and what to do."""
    out.print(
        f"[red]![/red] {column['table']}.{escape(column['column'])} looks like the outcome: alone"
        f" it tells {column['positives']:,} expansions from the rest with an AUROC of"
        f" {column['auroc']:.2f}; {column['advice']}.",
        highlight=False,
    )


def _history(history: Mapping[str, Any]) -> None:
    if not history:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in history["expansions"].items())
    out.print(
        f"In {history['months']} months: expansions: {kinds or 'none'};"
        f" {history['unclear']:,} rises that cannot be told from a price change;"
        f" {history['ended']:,} contracts ended.",
        highlight=False,
    )
