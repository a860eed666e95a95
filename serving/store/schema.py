"""The tables of the one SQL database, in which everything lives that must not be lost or doubled.

What was said (``runs``, ``scores``), what is under way at an account (``episodes``, ``worked``),
what should be true at a CRM (``outbox``), and what has become of it (``delivered``, ``rejected``,
``deliveries``, ``sends``). The embedded CRM's own tables, which humans and BI tools read, are
``accounts``, ``opportunities`` and ``tasks``: see :mod:`serving.delivery.crm.sql.target`.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import sqlalchemy as sa

__all__ = [
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
    "REJECTED_OBJECTS",
    "RUNS",
    "SCORES",
    "SCORE_COLUMNS",
    "SLACK_MESSAGES",
    "SYNC_RUNS",
    "FeedbackVerdict",
]

METADATA: Final = sa.MetaData()


def _build_key_columns() -> list[sa.Column[Any]]:
    """What names one object at one target."""
    return [
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
    ]


# What should be true: one row per object, replaced by every newer run. ``digest`` is that of the
# fields; what differs from the digest in ``delivered`` is still to be sent, by rising ``place``.
DESIRED_OBJECTS: Final = sa.Table(
    "outbox",
    METADATA,
    *_build_key_columns(),
    sa.Column("account_id", sa.String, nullable=False),
    sa.Column("limit", sa.String),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("run_id", sa.Integer, nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)

# What a target has acknowledged last. ``attempted`` holds, per field, the values that were sent
# since without an answer: they may or may not stand there, and are ours either way. ``theirs``
# names the fields that a human has set since, which are left alone.
APPLIED_OBJECTS: Final = sa.Table(
    "delivered",
    METADATA,
    *_build_key_columns(),
    sa.Column("crm_id", sa.String),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("digest", sa.String),
    sa.Column("attempted", sa.JSON, nullable=False),
    sa.Column("theirs", sa.JSON, nullable=False),
    sa.Column("adopted", sa.Boolean, nullable=False),
    sa.Column("as_of", sa.Date),
    sa.Column("acknowledged_at", sa.DateTime(timezone=True)),
)

# What a target will not take, in its own words. Not sent again until it differs or is retried.
REJECTED_OBJECTS: Final = sa.Table(
    "rejected",
    METADATA,
    *_build_key_columns(),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("words", sa.String, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
)

# The ledger: one row per acknowledged change, with the fields it changed as they were before and
# are after, so that a run can be undone.
CHANGE_LOG: Final = sa.Table(
    "deliveries",
    METADATA,
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

# One row per time that a sender went to work; ``counts`` are JSON, ``words`` why it stopped early.
SYNC_RUNS: Final = sa.Table(
    "sends",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("words", sa.String),
)

# Who is at work on a target. It spares two senders the same work; what keeps them from harm is
# that every write can be repeated.
LEASES: Final = sa.Table(
    "senders",
    METADATA,
    sa.Column("target", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
)

# What was posted in Slack, by our own name of it. Without ``posted_at`` the answer never came: it
# may stand there or not. ``message`` is Slack's name of it; ``words`` why it was refused.
SLACK_MESSAGES: Final = sa.Table(
    "posts",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("posted_at", sa.DateTime(timezone=True)),
    sa.Column("message", sa.String),
    sa.Column("words", sa.String),
)

# One stretch of pressure on one limit of one account. ``levels`` is the contract when it began.
EPISODES: Final = sa.Table(
    "episodes",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("limit", sa.String, primary_key=True),
    sa.Column("episode", sa.Integer, primary_key=True),
    sa.Column("opened_on", sa.Date, nullable=False),
    sa.Column("seen_on", sa.Date, nullable=False),
    sa.Column("closed_on", sa.Date),
    sa.Column("ending", sa.String),
    sa.Column("levels", sa.JSON, nullable=False),
)

# When a human last dealt with an account, as the CRM or the page told us.
ACCOUNT_TOUCHES: Final = sa.Table(
    "worked",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("worked_on", sa.Date, primary_key=True),
    sa.Column("how", sa.String, nullable=False),
)

FeedbackVerdict = Literal["contacted", "won", "not now", "wrong"]
FEEDBACK_VERDICTS: Final[tuple[FeedbackVerdict, ...]] = get_args(FeedbackVerdict)

# What a human said on the page of what became of an account; ``as_of`` is the list it was said of.
# ``once`` is of the form that was sent, so that sending it twice says it once.
FEEDBACK: Final = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("once", sa.String, nullable=False, unique=True),
    sa.Column("account_id", sa.String, nullable=False, index=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("given_by", sa.String, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),  # of VERDICTS
    sa.Column("until", sa.Date),  # of not now
    sa.Column("why", sa.String),  # of wrong
)

# What the page draws of an account on the list in force, beside its line: the curve, a year of
# months, the contract. Replaced whole by the next list.
ACCOUNT_DETAILS: Final = sa.Table(
    "portraits",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("segment", sa.String),
    sa.Column("told", sa.JSON, nullable=False),
)

# What the page filters, counts and orders the list in force by: a narrow copy of its lines, which
# are wide, and of the segment. Replaced whole by the next list.
LIST_INDEX: Final = sa.Table(
    "books",
    METADATA,
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

# The line of one account on one list: the README describes each field.
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
    # of the line as a CSM reads it
    "book_rank": sa.Integer,  # place in the CSM's own book
    "this_week": sa.Boolean,  # within the CSM's capacity
    "band_told": sa.String,  # "6 of 10 accounts in this band expanded"
    "buyer": sa.String,  # whom to talk to
    "holds_back": sa.JSON,  # sentences of what pushes the number down most, or keeps from asking
    "changed": sa.JSON,  # sentences of what changed since the list before
    "ask": sa.Boolean,  # False where no ask is made: plateau, churn risk, recently worked
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
