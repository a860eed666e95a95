"""The tables of the event path, in the one database.

What arrived (``arrivals``), what was refused (``quarantine``), how far that was counted
(``progress``), and what came of it: what is remembered of each limit (``watches``), and the
signals.
"""

from typing import Final

import sqlalchemy as sa

from serving.store.schema import METADATA

__all__ = ["ALERTS", "CONSUMER_OFFSETS", "QUARANTINE", "THRESHOLD_STATES", "WEBHOOK_EVENTS"]

# One row per message, in the order in which they were committed. ``workspace`` is what the message
# names: an account, or a workspace of one.
WEBHOOK_EVENTS: Final = sa.Table(
    "arrivals",
    METADATA,
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
    sa.Index("ix_arrivals_workspace", "workspace"),
)

# Messages of a sender who has the secret, which we cannot read; ``body`` is the start of one,
# without anybody's address.
QUARANTINE: Final = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("body", sa.String, nullable=False),
)

# Up to which arrival, and on which day, the watches below are.
CONSUMER_OFFSETS: Final = sa.Table(
    "progress",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
)

# What is remembered of one limit of one account; without a row, nothing is.
THRESHOLD_STATES: Final = sa.Table(
    "watches",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("limit", sa.String, primary_key=True),
    sa.Column("state", sa.JSON, nullable=False),
)

# One row per signal. ``told_level`` is the level that was put down for the CRM, ``line`` the
# account's line then; ``used`` of ``of`` is as of the last change of level.
ALERTS: Final = sa.Table(
    "signals",
    METADATA,
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
