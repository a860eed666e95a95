"""Tables of the application database, with all state that must not be lost or duplicated.

Scores (``runs``, ``scores``), account state (``episodes``, ``account_touches``), desired CRM state
(``desired_objects``), its delivery (``applied_objects``, ``rejected_objects``, ``change_log``,
``sync_runs``), and the embedded CRM (``accounts``, ``opportunities``, ``tasks``). The tables of the
event path are in :mod:`serving.store.event_schema`.

A change here needs a migration: see :mod:`serving.store.migrate`.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import sqlalchemy as sa

__all__ = [
    "ACCOUNTS",
    "ACCOUNT_DETAILS",
    "ACCOUNT_TOUCHES",
    "APPLIED_OBJECTS",
    "CHANGE_LOG",
    "DESIRED_OBJECTS",
    "EPISODES",
    "FEEDBACK",
    "FEEDBACK_VERDICTS",
    "LEASES",
    "LIST_INDEX",
    "METADATA",
    "OPPORTUNITIES",
    "REJECTED_OBJECTS",
    "RUNS",
    "SCORES",
    "SCORE_COLUMNS",
    "SLACK_MESSAGES",
    "SYNC_RUNS",
    "TASKS",
    "FeedbackVerdict",
]

METADATA: Final = sa.MetaData()


def _build_key_columns() -> list[sa.Column[Any]]:
    """Build the primary key columns of one object at one target."""
    return [
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
    ]


# Desired state: one row per object, replaced by every newer run. Objects whose ``content_hash``
# differs from that in ``applied_objects`` are pending, and are sent by ascending ``priority``.
DESIRED_OBJECTS: Final = sa.Table(
    "desired_objects",
    METADATA,
    *_build_key_columns(),
    sa.Column("account_id", sa.String, nullable=False),
    sa.Column("limit", sa.String),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("run_id", sa.Integer, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("content_hash", sa.String, nullable=False),
)

# Last applied state per object. ``in_flight`` holds, per field, the values sent since without a
# response: they may or may not have been applied. ``human_fields`` lists fields edited by a human.
APPLIED_OBJECTS: Final = sa.Table(
    "applied_objects",
    METADATA,
    *_build_key_columns(),
    sa.Column("crm_id", sa.String),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("content_hash", sa.String),
    sa.Column("in_flight", sa.JSON, nullable=False),
    sa.Column("human_fields", sa.JSON, nullable=False),
    sa.Column("adopted", sa.Boolean, nullable=False),
    sa.Column("as_of", sa.Date),
    sa.Column("applied_at", sa.DateTime(timezone=True)),
)

# Objects rejected by a target. They are not sent again until they change or are requeued.
REJECTED_OBJECTS: Final = sa.Table(
    "rejected_objects",
    METADATA,
    *_build_key_columns(),
    sa.Column("content_hash", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
)

# Change log: one row per applied change, with the field values before and after, for rollback.
CHANGE_LOG: Final = sa.Table(
    "change_log",
    METADATA,
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

# One row per sync run; ``counts`` are JSON, ``stop_reason`` explains an early stop.
SYNC_RUNS: Final = sa.Table(
    "sync_runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("stop_reason", sa.String),
)

# One lease per target, so that two senders do not repeat the same work. Correctness does not
# depend on it: every write is idempotent.
LEASES: Final = sa.Table(
    "leases",
    METADATA,
    sa.Column("target", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
)

# Slack messages by deduplication key. Without ``posted_at`` the response never came: the message
# may have been posted. ``message_ts`` is Slack's id; ``reason`` explains a rejection.
SLACK_MESSAGES: Final = sa.Table(
    "slack_messages",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("posted_at", sa.DateTime(timezone=True)),
    sa.Column("message_ts", sa.String),
    sa.Column("reason", sa.String),
)

# One episode of pressure on one limit of one account; ``entitlements`` are those at its start.
EPISODES: Final = sa.Table(
    "episodes",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("limit", sa.String, primary_key=True),
    sa.Column("episode", sa.Integer, primary_key=True),
    sa.Column("opened_on", sa.Date, nullable=False),
    sa.Column("last_seen_on", sa.Date, nullable=False),
    sa.Column("closed_on", sa.Date),
    sa.Column("close_reason", sa.String),
    sa.Column("entitlements", sa.JSON, nullable=False),
)

# Human activity on an account, from the CRM or the web page.
ACCOUNT_TOUCHES: Final = sa.Table(
    "account_touches",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("touched_on", sa.Date, primary_key=True),
    sa.Column("activity", sa.String, nullable=False),
)

FeedbackVerdict = Literal["contacted", "won", "not now", "wrong"]
FEEDBACK_VERDICTS: Final[tuple[FeedbackVerdict, ...]] = get_args(FeedbackVerdict)

# User feedback on an account of the list of ``as_of``. ``form_id`` is the idempotency key of the
# form: a resubmission is ignored.
FEEDBACK: Final = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("form_id", sa.String, nullable=False, unique=True),
    sa.Column("account_id", sa.String, nullable=False, index=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("created_by", sa.String, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),  # one of FEEDBACK_VERDICTS
    sa.Column("snoozed_until", sa.Date),  # with "not now"
    sa.Column("reason", sa.String),  # required with "wrong"
)

# Details of the account page for the active list: probability curve, a year of months, contract.
# Replaced by the next list.
ACCOUNT_DETAILS: Final = sa.Table(
    "account_details",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("segment", sa.String),
    sa.Column("payload", sa.JSON, nullable=False),
)

# Narrow index of the active list, by which the page filters, counts and sorts. Replaced by the
# next list.
LIST_INDEX: Final = sa.Table(
    "list_index",
    METADATA,
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

# Columns of one account on one list: the README describes each field.
SCORE_COLUMNS: Final[Mapping[str, Any]] = {
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
    # for the CSM
    "portfolio_rank": sa.Integer,  # rank in the CSM's portfolio
    "in_weekly_capacity": sa.Boolean,  # within the CSM's capacity
    "band_track_record": sa.String,  # "6 of 10 accounts in this band expanded"
    "contact_role": sa.String,  # role to contact
    "counter_reasons": sa.JSON,  # reasons against, or for suppression
    "changes": sa.JSON,  # changes since the previous list
    "outreach_allowed": sa.Boolean,  # False: plateau, churn risk or cool-down
}

RUNS: Final = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
)
SCORES: Final = sa.Table(
    "scores",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("as_of", sa.Date, primary_key=True),
    *[sa.Column(name, kind, nullable=True) for name, kind in SCORE_COLUMNS.items()],
    sa.Index("ix_scores_as_of", "as_of", "rank"),
)

# The embedded CRM, which humans, pages and BI tools read, and humans may edit. Our columns
# are the fields of serving.delivery.crm.fields. The others belong to humans: owner, stage and
# completion. Humans may also add rows; those have no ``key``.
ACCOUNTS: Final = sa.Table(
    "accounts",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("as_of", sa.Date, index=True),
    *[
        sa.Column(name, sa.Text if kind is sa.JSON else kind)  # one sentence a line
        for name, kind in SCORE_COLUMNS.items()
        if name not in {"margin", "base", "contributions"}
    ],
)
OPPORTUNITIES: Final = sa.Table(
    "opportunities",
    METADATA,
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
    sa.Column("moved_on", sa.Date),  # date of the last stage change by a human
    sa.Column("closed_on", sa.Date),
)
TASKS: Final = sa.Table(
    "tasks",
    METADATA,
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
