"""What the commands share: their options, and how settings and history are opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import sqlalchemy as sa

    from data.errors import DeliveryError
    from data.settings import Settings
    from training.pipeline import History

__all__ = [
    "as_json",
    "as_of",
    "config",
    "crm",
    "database",
    "history",
    "html",
    "opened",
    "refused",
    "table_file",
]

Command = Callable[..., Any]


def config(command: Command) -> Command:
    """Name the settings file."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        default=Path("expansion.toml"),
        show_default=True,
        help="The settings file.",
    )(command)


def table_file(ctx: click.Context, param: click.Parameter, file: Path | None) -> Path | None:  # noqa: ARG001
    """Refuse a file we could not write before the work, not after it."""
    from data import writing

    if file is not None:
        writing.check_ending(file)
    return file


def html(command: Command) -> Command:
    """Write the answer as a page, too."""
    return click.option(
        "--html",
        "page",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_page_file,
        help="Write it all as one self-contained page, to read offline or to send.",
    )(command)


def _page_file(ctx: click.Context, param: click.Parameter, file: Path | None) -> Path | None:  # noqa: ARG001
    """Refuse a name that no browser would take for a page, before the work."""
    from data.errors import DeliveryError

    if file is not None and file.suffix not in {".html", ".htm"}:
        raise DeliveryError(f"{file.name} ends neither in .html nor in .htm; name it so.")
    return file


def as_json(command: Command) -> Command:
    """Answer with one JSON object."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )


def crm(command: Command) -> Command:
    """Name a CRM other than that of the settings."""
    return click.option(
        "--crm", "name", help="Which CRM is meant; by default what the settings say."
    )(command)


def refused(name: str, error: Exception) -> DeliveryError:
    """Put what a CRM said into one sentence."""
    from data.errors import DeliveryError

    return DeliveryError(f"the CRM {name!r} does not answer as it should: {error}")


def as_of(command: Command) -> Command:
    """Look at the company as it stood at the start of a day."""
    return click.option(
        "--as-of",
        type=click.DateTime(["%Y-%m-%d"]),
        default=None,
        help="Start of this day, UTC; by default what the settings say, else today.",
    )(command)


def opened(config: Path) -> tuple[Settings, datetime]:
    """Read the settings and, once, the clock."""
    from data import settings

    return settings.load(config), datetime.now(UTC)


def database(settings: Settings) -> sa.Engine:
    """Open the one SQL database, until the command ends."""
    from serving import state

    engine = state.open(settings.crm_url)
    click.get_current_context().call_on_close(engine.dispose)
    return engine


def history(settings: Settings, now: datetime, as_of: datetime | None, stage: Any) -> History:  # noqa: ANN401
    """Read the tables, and build every snapshot up to an as-of."""
    from training import pipeline

    tables, log = pipeline.read(settings, now=now, progress=stage)
    moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
    return pipeline.history(settings, tables, log, moment, progress=stage)
