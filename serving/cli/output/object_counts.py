"""What became of a list at the CRM, as the command that made it tells."""

from __future__ import annotations

from collections.abc import Mapping

from serving.cli.output.terminal import stdout
from serving.delivery.crm.base import Kind

__all__ = ["format_counts", "print_send_hint"]


def print_send_hint(name: str, waiting: int) -> None:
    """Print how what was put down is sent, where nothing of it was."""
    if waiting:
        _print_line(
            f"Nothing was sent to {name} yet: {waiting:,} objects wait. Look at them with"
            f" `expansion crm send --crm {name} --dry-run`; without --dry-run it sends them."
        )


def format_counts(kinds: Mapping[Kind, int] | Mapping[str, int]) -> str:
    """Say how many of each kind, leaving out what there is none of."""
    plural = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}
    counts = ((count, kind if count == 1 else plural[kind]) for kind, count in kinds.items())
    return ", ".join(f"{count:,} {words}" for count, words in counts if count)


def _print_line(text: str) -> None:
    stdout.print(text, highlight=False, markup=False)
