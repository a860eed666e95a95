"""The command that serves the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.commands import options

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["serve"]


@click.command()
@options.config
@click.option("--host", help="Address to listen on; by default what the settings say.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Likewise, the port; 0: a free one.")
@options.as_json
def serve(config: Path, host: str | None, port: int | None, as_json: bool) -> None:
    """Serve the list as a page for the browser, until it is stopped.

    Where a webhook has its secret, events are taken, too, and watched by a process beside it.

    Example: expansion serve --port 8080
    """
    from contextlib import nullcontext
    from datetime import UTC, datetime

    from serving import console
    from serving.events import process
    from serving.web import app, server

    settings, _ = options.opened(config)
    settings = _elsewhere(settings, host, port)
    made = app.make(settings, options.database(settings), clock=lambda: datetime.now(UTC))
    with server.listening(settings.web.host, settings.web.port) as (socket, url):
        if as_json:
            console.emit({"url": url, "sign_in": not settings.web.open})
        else:
            console.out.print(f"The list is at {url}; Ctrl-C stops.", highlight=False, markup=False)
        watched = process.watching(config) if process.is_wanted(settings) else nullcontext()
        with watched:
            server.run(made, socket)


def _elsewhere(settings: Settings, host: str | None, port: int | None) -> Settings:
    """Listen elsewhere than the settings say, by the same rules."""
    from pydantic import ValidationError

    from data.errors import SettingsError
    from data.settings import Web

    told = {"host": host, "port": port}
    changed = {name: value for name, value in told.items() if value is not None}
    try:
        web = Web(**{**dict(settings.web), **changed})
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"web: {words}.") from None
    return settings.model_copy(update={"web": web})
