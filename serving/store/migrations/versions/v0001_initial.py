"""The schema of the first release, with which new databases are created; nothing to migrate."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: no database is older."""
