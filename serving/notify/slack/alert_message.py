"""A single signal as a message: the account, its utilisation, what it runs into, and a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serving.notify.digest.slack_blocks import escape_mrkdwn
from serving.notify.slack.repository import SlackMessage

__all__ = ["AlertMessage", "build_alert_message"]

_LIMIT_NAMES: Final = {"seats": "seats", "usage": "usage limit", "plan": "plan"}


@dataclass(frozen=True)
class AlertMessage:
    """An account has crossed a line.

    Attributes
    ----------
    key : str
        Our own name of this crossing: it is told once.
    account : str
        Name of the account.
    limit : {"seats", "usage", "plan"}
        What it runs into.
    utilisation : float or None
        Share of the limit in use, 1 at the limit.
    csm : str or None
        Who is told; nobody known: the common channel is.
    link : str or None
        Where more stands.
    text : str or None
        What is said in place of the utilisation, such as "9/10 seats in use (90 %)".
    """

    key: str
    account: str
    limit: str
    utilisation: float | None = None
    csm: str | None = None
    link: str | None = None
    text: str | None = None


def build_alert_message(alert: AlertMessage) -> SlackMessage:
    """Say a signal as a message.

    Examples
    --------
    >>> said = build_alert_message(AlertMessage("s-1", "Acme <Ltd>", "seats", 0.93))
    >>> said.message["text"]
    'Acme &lt;Ltd&gt; uses 93 % of its seats'
    """
    text = _format_text(alert)
    headline = f"*{escape_mrkdwn(alert.account)}*{text.removeprefix(escape_mrkdwn(alert.account))}"
    blocks = [_build_section(headline)]
    if alert.link:
        # An address may hold none of Slack's own marks.
        escaped_link = alert.link.translate({ord("<"): "%3C", ord(">"): "%3E", ord("|"): "%7C"})
        blocks.append(_build_section(f"<{escaped_link}|Open the account>"))
    return SlackMessage(f"signal:{alert.key}", alert.csm, {"text": text, "blocks": blocks})


def _format_text(alert: AlertMessage) -> str:
    limit_name = _LIMIT_NAMES.get(alert.limit, alert.limit)
    name = escape_mrkdwn(alert.account)
    if alert.text is not None:
        return f"{name}: {escape_mrkdwn(alert.text)}"
    if alert.utilisation is None:
        return f"{name} runs into its {escape_mrkdwn(limit_name)}"
    return f"{name} uses {alert.utilisation:.0%} of its {escape_mrkdwn(limit_name)}".replace(
        "%", " %"
    )


def _build_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
