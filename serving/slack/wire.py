"""The wire to Slack: its Web API with a bot's token, or an incoming webhook.

Slack knows no way to ask for a message twice and get one. So its client may try nothing again by
itself, and each failure is sorted: it was surely not posted, or nobody can know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from http.client import HTTPException
from typing import Any, Final, TypeVar
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from serving.crm.target import Denied, Transient
from serving.slack.answers import Lost, Rejected

__all__ = ["Bot", "Webhook"]

Told = TypeVar("Told")
_EVENT: Final = "expansion_message"
_PAGE: Final = 200
# "It's possible some aspect of the operation succeeded before the error was raised."
_UNKNOWN: Final = {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}
_BUSY: Final = {"ratelimited", "rate_limited"}
_DENIED: Final = {
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "not_allowed_token_type",
    "no_permission",
    "access_denied",
    "ekm_access_denied",
    "team_access_not_granted",
}
_QUIET: Final = logging.getLogger("expansion.slack")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False  # the client would log what it sends


class Bot:
    """A bot, which posts anywhere it was invited to, and to people; it finds its messages again.

    ``channels`` maps CSMs to ids of channels or users, ``default`` is where the rest goes.
    """

    def __init__(
        self,
        token: str,
        *,
        channels: Mapping[str, str],
        default: str | None,
        api_url: str = "https://slack.com/api/",
        timeout_seconds: int = 30,
    ) -> None:
        self._channels, self._default = channels, default
        self._open: dict[str, str] = {}
        self._client = WebClient(
            token, base_url=api_url, timeout=timeout_seconds, retry_handlers=[], logger=_QUIET
        )

    def __repr__(self) -> str:
        return f"Bot({self._client.base_url!r})"

    def post(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        """Post with our key in the message's metadata, which people do not see."""
        answer = _told(
            lambda: self._client.chat_postMessage(
                channel=channel,
                text=message["text"],
                blocks=message["blocks"],
                metadata={"event_type": _EVENT, "event_payload": {"key": key}},
                unfurl_links=False,
                unfurl_media=False,
            )
        )
        return str(answer["ts"])

    def find(self, channel: str, key: str, since: datetime) -> str | None:
        """Read the channel's messages from a moment on; metadata are shown to their app only."""
        history = partial(
            self._client.conversations_history,
            channel=channel,
            oldest=f"{since.timestamp():.6f}",
            include_all_metadata=True,
            limit=_PAGE,
        )
        page = _asked(history)
        while True:
            for message in page["messages"]:
                if _key(message) == key:
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None
            page = _asked(partial(history, cursor=cursor))

    def place(self, csm: str | None) -> str | None:
        """Give the CSM's channel of the settings, else a talk with them, else the common one."""
        told = self._channels.get(csm) if csm else None
        place = told or (self._user(csm) if csm and "@" in csm else None) or self._default
        if place and place.startswith(("U", "W")):
            return self._talk(place)
        return place

    def _user(self, email: str) -> str | None:
        try:
            answer = _asked(lambda: self._client.users_lookupByEmail(email=email))
        except Rejected:  # no such user
            return None
        return str(answer["user"]["id"])

    def _talk(self, user: str) -> str:
        if user not in self._open:
            answer = _asked(lambda: self._client.conversations_open(users=[user]))
            self._open[user] = str(answer["channel"]["id"])
        return self._open[user]


class Webhook:
    """An incoming webhook: one channel, and no way to look what stands there."""

    def __init__(self, url: str, *, timeout_seconds: int = 30) -> None:
        self._client = WebhookClient(url, timeout=timeout_seconds, retry_handlers=[], logger=_QUIET)

    def __repr__(self) -> str:
        return "Webhook(...)"  # its address is a secret

    def post(self, channel: str, message: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        """Post into the channel that the webhook is of."""
        answer = _sent(
            lambda: self._client.send(
                text=message["text"],
                blocks=message["blocks"],
                unfurl_links=False,
                unfurl_media=False,
            )
        )
        if answer.status_code >= 500:
            raise Lost(f"Slack answered {answer.status_code}")
        if answer.status_code == 429:
            raise Transient("Slack asks us to wait", _after(answer.headers))
        if answer.status_code in {403, 404, 410}:
            raise Denied(
                f"Slack takes nothing from this webhook ({answer.body}); make a new one, and export"
                " it anew"
            )
        if answer.status_code != 200:
            raise Rejected(str(answer.body))
        if answer.body.strip() != "ok":
            raise Lost(f"Slack answered {answer.body[:100]}")
        return ""

    def find(self, channel: str, key: str, since: datetime) -> str | None:  # noqa: ARG002
        """Say that it cannot."""
        raise Lost("a webhook cannot look what was posted")

    def place(self, csm: str | None) -> str | None:  # noqa: ARG002
        """All goes to its one channel."""
        return "webhook"


def _key(message: Mapping[str, Any]) -> str | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    return payload.get("key") if metadata.get("event_type") == _EVENT else None


def _told(ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - Slack's answer
    """Ask the Web API, and sort what goes wrong."""
    try:
        return _sent(ask)
    except SlackApiError as error:
        raise _fault(error) from None


def _asked(ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - Slack's answer
    """Ask what changes nothing: a lost answer may be asked for again."""
    try:
        return _told(ask)
    except Lost as error:
        raise Transient(str(error)) from error


def _sent(send: Callable[[], Told]) -> Told:
    try:
        return send()
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError) or _has_no_address(error.reason):
            raise Transient(f"Slack cannot be reached: {error.reason}") from error
        raise Lost(f"Slack did not answer: {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise Lost(f"Slack did not answer: {error or type(error).__name__}") from error


def _has_no_address(reason: object) -> bool:
    return type(reason).__name__ == "gaierror"


def _fault(error: SlackApiError) -> Exception:
    answer: Any = error.response
    told = str(answer.get("error"))
    if answer.status_code == 429 or told in _BUSY:
        return Transient("Slack asks us to wait", _after(answer.headers))
    if answer.status_code >= 500 or told in _UNKNOWN or "non-JSON" in told:
        return Lost(f"Slack answered {answer.status_code}, {told[:100]}")
    if told in _DENIED:
        needed = f", needed is {answer.get('needed')}" if answer.get("needed") else ""
        return Denied(
            f"Slack denies us: {told}{needed}; see serving/SLACK.md for what the bot needs"
        )
    return Rejected(told)


def _after(headers: Mapping[str, str]) -> float | None:
    told = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return float(told) if str(told).isdecimal() else None
