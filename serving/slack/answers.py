"""What posting asks of Slack, and what Slack may answer, whichever way the messages go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

__all__ = ["Lost", "Rejected", "Wire"]


class Lost(Exception):  # noqa: N818 - named as what happened
    """The answer was lost: the message may have been posted."""


class Rejected(Exception):  # noqa: N818
    """Slack will not take this message, or not there, and says why."""


class Wire(Protocol):
    """How messages get into Slack."""

    def post(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        """Post once, and give Slack's name of the message.

        Raises
        ------
        serving.crm.target.Transient
            If it was surely not posted, and may be later.
        Lost
            If nobody can know.
        Rejected
            If Slack will not take it.
        serving.crm.target.Denied
            If it will take nothing from us.
        """

    def find(self, channel: str, key: str, since: datetime) -> str | None:
        """Look for the message of a key, and give Slack's name of it.

        Raises
        ------
        Lost
            If it cannot be looked for.
        """

    def place(self, csm: str | None) -> str | None:
        """Where to post what is for a CSM; None: nowhere is known."""
