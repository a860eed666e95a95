"""What became of a list at the CRM, as the command that made it tells."""

from __future__ import annotations

from collections.abc import Mapping

from serving.console.terminal import out
from serving.crm.target import Kind

__all__ = ["counted", "unsent"]


def unsent(name: str, waiting: int) -> None:
    """Print how what was put down is sent, where nothing of it was."""
    if waiting:
        _say(
            f"Nothing was sent to {name} yet: {waiting:,} objects wait. Look at them with"
            f" `expansion crm send --crm {name} --dry-run`; without --dry-run it sends them."
        )


def counted(kinds: Mapping[Kind, int] | Mapping[str, int]) -> str:
    """Say how many of each kind, leaving out what there is none of."""
    plural = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}
    told = ((count, kind if count == 1 else plural[kind]) for kind, count in kinds.items())
    return ", ".join(f"{count:,} {words}" for count, words in told if count)


def _say(words: str) -> None:
    out.print(words, highlight=False, markup=False)
