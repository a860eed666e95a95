"""Where Alembic starts: on the connection it is handed, within that connection's transaction."""

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
