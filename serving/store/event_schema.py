"""Tables of the event path in the application database.

Received messages and rejected ones, the consumer offset, the threshold state of each limit, and the
alerts.
"""

from typing import Final

import sqlalchemy as sa

from serving.store.schema import METADATA

__all__ = [
    "ALERTS",
    "CONSUMER_OFFSETS",
    "QUARANTINE",
    "SEVERITIES",
    "THRESHOLD_STATES",
    "WEBHOOK_EVENTS",
]

SEVERITIES: Final = ("nudge", "priority", "urgent")  # alert severities, ascending

# One row per message, ids in commit order. ``workspace`` is the account or workspace that the
# message names.
WEBHOOK_EVENTS: Final = sa.Table(
    "webhook_events",
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
    sa.UniqueConstraint("source", "message_id", name="uq_webhook_events_message"),
    sa.Index("ix_webhook_events_workspace", "workspace"),
)

# Messages of an authenticated sender that cannot be parsed; ``body`` is the start of the message
# with e-mail addresses redacted.
QUARANTINE: Final = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("body", sa.String, nullable=False),
)

# Last event and day that the threshold states include.
CONSUMER_OFFSETS: Final = sa.Table(
    "consumer_offsets",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
)

# Threshold state of one limit of one account; no row means the empty state.
THRESHOLD_STATES: Final = sa.Table(
    "threshold_states",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("limit", sa.String, primary_key=True),
    sa.Column("state", sa.JSON, nullable=False),
)

# One row per alert. ``committed_severity`` is the severity last committed for the CRM, ``list_row``
# the account's row then. ``used`` and ``limit_value`` are as of ``severity_at``.
ALERTS: Final = sa.Table(
    "alerts",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("limit", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("severity_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used", sa.Float, nullable=False),
    sa.Column("limit_value", sa.Float, nullable=False),
    sa.Column("used_90d_ago", sa.Float),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
    sa.Column("close_reason", sa.String),
    sa.Column("committed_severity", sa.String),
    sa.Column("committed_at", sa.DateTime(timezone=True)),
    sa.Column("posted_severity", sa.String),
    sa.Column("message", sa.String),
    sa.Column("list_row", sa.JSON),
)
