"""Slack: the Monday digest to each CSM, and single signals. What its admin does: ``SLACK.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.errors import DeliveryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.settings import Settings
    from serving.digest.entries import Digest
    from serving.slack.answers import Wire
    from serving.slack.posts import Post

__all__ = ["of_digests", "open_wire"]


def open_wire(settings: Settings) -> Wire:
    """Open Slack as ``[slack]`` says; nothing is asked yet.

    Raises
    ------
    data.errors.SettingsError
        If neither a bot nor a webhook is named.
    data.errors.DeliveryError
        If Slack's library is not installed.
    """
    told = settings.slack
    if told.bot_token is None and told.webhook_url is None:
        raise SettingsError(
            'slack: expected bot_token or webhook_url; write bot_token = "${SLACK_BOT_TOKEN}" under'
            " [slack], and export that variable."
        )
    try:
        from serving.slack.wire import Bot, Webhook  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise DeliveryError(
            f"Slack needs {error.name}, which is not installed: pip install '.[slack]'."
        ) from error
    if told.bot_token is not None:
        return Bot(
            told.bot_token.get_secret_value(),
            channels=told.channels,
            default=told.channel,
            api_url=told.api_url,
            timeout_seconds=told.timeout_seconds,
        )
    assert told.webhook_url is not None  # noqa: S101 - one of both, as said above
    return Webhook(told.webhook_url.get_secret_value(), timeout_seconds=told.timeout_seconds)


def of_digests(digests: Sequence[Digest]) -> list[Post]:
    """Say digests as messages: one for each CSM and list, however often that is written."""
    from serving.digest import slack  # noqa: PLC0415 - opens templates
    from serving.slack.posts import Post  # noqa: PLC0415

    return [
        Post(f"digest:{each.as_of}:{each.csm or ''}", each.csm, slack.message(each))
        for each in digests
    ]
