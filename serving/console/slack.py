"""What became of messages in Slack, for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.console.terminal import out

if TYPE_CHECKING:
    from serving.slack.posting import Posted

__all__ = ["posted"]


def posted(said: Posted) -> None:
    """Print it: what was done in one line, and a line for each that a human should look at."""
    _line(f"{len(said.posted):,} posted in Slack, {len(said.earlier):,} posted before")
    for key in said.uncertain:
        _line(f"{key}: may have been posted, and the webhook cannot tell; --again posts it anew")
    for key in said.nowhere:
        _line(f"{key}: no channel and no user by e-mail; name one under slack.channels")
    for key, words in said.refused.items():
        _line(f"{key}: refused by Slack: {words}")
    if said.left:
        _line(f"{len(said.left):,} left for the next time: {said.words}")


def _line(text: str) -> None:
    out.print(text, highlight=False, markup=False)
