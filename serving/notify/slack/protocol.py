"""What posting asks of Slack, and what Slack may answer, whichever way the messages go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

__all__ = ["DeliveryUnknown", "MessageRejected", "SlackTransport"]


class DeliveryUnknown(Exception):  # noqa: N818 - named as what happened
    """The answer was lost: the message may have been posted."""


class MessageRejected(Exception):  # noqa: N818
    """Slack will not take this message, or not there, and says why."""


class SlackTransport(Protocol):
    """How messages get into Slack."""

    def post_message(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        """Post once, and give Slack's name of the message.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If it was surely not posted, and may be later.
        DeliveryUnknown
            If nobody can know.
        MessageRejected
            If Slack will not take it.
        serving.delivery.crm.base.AccessDeniedError
            If it will take nothing from us.
        """

    def find_by_key(self, channel: str, key: str, since: datetime) -> str | None:
        """Look for the message of a key, and give Slack's name of it.

        Raises
        ------
        DeliveryUnknown
            If it cannot be looked for.
        """

    def resolve_channel(self, csm: str | None) -> str | None:
        """Where to post what is for a CSM; None: nowhere is known."""
