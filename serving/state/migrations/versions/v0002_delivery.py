"""What delivery has to remember; and the embedded CRM as one target among others.

What ``accounts`` holds was written by us, so it is carried over as acknowledged: else the first
delivery would take it for a human's.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROWS_AT_ONCE = 5_000
_TIME = sa.DateTime(timezone=True)
_TOLD = {
    "name": sa.String,
    "csm": sa.String,
    "as_of": sa.Date,
    "rank": sa.Integer,
    "book_rank": sa.Integer,
    "this_week": sa.Boolean,
    "expansion_signal": sa.String,
    "probability": sa.Float,
    "low": sa.Float,
    "high": sa.Float,
    "band": sa.String,
    "band_told": sa.String,
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
    "buyer": sa.String,
    "ask": sa.Boolean,
    "signals": sa.Text,
    "holds_back": sa.Text,
    "changed": sa.Text,
    "active_seats": sa.Integer,
    "licensed_seats": sa.Integer,
    "seat_utilization": sa.Float,
    "model": sa.String,
    "note": sa.String,
}
_NEW_IN_LINE = {
    "book_rank": sa.Integer,
    "this_week": sa.Boolean,
    "band_told": sa.String,
    "buyer": sa.String,
    "holds_back": sa.JSON,
    "changed": sa.JSON,
    "ask": sa.Boolean,
}


def upgrade() -> None:
    """Make the new tables, and move what was said of accounts into their new shape."""
    _what_is_under_way()
    _what_should_be_true()
    _what_has_become_of_it()
    for name, kind in _NEW_IN_LINE.items():
        op.add_column("scores", sa.Column(name, kind()))
    _accounts()
    _opportunities_and_tasks()


def _what_is_under_way() -> None:
    op.create_table(
        "episodes",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("limit", sa.String, primary_key=True),
        sa.Column("episode", sa.Integer, primary_key=True, autoincrement=False),
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


def _object() -> list[Any]:
    return [sa.Column(name, sa.String, primary_key=True) for name in ("target", "kind", "key")]


def _what_should_be_true() -> None:
    op.create_table(
        "outbox",
        *_object(),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("limit", sa.String),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
    )


def _what_has_become_of_it() -> None:
    op.create_table(
        "delivered",
        *_object(),
        sa.Column("crm_id", sa.String),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("digest", sa.String),
        sa.Column("attempted", sa.JSON, nullable=False),
        sa.Column("theirs", sa.JSON, nullable=False),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("as_of", sa.Date),
        sa.Column("acknowledged_at", _TIME),
    )
    op.create_table(
        "rejected",
        *_object(),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("words", sa.String, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("rejected_at", _TIME, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("send_id", sa.Integer, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("crm_id", sa.String, nullable=False),
        sa.Column("made", sa.Boolean, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("delivered_at", _TIME, nullable=False),
    )
    op.create_index("ix_deliveries_run_id", "deliveries", ["run_id"])
    op.create_table(
        "sends",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("words", sa.String),
    )
    op.create_table(
        "senders",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("until", _TIME, nullable=False),
    )


def _opportunities_and_tasks() -> None:
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


def _accounts() -> None:
    old = sa.Table("accounts", sa.MetaData(), autoload_with=op.get_bind())
    rows = [dict(row) for row in op.get_bind().execute(sa.select(old)).mappings()]
    op.drop_table("accounts")
    new = op.create_table(
        "accounts",
        sa.Column("account_id", sa.String, primary_key=True),
        *[sa.Column(name, kind()) for name, kind in _TOLD.items()],
    )
    op.create_index("ix_accounts_as_of", "accounts", ["as_of"])
    tables = sa.MetaData()
    delivered = sa.Table("delivered", tables, autoload_with=op.get_bind())
    scores = sa.Table("scores", tables, autoload_with=op.get_bind())
    for part in _parts(rows):
        told = [_told(row) for row in part]
        op.bulk_insert(new, told)
        op.bulk_insert(delivered, [_acknowledged(row) for row in told])
    op.bulk_insert(scores, [_unlisted(row) for row in rows if row["rank"] is None])


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while part := list(islice(left, _ROWS_AT_ONCE)):
        yield part


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """One account in its new shape: sentences are one text with line ends."""
    kept = {"account_id": row["account_id"], **{name: row.get(name) for name in _TOLD}}
    sentences = row["signals"]
    if isinstance(sentences, str):
        sentences = json.loads(sentences)
    return {**kept, "signals": "\n".join(sentences or ()) or None}


def _acknowledged(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in row.items()
        if name != "account_id"
    }
    return {
        "target": "sql",
        "kind": "account",
        "key": row["account_id"],
        "crm_id": row["account_id"],
        "fields": values,
        "digest": None,
        "attempted": {},
        "theirs": [],
        "adopted": False,
        "as_of": row["as_of"],
    }


def _unlisted(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("account_id", "as_of", "name", "csm", "note")}
