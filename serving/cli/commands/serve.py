"""The `serve` command: web page and webhook endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.cli.commands import options
from serving.cli.output import terminal

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["serve"]


@click.command()
@options.config_option
@click.option("--host", help="Address to listen on; by default the configured one.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0: any free port.")
@options.json_option
def serve(config: Path, host: str | None, port: int | None, as_json: bool) -> None:
    """Serve the list as a web page until stopped.

    If a webhook secret is configured, events are received too and processed by a child process.

    Example: expansion serve --port 8080
    """
    from contextlib import nullcontext
    from datetime import UTC, datetime

    from serving.events import supervisor
    from serving.web import app, uvicorn_server

    settings, _ = options.load_settings_and_time(config)
    settings = _override_address(settings, host, port)
    web_app = app.create_app(
        settings, options.open_database(settings), clock=lambda: datetime.now(UTC)
    )
    with uvicorn_server.bind_socket(settings.web.host, settings.web.port) as (socket, url):
        if as_json:
            terminal.print_json({"url": url, "sign_in": not settings.web.auth_disabled})
        else:
            terminal.print_line(f"Serving the list at {url}; press Ctrl-C to stop.")
        consumer = (
            supervisor.run_consumer_process(config) if settings.webhooks.secrets else nullcontext()
        )
        with consumer:
            uvicorn_server.run_server(web_app, socket)


def _override_address(settings: Settings, host: str | None, port: int | None) -> Settings:
    """Override host and port, with the validation of the settings."""
    from pydantic import ValidationError

    from data.config.settings import WebConfig
    from data.errors import SettingsError

    overrides = {"host": host, "port": port}
    changes = {name: value for name, value in overrides.items() if value is not None}
    try:
        web = WebConfig(**{**dict(settings.web), **changes})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"web: {message}.") from None
    return settings.model_copy(update={"web": web})
