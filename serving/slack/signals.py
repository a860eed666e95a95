"""A single signal as a message: the account, its utilisation, what it runs into, and a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serving.digest.slack import literal
from serving.slack.posts import Post

__all__ = ["Signal", "post"]

_LIMITS: Final = {"seats": "seats", "usage": "usage limit", "plan": "plan"}


@dataclass(frozen=True)
class Signal:
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
    words : str or None
        What is said in place of the utilisation, such as "9/10 seats in use (90 %)".
    """

    key: str
    account: str
    limit: str
    utilisation: float | None = None
    csm: str | None = None
    link: str | None = None
    words: str | None = None


def post(signal: Signal) -> Post:
    """Say a signal as a message.

    Examples
    --------
    >>> said = post(Signal("s-1", "Acme <Ltd>", "seats", 0.93))
    >>> said.message["text"]
    'Acme &lt;Ltd&gt; uses 93 % of its seats'
    """
    text = _sentence(signal)
    shown = f"*{literal(signal.account)}*{text.removeprefix(literal(signal.account))}"
    blocks = [_section(shown)]
    if signal.link:
        # An address may hold none of Slack's own marks.
        safe = signal.link.translate({ord("<"): "%3C", ord(">"): "%3E", ord("|"): "%7C"})
        blocks.append(_section(f"<{safe}|Open the account>"))
    return Post(f"signal:{signal.key}", signal.csm, {"text": text, "blocks": blocks})


def _sentence(signal: Signal) -> str:
    what = _LIMITS.get(signal.limit, signal.limit)
    name = literal(signal.account)
    if signal.words is not None:
        return f"{name}: {literal(signal.words)}"
    if signal.utilisation is None:
        return f"{name} runs into its {literal(what)}"
    return f"{name} uses {signal.utilisation:.0%} of its {literal(what)}".replace("%", " %")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
