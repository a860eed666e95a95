"""Options and helpers shared by the commands."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import sqlalchemy as sa

    from data.config.settings import Settings
    from data.ingest.table_loader import Tables
    from features.activity.daily_tables import Activity
    from training.pipeline.training_run import TrainingHistory

__all__ = [
    "as_of_option",
    "build_history",
    "config_option",
    "crm_option",
    "html_option",
    "json_option",
    "load_data",
    "load_latest_as_of",
    "load_settings_and_time",
    "open_crm_queue",
    "open_database",
    "validate_table_path",
    "write_page",
]


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


config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=Path("expansion.toml"),
    show_default=True,
    help="The settings file.",
)
html_option = click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_validate_html_path,
    help="Also write a self-contained HTML report.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
crm_option = click.option("--crm", "name", help="CRM name; by default the configured one.")
as_of_option = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="Start of this day, UTC; by default from the settings, else today.",
)


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


def open_crm_queue(config: Path, name: str | None) -> tuple[sa.Engine, str]:
    """Open the database with the objects of a CRM, and resolve the CRM's name."""
    from serving.delivery.crm import registry

    settings, _ = load_settings_and_time(config)
    target_name = registry.resolve_target_name(settings, name)
    return open_database(settings), target_name


def load_latest_as_of(engine: sa.Engine) -> date:
    """Return the date of the active list; raise an error without one."""
    from data.errors import DeliveryError
    from serving.store import queries

    as_of = queries.load_latest_as_of(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet; run `expansion score` first.")
    return as_of


def load_data(
    settings: Settings,
    now: datetime,
    as_of: datetime | None,
    progress: Any,  # noqa: ANN401
    *,
    rebuild: bool = False,
) -> tuple[Tables, Activity, datetime]:
    """Load the tables and the log, and resolve the as-of."""
    from features.activity import load
    from training.pipeline import training_run

    tables, log = load.load_data(settings, now=now, rebuild=rebuild, progress=progress)
    return tables, log, training_run.resolve_as_of(settings, log, now=now, requested=as_of)


def build_history(
    settings: Settings,
    now: datetime,
    as_of: datetime | None,
    progress: Any,  # noqa: ANN401
) -> TrainingHistory:
    """Load the tables and build every snapshot up to an as-of."""
    from training.pipeline import training_run

    loaded = load_data(settings, now, as_of, progress)
    return training_run.build_history(settings, *loaded, progress=progress)


def write_page(file: Path, text: str) -> None:
    """Write an HTML page atomically."""
    from data.io import atomic

    atomic.atomic_write(file, lambda draft: draft.write_text(text, encoding="utf-8"))
