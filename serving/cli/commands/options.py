"""Options and helpers shared by the commands."""

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
    """Add the option for the settings file."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        default=Path("expansion.toml"),
        show_default=True,
        help="The settings file.",
    )(command)


def validate_table_path(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    file: Path | None,
) -> Path | None:
    """Reject an unsupported file extension before the work starts."""
    from data.io import atomic

    if file is not None:
        atomic.validate_extension(file)
    return file


def html_option(command: Command) -> Command:
    """Add the option for an HTML report."""
    return click.option(
        "--html",
        "page",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_validate_html_path,
        help="Also write a self-contained HTML report.",
    )(command)


def _validate_html_path(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    file: Path | None,
) -> Path | None:
    """Reject a file extension other than HTML before the work starts."""
    from data.errors import DeliveryError

    if file is not None and file.suffix not in {".html", ".htm"}:
        raise DeliveryError(f"{file.name} has an unsupported extension; expected .html or .htm.")
    return file


def json_option(command: Command) -> Command:
    """Add the option for JSON output."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )


def crm_option(command: Command) -> Command:
    """Add the option for a CRM other than the configured one."""
    return click.option("--crm", "name", help="CRM name; by default the configured one.")(command)


def to_crm_error(name: str, error: Exception) -> DeliveryError:
    """Convert a CRM exception to a one-sentence delivery error."""
    from data.errors import DeliveryError

    return DeliveryError(f"request to the CRM {name!r} failed: {error}")


def as_of_option(command: Command) -> Command:
    """Add the option for the as-of date."""
    return click.option(
        "--as-of",
        type=click.DateTime(["%Y-%m-%d"]),
        default=None,
        help="Start of this day, UTC; by default from the settings, else today.",
    )(command)


def load_settings_and_time(config: Path) -> tuple[Settings, datetime]:
    """Load the settings and read the clock once."""
    from data.config import settings

    return settings.load_settings(config), datetime.now(UTC)


def open_database(settings: Settings) -> sa.Engine:
    """Open the application database until the command ends."""
    from serving import store

    engine = store.open_engine(settings.database_url)
    click.get_current_context().call_on_close(engine.dispose)
    return engine


def build_history(
    settings: Settings,
    now: datetime,
    as_of: datetime | None,
    progress: Any,  # noqa: ANN401
) -> TrainingHistory:
    """Load the tables and build every snapshot up to an as-of."""
    from features.activity import load
    from training.pipeline import training_run

    tables, log = load.load_data(settings, now=now, progress=progress)
    resolved_as_of = training_run.resolve_as_of(settings, log, now=now, requested=as_of)
    return training_run.build_history(settings, tables, log, resolved_as_of, progress=progress)
