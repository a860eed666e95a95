"""Slack notifications: weekly digests and single alerts. Setup: ``docs/guides/slack.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data.errors import DeliveryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.config.settings import Settings
    from serving.notify.digest.content import Digest
    from serving.notify.slack.protocol import SlackTransport
    from serving.notify.slack.repository import SlackMessage

__all__ = ["API_URL", "build_digest_messages", "open_transport"]

API_URL: Final = "https://slack.com/api/"


def open_transport(settings: Settings) -> SlackTransport:
    """Create the Slack transport from the ``[slack]`` settings, without any request.

    Raises
    ------
    data.errors.SettingsError
        If neither a bot token nor a webhook URL is set.
    data.errors.DeliveryError
        If ``slack-sdk`` is not installed.
    """
    config = settings.slack
    if config.bot_token is None and config.webhook_url is None:
        raise SettingsError(
            'slack: expected bot_token or webhook_url; write bot_token = "${SLACK_BOT_TOKEN}" under'
            " [slack], and export that variable."
        )
    try:
        from serving.notify.slack.client import BotClient, IncomingWebhook  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise DeliveryError(
            f"Slack needs {error.name}, which is not installed: pip install '.[slack]'."
        ) from error
    if config.bot_token is not None:
        return BotClient(
            config.bot_token.get_secret_value(),
            channels=config.channels,
            default_channel=config.channel,
            api_url=API_URL,
        )
    assert config.webhook_url is not None  # noqa: S101 - one of the two is set, checked above
    return IncomingWebhook(config.webhook_url.get_secret_value())


def build_digest_messages(digests: Sequence[Digest]) -> list[SlackMessage]:
    """Build one message per digest, with a deduplication key of list and CSM."""
    from serving.notify.digest import slack_blocks  # noqa: PLC0415 - opens templates
    from serving.notify.slack.repository import SlackMessage  # noqa: PLC0415

    return [
        SlackMessage(
            f"digest:{digest.as_of}:{digest.csm or ''}",
            digest.csm,
            slack_blocks.build_message(digest),
        )
        for digest in digests
    ]
