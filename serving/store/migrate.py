"""Create the tables of a new database, or migrate those of an older one, when it is opened.

A new database gets the present schema at once and is marked with the latest revision; Alembic's
migrations only run on an older one. A change of the schema therefore needs both: the new columns in
:mod:`serving.store.schema` and a migration under ``migrations/versions``.
"""

from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving.store import event_schema  # noqa: F401 - adds its tables to METADATA
from serving.store.engine import acquire_advisory_lock, write_transaction
from serving.store.schema import METADATA

__all__ = ["LATEST_REVISION", "VERSION_TABLE", "upgrade_to_latest"]

LATEST_REVISION: Final = "0001"
# MLflow, which may live in the same database, calls its own alembic_version.
VERSION_TABLE: Final = "expansion_version"


def upgrade_to_latest(engine: sa.Engine) -> None:
    """Create or migrate the tables, in one transaction under a lock.

    Raises
    ------
    data.errors.DeliveryError
        If a newer version of this program migrated the database, or another program created a
        table with one of our names.
    """
    with engine.connect() as connection:
        if _read_version(connection) == LATEST_REVISION:
            return
    with write_transaction(engine) as connection:
        acquire_advisory_lock(connection, "expansion upgrade")
        version = _read_version(connection)
        if version is None:
            _reject_foreign_tables(connection)
            METADATA.create_all(connection, checkfirst=False)
        if version != LATEST_REVISION:
            _run_alembic(connection, is_new=version is None)


def _read_version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(
        sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - our own name
    )
    if version is not None and version > LATEST_REVISION:
        raise DeliveryError(
            f"the database in database.url has version {version}, but this program supports"
            f" versions up to {LATEST_REVISION}; update the program or use another database."
        )
    return version


def _reject_foreign_tables(connection: sa.Connection) -> None:
    """Refuse a database without a version that holds a table with one of our names."""
    foreign = sorted(METADATA.tables.keys() & set(sa.inspect(connection).get_table_names()))
    if foreign:
        raise DeliveryError(
            f"the database in database.url contains tables that this program did not create"
            f" ({', '.join(foreign[:3])}); use an empty database."
        )


def _run_alembic(connection: sa.Connection, *, is_new: bool) -> None:
    """Mark a new database with the latest revision, or run the migrations that it lacks."""
    from alembic import command  # noqa: PLC0415 - only where there is something to change
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "serving.store:migrations")
    config.attributes["connection"] = connection
    (command.stamp if is_new else command.upgrade)(config, LATEST_REVISION)
