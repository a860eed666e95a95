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
        sa.Column("book_rank", sa.Integer),
        sa.Column("this_week", sa.Boolean),
        sa.Column("band_told", sa.String),
        sa.Column("buyer", sa.String),
        sa.Column("holds_back", sa.JSON),
        sa.Column("changed", sa.JSON),
        sa.Column("ask", sa.Boolean),
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
        sa.Column("seen_on", sa.Date, nullable=False),
        sa.Column("closed_on", sa.Date),
        sa.Column("ending", sa.String),
        sa.Column("levels", sa.JSON, nullable=False),
    )
    op.create_table(
        "worked",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("worked_on", sa.Date, primary_key=True),
        sa.Column("how", sa.String, nullable=False),
    )


def create_delivery_tables() -> None:
    """Create the desired state, the last applied state and the change log."""
    op.create_table(
        "outbox",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("limit", sa.String),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
    )
    op.create_table(
        "delivered",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("crm_id", sa.String),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("digest", sa.String),
        sa.Column("attempted", sa.JSON, nullable=False),
        sa.Column("theirs", sa.JSON, nullable=False),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("as_of", sa.Date),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "rejected",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("words", sa.String, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, nullable=False, index=True),
        sa.Column("send_id", sa.Integer, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("crm_id", sa.String, nullable=False),
        sa.Column("made", sa.Boolean, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "sends",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("words", sa.String),
    )
    op.create_table(
        "senders",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
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
        sa.Column("book_rank", sa.Integer),
        sa.Column("this_week", sa.Boolean),
        sa.Column("expansion_signal", sa.String),
        sa.Column("probability", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("band", sa.String),
        sa.Column("band_told", sa.String),
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
        sa.Column("buyer", sa.String),
        sa.Column("ask", sa.Boolean),
        sa.Column("signals", sa.Text),
        sa.Column("holds_back", sa.Text),
        sa.Column("changed", sa.Text),
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
        sa.Column("buyer", sa.String),
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
        "posts",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True)),
        sa.Column("message", sa.String),
        sa.Column("words", sa.String),
    )


def create_web_tables() -> None:
    """Create what the web pages read and the feedback they collect."""
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
    op.create_table(
        "books",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("book_rank", sa.Integer),
        sa.Column("name", sa.String),
        sa.Column("csm", sa.String),
        sa.Column("segment", sa.String),
        sa.Column("tier", sa.Integer),
        sa.Column("limit", sa.String),
        sa.Column("ask", sa.Boolean),
        sa.Column("this_week", sa.Boolean),
        sa.Column("probability", sa.Float),
        sa.Column("readiness_date", sa.Date),
        sa.Column("expected_arr", sa.Float),
        sa.Column("seat_utilization", sa.Float),
    )


def create_event_tables() -> None:
    """Create received events, the monitor's state and its alerts."""
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
