"""Slack clients: Web API with a bot token, or an incoming webhook.

Slack has no idempotency key, so the SDK's retries are off. Each failure is classified: certainly
not posted, or unknown.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from http.client import HTTPException
from typing import Any, Final, TypeVar
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from serving.delivery.crm.base import AccessDeniedError, RetryableError
from serving.notify.slack.delivery import DeliveryUnknown, MessageRejected

__all__ = ["BotClient", "IncomingWebhook"]

ResponseT = TypeVar("ResponseT")
_EVENT_TYPE: Final = "expansion_message"
_PAGE_SIZE: Final = 200
# "It's possible some aspect of the operation succeeded before the error was raised."
_AMBIGUOUS_ERRORS: Final = {
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
}
_RATE_LIMIT_ERRORS: Final = {"ratelimited", "rate_limited"}
_ACCESS_ERRORS: Final = {
    *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"),
    *("missing_scope", "not_allowed_token_type", "no_permission", "access_denied"),
    *("ekm_access_denied", "team_access_not_granted"),
}
_TIMEOUT_SECONDS: Final = 30
_SILENT_LOGGER: Final = logging.getLogger("expansion.slack")
_SILENT_LOGGER.addHandler(logging.NullHandler())
_SILENT_LOGGER.propagate = False  # the client would log what it sends


class BotClient:
    """Bot that posts to channels it was invited to and to users, and finds its own messages.

    ``channels`` maps CSMs to channel or user ids; ``default_channel`` is for all others.
    """

    def __init__(
        self,
        token: str,
        *,
        channels: Mapping[str, str],
        default_channel: str | None,
        api_url: str,
        timeout_seconds: int = _TIMEOUT_SECONDS,
    ) -> None:
        self._channels, self._default_channel = channels, default_channel
        self._direct_messages: dict[str, str] = {}
        self._client = WebClient(
            token,
            base_url=api_url,
            timeout=timeout_seconds,
            retry_handlers=[],
            logger=_SILENT_LOGGER,
        )

    def __repr__(self) -> str:
        return f"BotClient({self._client.base_url!r})"

    def post_message(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        """Call ``chat.postMessage`` with our key in the message metadata."""
        response = _call_api(
            self._client.chat_postMessage,
            channel=channel,
            text=message["text"],
            blocks=message["blocks"],
            metadata={"event_type": _EVENT_TYPE, "event_payload": {"key": key}},
            unfurl_links=False,
            unfurl_media=False,
        )
        return str(response["ts"])

    def find_by_key(self, channel: str, key: str, since: datetime) -> str | None:
        """Search ``conversations.history`` since a time; only our app sees the metadata."""
        cursor: str | None = None
        while True:
            page = _call_read_api(
                self._client.conversations_history,
                channel=channel,
                oldest=f"{since.timestamp():.6f}",
                include_all_metadata=True,
                limit=_PAGE_SIZE,
                cursor=cursor,
            )
            for message in page["messages"]:
                if _read_key(message) == key:
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None

    def resolve_channel(self, csm: str | None) -> str | None:
        """Return the configured channel, else a direct message, else the default channel."""
        configured = self._channels.get(csm) if csm else None
        user = self._find_user(csm) if not configured and csm and "@" in csm else None
        destination = configured or user or self._default_channel
        if destination and destination.startswith(("U", "W")):
            return self._open_conversation(destination)
        return destination

    def _find_user(self, email: str) -> str | None:
        try:
            response = _call_read_api(self._client.users_lookupByEmail, email=email)
        except MessageRejected:  # unknown user
            return None
        return str(response["user"]["id"])

    def _open_conversation(self, user_id: str) -> str:
        if user_id not in self._direct_messages:
            response = _call_read_api(self._client.conversations_open, users=[user_id])
            self._direct_messages[user_id] = str(response["channel"]["id"])
        return self._direct_messages[user_id]


class IncomingWebhook:
    """Incoming webhook: one channel, and no way to search it."""

    def __init__(self, url: str, *, timeout_seconds: int = _TIMEOUT_SECONDS) -> None:
        self._client = WebhookClient(
            url, timeout=timeout_seconds, retry_handlers=[], logger=_SILENT_LOGGER
        )

    def __repr__(self) -> str:
        return "IncomingWebhook(...)"  # the URL is a secret

    def post_message(self, channel: str, message: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        """Post to the channel of the webhook."""
        response = _send_request(
            self._client.send,
            text=message["text"],
            blocks=message["blocks"],
            unfurl_links=False,
            unfurl_media=False,
        )
        if response.status_code >= 500:
            raise DeliveryUnknown(f"Slack responded with status {response.status_code}")
        if response.status_code == 429:
            raise RetryableError("Slack rate limit reached", _parse_retry_after(response.headers))
        if response.status_code in {403, 404, 410}:
            raise AccessDeniedError(
                f"Slack rejects this webhook ({response.body}); create a new one, and export it"
                " again"
            )
        if response.status_code != 200:
            raise MessageRejected(str(response.body))
        if response.body.strip() != "ok":
            raise DeliveryUnknown(f"unexpected response from Slack: {response.body[:100]}")
        return ""

    def find_by_key(self, channel: str, key: str, since: datetime) -> str | None:  # noqa: ARG002
        """Raise, because a webhook cannot search."""
        raise DeliveryUnknown("a webhook cannot search for a posted message")

    def resolve_channel(self, csm: str | None) -> str | None:  # noqa: ARG002
        """Return a placeholder, because a webhook has one channel."""
        return "webhook"


def _read_key(message: Mapping[str, Any]) -> str | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    return payload.get("key") if metadata.get("event_type") == _EVENT_TYPE else None


def _call_api(method: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401 - Slack's response
    """Call the Web API and classify its errors."""
    try:
        return _send_request(method, **arguments)
    except SlackApiError as error:
        raise _to_error(error) from None


def _call_read_api(method: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401
    """Call a read-only method, where a lost response can be retried."""
    try:
        return _call_api(method, **arguments)
    except DeliveryUnknown as error:
        raise RetryableError(str(error)) from error


def _send_request(send: Callable[..., ResponseT], **arguments: Any) -> ResponseT:  # noqa: ANN401
    try:
        return send(**arguments)
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError | socket.gaierror):
            raise RetryableError(f"Slack cannot be reached: {error.reason}") from error
        raise DeliveryUnknown(f"Slack did not respond: {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise DeliveryUnknown(f"Slack did not respond: {error or type(error).__name__}") from error


def _to_error(error: SlackApiError) -> Exception:
    response: Any = error.response
    code = str(response.get("error"))
    if response.status_code == 429 or code in _RATE_LIMIT_ERRORS:
        return RetryableError("Slack rate limit reached", _parse_retry_after(response.headers))
    if response.status_code >= 500 or code in _AMBIGUOUS_ERRORS or "non-JSON" in code:
        return DeliveryUnknown(f"Slack responded with status {response.status_code}, {code[:100]}")
    if code in _ACCESS_ERRORS:
        needed = f", needed is {response.get('needed')}" if response.get("needed") else ""
        return AccessDeniedError(
            f"Slack denies access: {code}{needed}; see docs/guides/slack.md for the required scopes"
        )
    return MessageRejected(code)


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    retry_after = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return float(retry_after) if str(retry_after).isdecimal() else None
