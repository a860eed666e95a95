"""What became of messages in Slack, for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.cli.output.terminal import stdout

if TYPE_CHECKING:
    from serving.notify.slack.delivery import PostSummary

__all__ = ["print_posts"]


def print_posts(summary: PostSummary) -> None:
    """Print it: what was done in one line, and a line for each that a human should look at."""
    _print_line(
        f"{len(summary.posted):,} posted in Slack, {len(summary.already_posted):,} posted before"
    )
    for key in summary.unknown:
        _print_line(
            f"{key}: may have been posted, and the webhook cannot tell; --again posts it anew"
        )
    for key in summary.unroutable:
        _print_line(f"{key}: no channel and no user by e-mail; name one under slack.channels")
    for key, words in summary.rejected.items():
        _print_line(f"{key}: refused by Slack: {words}")
    if summary.remaining:
        _print_line(f"{len(summary.remaining):,} left for the next time: {summary.stop_reason}")


def _print_line(text: str) -> None:
    stdout.print(text, highlight=False, markup=False)
