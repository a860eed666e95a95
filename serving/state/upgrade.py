"""Bring a database up to date, in one transaction, whoever else opens it at the same moment."""

from typing import Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving.state.database import alone, writing

__all__ = ["NEWEST", "VERSION_TABLE", "to_newest"]

NEWEST: Final = "0006"
# MLflow, which may live in the same database, calls its own alembic_version.
VERSION_TABLE: Final = "expansion_version"
# Tables that a database of ours may hold without saying its version, and what tells them from
# someone else's tables of the same name.
_UNVERSIONED: Final = {
    "accounts": {"account_id", "as_of", "expansion_signal"},
    "scores": {"account_id", "as_of", "expansion_signal"},
    "runs": {"id", "as_of", "finished_at", "record"},
}


def to_newest(engine: sa.Engine) -> None:
    """Run what changes of the tables are missing.

    Raises
    ------
    data.errors.DeliveryError
        If a newer version of this program made the tables, or somebody else did.
    """
    with engine.connect() as connection:
        if _version(connection) == NEWEST:
            return
    with writing(engine) as connection:
        alone(connection, "expansion upgrade")
        found = _version(connection)
        if found is None:
            _refuse_foreign(connection)
        if found != NEWEST:
            _run(connection)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(
        sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - our own name
    )
    if version is not None and version > NEWEST:
        raise DeliveryError(
            f"the database that crm.url names is of version {version}, and this program knows"
            f" versions up to {NEWEST}; bring the program up to date, or name another database."
        )
    return version


def _refuse_foreign(connection: sa.Connection) -> None:
    """A shared database may hold a table of one of our names; it is not ours to change."""
    looked = sa.inspect(connection)
    for table, ours in _UNVERSIONED.items():
        if looked.has_table(table):
            missing = ours - {column["name"] for column in looked.get_columns(table)}
            if missing:
                raise DeliveryError(
                    f"the database that crm.url names holds a table {table} that is not ours"
                    f" (it lacks {', '.join(sorted(missing))}); name an empty database in crm.url."
                )


def _run(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - only where there is something to change
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "serving.state:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
