"""Counts of CRM objects, as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from serving.cli.output.terminal import stdout
from serving.delivery.crm.base import Kind

__all__ = ["format_counts", "print_send_hint"]


def print_send_hint(name: str, pending: int) -> None:
    """Print the commands that send pending objects, if nothing was sent."""
    if pending:
        _print_line(
            f"Nothing was sent to {name} yet: {pending:,} objects are pending. Preview them with"
            f" `expansion crm send --crm {name} --dry-run`; omit --dry-run to send them."
        )


def format_counts(kinds: Mapping[Kind, int] | Mapping[str, int]) -> str:
    """Format the count of each kind, omitting zeros."""
    plural = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}
    counts = ((count, kind if count == 1 else plural[kind]) for kind, count in kinds.items())
    return ", ".join(f"{count:,} {noun}" for count, noun in counts if count)


def _print_line(text: str) -> None:
    stdout.print(text, highlight=False, markup=False)
