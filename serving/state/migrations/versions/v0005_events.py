"""What arrives as it happens, how far it was counted, and the signals that come of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "arrivals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("workspace", sa.String),
        sa.Column("user_id", sa.String),
        sa.Column("event", sa.String),
        sa.Column("feature", sa.String),
        sa.Column("quantity", sa.Float),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("source", "message_id", name="uq_arrivals_message"),
    )
    op.create_index("ix_arrivals_workspace", "arrivals", ["workspace"])
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
    )
    op.create_table(
        "progress",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
    )
    op.create_table(
        "watches",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("limit", sa.String, primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "signals",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("limit", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sa.Column("of", sa.Float, nullable=False),
        sa.Column("before", sa.Float),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("ending", sa.String),
        sa.Column("told_level", sa.String),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.Column("posted_level", sa.String),
        sa.Column("words", sa.String),
        sa.Column("line", sa.JSON),
    )
