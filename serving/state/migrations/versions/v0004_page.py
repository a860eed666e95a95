"""What the page draws, what humans say on it, and a quick way to one list among many."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make both tables, and the index."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("once", sa.String, nullable=False, unique=True),
        sa.Column("account_id", sa.String, nullable=False, index=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("given_by", sa.String, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("until", sa.Date),
        sa.Column("why", sa.String),
    )
    op.create_table(
        "portraits",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("segment", sa.String),
        sa.Column("told", sa.JSON, nullable=False),
    )
    op.create_index("ix_scores_as_of", "scores", ["as_of", "rank"])
