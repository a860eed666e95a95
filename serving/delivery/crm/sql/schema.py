"""Tables of the embedded CRM, which humans, pages and BI tools read, and humans may edit.

Our columns are those of :mod:`serving.delivery.crm.fields`. The others belong to humans: owner,
stage and completion. Humans may also add rows; those have no ``key``.
"""

from typing import Any, Final

import sqlalchemy as sa

from serving.delivery.crm.base import Kind
from serving.delivery.crm.fields import FIELDS
from serving.store.schema import METADATA

__all__ = ["ACCOUNTS", "OPPORTUNITIES", "TABLES", "TASKS"]

_COLUMN_TYPES: Final = {
    "text": sa.String,
    "multiline": sa.Text,
    "number": sa.Float,
    "integer": sa.Integer,
    "date": sa.Date,
    "boolean": sa.Boolean,
}


def _build_managed_columns(kind: Kind) -> list[sa.Column[Any]]:
    return [sa.Column(name, _COLUMN_TYPES[field.type]()) for name, field in FIELDS[kind].items()]


def _build_key_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, unique=True),
        sa.Column("account_id", sa.String, nullable=False, index=True),
    ]


ACCOUNTS: Final = sa.Table(
    "accounts",
    METADATA,
    sa.Column("account_id", sa.String, primary_key=True),
    *_build_managed_columns("account"),
    sa.Index("ix_accounts_as_of", "as_of"),
)
OPPORTUNITIES: Final = sa.Table(
    "opportunities",
    METADATA,
    *_build_key_columns(),
    *_build_managed_columns("opportunity"),
    sa.Column("owner", sa.String),
    sa.Column("stage", sa.String),
    sa.Column("moved_on", sa.Date),  # date of the last stage change by a human
    sa.Column("closed_on", sa.Date),
)
TASKS: Final = sa.Table(
    "tasks",
    METADATA,
    *_build_key_columns(),
    sa.Column("opportunity_id", sa.Integer),
    *_build_managed_columns("task"),
    sa.Column("owner", sa.String),
    sa.Column("done_on", sa.Date),
)
TABLES: Final = {"account": ACCOUNTS, "opportunity": OPPORTUNITIES, "task": TASKS}
