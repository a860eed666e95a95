"""Terminal summary of posted Slack messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.cli.output.terminal import stdout

if TYPE_CHECKING:
    from serving.notify.slack.delivery import PostSummary

__all__ = ["print_posts"]


def print_posts(summary: PostSummary) -> None:
    """Print the counts in one line, and one line per message that needs attention."""
    _print_line(
        f"{len(summary.posted):,} posted in Slack, {len(summary.already_posted):,} posted earlier"
    )
    for key in summary.unknown:
        _print_line(
            f"{key}: may have been posted; the webhook cannot confirm it. Use --repost-unknown"
            " to post it again."
        )
    for key in summary.unroutable:
        _print_line(f"{key}: no channel and no user with this e-mail; set one in slack.channels")
    for key, reason in summary.rejected.items():
        _print_line(f"{key}: rejected by Slack: {reason}")
    if summary.remaining:
        _print_line(f"{len(summary.remaining):,} remaining for the next run: {summary.stop_reason}")


def _print_line(text: str) -> None:
    stdout.print(text, highlight=False, markup=False)
