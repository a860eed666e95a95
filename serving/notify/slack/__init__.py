"""Slack notifications: weekly digests and single alerts. Setup: ``docs/guides/slack.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data.errors import DeliveryError, SettingsError

if TYPE_CHECKING:
    from data.config.settings import SlackConfig
    from serving.notify.slack.delivery import SlackTransport

__all__ = ["API_URL", "open_transport"]

API_URL: Final = "https://slack.com/api/"


def open_transport(config: SlackConfig) -> SlackTransport:
    """Create the Slack transport, without any request.

    Raises ``SettingsError`` if neither a bot token nor a webhook URL is set. Raises
    ``DeliveryError`` if ``slack-sdk`` is not installed.
    """
    token, url = config.bot_token, config.webhook_url
    if token is None and url is None:
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
    if token is not None:
        return BotClient(
            token.get_secret_value(),
            channels=config.channels,
            default_channel=config.channel,
            api_url=API_URL,
        )
    assert url is not None  # noqa: S101 - one of the two is set, checked above
    return IncomingWebhook(url.get_secret_value())
