"""The messages that are posted to Slack: one per digest, one per alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.notify.digest import slack_blocks
from serving.notify.digest.content import Digest
from serving.notify.digest.slack_blocks import escape_mrkdwn
from serving.notify.slack.delivery import SlackMessage

__all__ = ["build_alert_message", "build_digest_messages"]


def build_digest_messages(digests: Sequence[Digest]) -> list[SlackMessage]:
    """Build one message per digest, with a deduplication key of list and CSM."""
    return [
        SlackMessage(
            f"digest:{digest.as_of}:{digest.csm or ''}",
            digest.csm,
            slack_blocks.build_message(digest),
        )
        for digest in digests
    ]


def build_alert_message(
    key: str, account: str, text: str, *, csm: str | None, link: str | None
) -> SlackMessage:
    """Build the message of an account that crossed a threshold.

    ``key`` is the deduplication key of this crossing; ``link`` is the URL of the account page.

    Examples
    --------
    >>> text = "9/10 seats in use (90 %)"
    >>> message = build_alert_message("s-1", "Acme <Ltd>", text, csm=None, link=None)
    >>> message.payload["text"]
    'Acme &lt;Ltd&gt;: 9/10 seats in use (90 %)'
    """
    name, escaped_text = escape_mrkdwn(account), escape_mrkdwn(text)
    blocks = [_build_section(f"*{name}*: {escaped_text}")]
    if link:
        # Escape the characters that delimit links in Slack's mrkdwn.
        escaped_link = link.translate({ord("<"): "%3C", ord(">"): "%3E", ord("|"): "%7C"})
        blocks.append(_build_section(f"<{escaped_link}|Open the account>"))
    payload = {"text": f"{name}: {escaped_text}", "blocks": blocks}
    return SlackMessage(f"signal:{key}", csm, payload)


def _build_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
