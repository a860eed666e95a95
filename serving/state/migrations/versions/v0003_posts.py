"""What was posted in Slack."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "posts",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True)),
        sa.Column("message", sa.String),
        sa.Column("words", sa.String),
    )
