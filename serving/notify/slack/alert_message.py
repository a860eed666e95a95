"""Alert message: account, utilization, limit and a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serving.notify.digest.slack_blocks import escape_mrkdwn
from serving.notify.slack.repository import SlackMessage

__all__ = ["AlertMessage", "build_alert_message"]

_LIMIT_NAMES: Final = {"seats": "seats", "usage": "usage limit", "plan": "plan"}


@dataclass(frozen=True)
class AlertMessage:
    """An account that crossed a threshold.

    Attributes
    ----------
    key : str
        Deduplication key of this crossing.
    account : str
        Account name.
    limit : {"seats", "usage", "plan"}
        The limit that is reached.
    utilization : float or None
        Used share of the limit; 1 is the limit.
    csm : str or None
        Recipient; None uses the default channel.
    link : str or None
        URL of the account page.
    text : str or None
        Text that replaces the utilization, such as "9/10 seats in use (90 %)".
    """

    key: str
    account: str
    limit: str
    utilization: float | None = None
    csm: str | None = None
    link: str | None = None
    text: str | None = None


def build_alert_message(alert: AlertMessage) -> SlackMessage:
    """Build the Slack message of an alert.

    Examples
    --------
    >>> message = build_alert_message(AlertMessage("s-1", "Acme <Ltd>", "seats", 0.93))
    >>> message.payload["text"]
    'Acme &lt;Ltd&gt; uses 93 % of its seats'
    """
    text = _format_text(alert)
    headline = f"*{escape_mrkdwn(alert.account)}*{text.removeprefix(escape_mrkdwn(alert.account))}"
    blocks = [_build_section(headline)]
    if alert.link:
        # Escape the characters that delimit links in Slack's mrkdwn.
        escaped_link = alert.link.translate({ord("<"): "%3C", ord(">"): "%3E", ord("|"): "%7C"})
        blocks.append(_build_section(f"<{escaped_link}|Open the account>"))
    return SlackMessage(f"signal:{alert.key}", alert.csm, {"text": text, "blocks": blocks})


def _format_text(alert: AlertMessage) -> str:
    limit_name = _LIMIT_NAMES.get(alert.limit, alert.limit)
    name = escape_mrkdwn(alert.account)
    if alert.text is not None:
        return f"{name}: {escape_mrkdwn(alert.text)}"
    if alert.utilization is None:
        return f"{name} runs into its {escape_mrkdwn(limit_name)}"
    return f"{name} uses {alert.utilization:.0%} of its {escape_mrkdwn(limit_name)}".replace(
        "%", " %"
    )


def _build_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
