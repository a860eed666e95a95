"""Create all tables of the application database."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    create_scoring_tables()
    create_follow_up_tables()
    create_delivery_tables()
    create_crm_tables()
    create_slack_tables()
    create_web_tables()
    create_event_tables()


def create_scoring_tables() -> None:
    """Create the runs and every scored list."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("rank", sa.Integer),
        sa.Column("name", sa.String),
        sa.Column("csm", sa.String),
        sa.Column("expansion_signal", sa.String),
        sa.Column("probability", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("band", sa.String),
        sa.Column("readiness_date", sa.Date),
        sa.Column("expected_date", sa.Date),
        sa.Column("expected_early", sa.Date),
        sa.Column("expected_late", sa.Date),
        sa.Column("probability_180d", sa.Float),
        sa.Column("expected_arr", sa.Float),
        sa.Column("churn_probability", sa.Float),
        sa.Column("limit", sa.String),
        sa.Column("tier", sa.Integer),
        sa.Column("motion", sa.String),
        sa.Column("signals", sa.JSON),
        sa.Column("active_seats", sa.Integer),
        sa.Column("licensed_seats", sa.Integer),
        sa.Column("seat_utilization", sa.Float),
        sa.Column("margin", sa.Float),
        sa.Column("base", sa.Float),
        sa.Column("contributions", sa.JSON),
        sa.Column("model", sa.String),
        sa.Column("note", sa.String),
        sa.Column("portfolio_rank", sa.Integer),
        sa.Column("in_weekly_capacity", sa.Boolean),
        sa.Column("band_track_record", sa.String),
        sa.Column("contact_role", sa.String),
        sa.Column("counter_reasons", sa.JSON),
        sa.Column("changes", sa.JSON),
        sa.Column("outreach_allowed", sa.Boolean),
    )
    op.create_index("ix_scores_as_of", "scores", ["as_of", "rank"])


def create_follow_up_tables() -> None:
    """Create the limit episodes and the contacts with accounts."""
    op.create_table(
        "episodes",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("limit", sa.String, primary_key=True),
        sa.Column("episode", sa.Integer, primary_key=True),
        sa.Column("opened_on", sa.Date, nullable=False),
        sa.Column("last_seen_on", sa.Date, nullable=False),
        sa.Column("closed_on", sa.Date),
        sa.Column("close_reason", sa.String),
        sa.Column("entitlements", sa.JSON, nullable=False),
    )
    op.create_table(
        "account_touches",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("touched_on", sa.Date, primary_key=True),
        sa.Column("activity", sa.String, nullable=False),
    )


def create_delivery_tables() -> None:
    """Create the desired state, the last applied state and the change log."""
    op.create_table(
        "desired_objects",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("limit", sa.String),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("content_hash", sa.String, nullable=False),
    )
    op.create_table(
        "applied_objects",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("crm_id", sa.String),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("content_hash", sa.String),
        sa.Column("in_flight", sa.JSON, nullable=False),
        sa.Column("human_fields", sa.JSON, nullable=False),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("as_of", sa.Date),
        sa.Column("applied_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "rejected_objects",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("content_hash", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "change_log",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, nullable=False, index=True),
        sa.Column("sync_run_id", sa.Integer, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("crm_id", sa.String, nullable=False),
        sa.Column("created", sa.Boolean, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("stop_reason", sa.String),
    )
    op.create_table(
        "leases",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )


def create_crm_tables() -> None:
    """Create the tables of the embedded CRM."""
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("name", sa.String),
        sa.Column("csm", sa.String),
        sa.Column("as_of", sa.Date),
        sa.Column("rank", sa.Integer),
        sa.Column("portfolio_rank", sa.Integer),
        sa.Column("in_weekly_capacity", sa.Boolean),
        sa.Column("expansion_signal", sa.String),
        sa.Column("probability", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("band", sa.String),
        sa.Column("band_track_record", sa.String),
        sa.Column("readiness_date", sa.Date),
        sa.Column("expected_date", sa.Date),
        sa.Column("expected_early", sa.Date),
        sa.Column("expected_late", sa.Date),
        sa.Column("probability_180d", sa.Float),
        sa.Column("expected_arr", sa.Float),
        sa.Column("churn_probability", sa.Float),
        sa.Column("limit", sa.String),
        sa.Column("tier", sa.Integer),
        sa.Column("motion", sa.String),
        sa.Column("contact_role", sa.String),
        sa.Column("outreach_allowed", sa.Boolean),
        sa.Column("signals", sa.Text),
        sa.Column("counter_reasons", sa.Text),
        sa.Column("changes", sa.Text),
        sa.Column("active_seats", sa.Integer),
        sa.Column("licensed_seats", sa.Integer),
        sa.Column("seat_utilization", sa.Float),
        sa.Column("model", sa.String),
        sa.Column("note", sa.String),
    )
    op.create_index("ix_accounts_as_of", "accounts", ["as_of"])
    op.create_table(
        "opportunities",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, unique=True),
        sa.Column("account_id", sa.String, nullable=False, index=True),
        sa.Column("name", sa.String),
        sa.Column("state", sa.String),
        sa.Column("probability", sa.Float),
        sa.Column("amount", sa.Float),
        sa.Column("expected_close_date", sa.Date),
        sa.Column("readiness_date", sa.Date),
        sa.Column("limit", sa.String),
        sa.Column("motion", sa.String),
        sa.Column("contact_role", sa.String),
        sa.Column("signals", sa.Text),
        sa.Column("episode", sa.String),
        sa.Column("owner", sa.String),
        sa.Column("stage", sa.String),
        sa.Column("moved_on", sa.Date),
        sa.Column("closed_on", sa.Date),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, unique=True),
        sa.Column("account_id", sa.String, nullable=False, index=True),
        sa.Column("opportunity_id", sa.Integer),
        sa.Column("subject", sa.String),
        sa.Column("state", sa.String),
        sa.Column("due_date", sa.Date),
        sa.Column("notes", sa.Text),
        sa.Column("motion", sa.String),
        sa.Column("episode", sa.String),
        sa.Column("owner", sa.String),
        sa.Column("done_on", sa.Date),
    )


def create_slack_tables() -> None:
    """Create the log of Slack messages."""
    op.create_table(
        "slack_messages",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True)),
        sa.Column("message_ts", sa.String),
        sa.Column("reason", sa.String),
    )


def create_web_tables() -> None:
    """Create what the web pages read and the feedback they collect."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("form_id", sa.String, nullable=False, unique=True),
        sa.Column("account_id", sa.String, nullable=False, index=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("snoozed_until", sa.Date),
        sa.Column("reason", sa.String),
    )
    op.create_table(
        "account_details",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("segment", sa.String),
        sa.Column("payload", sa.JSON, nullable=False),
    )
    op.create_table(
        "list_index",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("portfolio_rank", sa.Integer),
        sa.Column("name", sa.String),
        sa.Column("csm", sa.String),
        sa.Column("segment", sa.String),
        sa.Column("tier", sa.Integer),
        sa.Column("limit", sa.String),
        sa.Column("outreach_allowed", sa.Boolean),
        sa.Column("in_weekly_capacity", sa.Boolean),
        sa.Column("probability", sa.Float),
        sa.Column("readiness_date", sa.Date),
        sa.Column("expected_arr", sa.Float),
        sa.Column("seat_utilization", sa.Float),
    )


def create_event_tables() -> None:
    """Create received events, the monitor's state and its alerts."""
    op.create_table(
        "webhook_events",
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
    )
    op.create_index("ix_webhook_events_workspace", "webhook_events", ["workspace"])
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
    )
    op.create_table(
        "consumer_offsets",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
    )
    op.create_table(
        "threshold_states",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("limit", sa.String, primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "alerts",
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
