"""The list in force, every list ever written, and the runs; where they are there, nothing is made.

Databases of before the first delivery hold these tables and no version.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _line() -> list[sa.Column]:  # type: ignore[type-arg]
    kinds = {
        "rank": sa.Integer,
        "name": sa.String,
        "csm": sa.String,
        "expansion_signal": sa.String,
        "probability": sa.Float,
        "low": sa.Float,
        "high": sa.Float,
        "band": sa.String,
        "readiness_date": sa.Date,
        "expected_date": sa.Date,
        "expected_early": sa.Date,
        "expected_late": sa.Date,
        "probability_180d": sa.Float,
        "expected_arr": sa.Float,
        "churn_probability": sa.Float,
        "limit": sa.String,
        "tier": sa.Integer,
        "motion": sa.String,
        "signals": sa.JSON,
        "active_seats": sa.Integer,
        "licensed_seats": sa.Integer,
        "seat_utilization": sa.Float,
        "margin": sa.Float,
        "base": sa.Float,
        "contributions": sa.JSON,
        "model": sa.String,
        "note": sa.String,
    }
    return [sa.Column(name, kind()) for name, kind in kinds.items()]


def upgrade() -> None:
    """Make what is not there."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        *_line(),
        if_not_exists=True,
    )
    op.create_index("ix_accounts_as_of", "accounts", ["as_of"], if_not_exists=True)
    op.create_table(
        "scores",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, primary_key=True),
        *_line(),
        if_not_exists=True,
    )
