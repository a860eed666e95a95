"""What the commands share: their options, and how settings and history are opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import sqlalchemy as sa

    from data.config.settings import Settings
    from data.errors import DeliveryError
    from training.pipeline.training_run import TrainingHistory

__all__ = [
    "as_of_option",
    "build_history",
    "config_option",
    "crm_option",
    "html_option",
    "json_option",
    "load_settings_and_time",
    "open_database",
    "to_crm_error",
    "validate_table_path",
]

Command = Callable[..., Any]


def config_option(command: Command) -> Command:
    """Name the settings file."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        default=Path("expansion.toml"),
        show_default=True,
        help="The settings file.",
    )(command)


def validate_table_path(
    ctx: click.Context, param: click.Parameter, file: Path | None
) -> Path | None:  # noqa: ARG001
    """Refuse a file we could not write before the work, not after it."""
    from data.io import atomic

    if file is not None:
        atomic.validate_extension(file)
    return file


def html_option(command: Command) -> Command:
    """Write the answer as a page, too."""
    return click.option(
        "--html",
        "page",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_validate_html_path,
        help="Write it all as one self-contained page, to read offline or to send.",
    )(command)


def _validate_html_path(
    ctx: click.Context, param: click.Parameter, file: Path | None
) -> Path | None:  # noqa: ARG001
    """Refuse a name that no browser would take for a page, before the work."""
    from data.errors import DeliveryError

    if file is not None and file.suffix not in {".html", ".htm"}:
        raise DeliveryError(f"{file.name} ends neither in .html nor in .htm; name it so.")
    return file


def json_option(command: Command) -> Command:
    """Answer with one JSON object."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )


def crm_option(command: Command) -> Command:
    """Name a CRM other than that of the settings."""
    return click.option(
        "--crm", "name", help="Which CRM is meant; by default what the settings say."
    )(command)


def to_crm_error(name: str, error: Exception) -> DeliveryError:
    """Put what a CRM said into one sentence."""
    from data.errors import DeliveryError

    return DeliveryError(f"the CRM {name!r} does not answer as it should: {error}")


def as_of_option(command: Command) -> Command:
    """Look at the company as it stood at the start of a day."""
    return click.option(
        "--as-of",
        type=click.DateTime(["%Y-%m-%d"]),
        default=None,
        help="Start of this day, UTC; by default what the settings say, else today.",
    )(command)


def load_settings_and_time(config: Path) -> tuple[Settings, datetime]:
    """Read the settings and, once, the clock."""
    from data.config import settings

    return settings.load_settings(config), datetime.now(UTC)


def open_database(settings: Settings) -> sa.Engine:
    """Open the one SQL database, until the command ends."""
    from serving import store

    engine = store.open_engine(settings.database_url)
    click.get_current_context().call_on_close(engine.dispose)
    return engine


def build_history(
    settings: Settings, now: datetime, as_of: datetime | None, progress: Any
) -> TrainingHistory:  # noqa: ANN401
    """Read the tables, and build every snapshot up to an as-of."""
    from training.pipeline import training_run

    tables, log = training_run.load_data(settings, now=now, progress=progress)
    resolved_as_of = training_run.resolve_as_of(settings, log, now=now, requested=as_of)
    return training_run.build_history(settings, tables, log, resolved_as_of, progress=progress)
