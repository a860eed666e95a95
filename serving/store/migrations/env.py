"""Alembic environment: runs on the connection that it is given, within its transaction."""

from alembic import context

from serving.store.migrate import VERSION_TABLE
from serving.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
