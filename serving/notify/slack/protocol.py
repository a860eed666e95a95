"""Transport protocol for Slack messages, and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

__all__ = ["DeliveryUnknown", "MessageRejected", "SlackTransport"]


class DeliveryUnknown(Exception):  # noqa: N818 - named as what happened
    """The response was lost; the message may have been posted."""


class MessageRejected(Exception):  # noqa: N818
    """Slack rejects this message or this channel, with a reason."""


class SlackTransport(Protocol):
    """Transport that posts and finds Slack messages."""

    def post_message(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        """Post once, and return the message timestamp (``ts``).

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If it was certainly not posted, and a retry may succeed.
        DeliveryUnknown
            If it is unknown whether it was posted.
        MessageRejected
            If Slack rejects the message.
        serving.delivery.crm.base.AccessDeniedError
            If Slack rejects the credentials.
        """

    def find_by_key(self, channel: str, key: str, since: datetime) -> str | None:
        """Search for the message with this key, and return its timestamp (``ts``).

        Raises
        ------
        DeliveryUnknown
            If the transport cannot search.
        """

    def resolve_channel(self, csm: str | None) -> str | None:
        """Return the channel for a CSM, or None if none is known."""
