"""Data schemas of the four tables, their validation rules and the quarantine limit.

An invalid row is quarantined and counted under the name of the rule it violates. Timestamps
are UTC; naive timestamps are rejected, not guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import dataframely as dy
import polars as pl

from data.errors import ContractError

__all__ = [
    "CHANGES",
    "CONFLICTING_ROWS",
    "DUPLICATE_ROW",
    "FUTURE_TIMESTAMP",
    "REQUIRED_COLUMNS",
    "SEAT_TYPES",
    "STATUSES",
    "TABLES",
    "UNKNOWN_ACCOUNT",
    "AccountSchema",
    "EventSchema",
    "SubscriptionSchema",
    "UserSchema",
    "ValidatedTable",
    "build_validation_rules",
    "enforce_quarantine_limit",
]

STATUSES: Final = ("trial", "paid", "lapsed", "churned")
CHANGES: Final = (
    "new",
    "organic",
    "price",
    "renewal",
    "ramp",
    "true_up",
    "merger",
    "correction",
    "contraction",
    "churn",
)
SEAT_TYPES: Final = ("paid", "free", "trial")
# Quantities are summed in thousandths as 64-bit integers; the cap keeps a sum from overflowing.
MAX_QUANTITY: Final = 1e12
# Clocks that were never set write 1970; such a row would extend the log by decades.
EARLIEST_TIMESTAMP: Final = datetime(1990, 1, 1, tzinfo=UTC)

DUPLICATE_ROW: Final = "duplicate row"
CONFLICTING_ROWS: Final = "conflicting rows for one"
FUTURE_TIMESTAMP: Final = "timestamp is in the future"
UNKNOWN_ACCOUNT: Final = "account_id is not in the accounts table"


def _utc_datetime(*, nullable: bool, earliest: datetime | None = None) -> dy.Datetime:
    return dy.Datetime(nullable=nullable, time_unit="us", time_zone="UTC", min=earliest)


class EventSchema(dy.Schema):
    """The product log: who did what, when. A null ``user_id`` is machine traffic."""

    account_id = dy.String(nullable=False, min_length=1)
    user_id = dy.String(nullable=True)
    timestamp = _utc_datetime(nullable=False, earliest=EARLIEST_TIMESTAMP)
    event = dy.String(nullable=True)
    feature = dy.String(nullable=True)
    quantity = dy.Float64(nullable=True, min=0.0, max=MAX_QUANTITY)
    event_id = dy.String(nullable=True)
    known_at = _utc_datetime(nullable=True)


class SubscriptionSchema(dy.Schema):
    """The subscription history: effective date, seats, plan, usage limit and MRR."""

    account_id = dy.String(nullable=False, min_length=1)
    effective_date = _utc_datetime(nullable=False, earliest=EARLIEST_TIMESTAMP)
    licensed_seats = dy.Float64(nullable=True, min=0.0, max=1e9)
    plan = dy.String(nullable=True)
    usage_limit = dy.Float64(nullable=True, min=0.0, max=MAX_QUANTITY)
    mrr = dy.Float64(nullable=True, min=0.0, max=1e12)
    renewal_date = _utc_datetime(nullable=True)
    status = dy.String(nullable=True, check=lambda s: s.is_in(STATUSES))
    change = dy.String(nullable=True, check=lambda s: s.is_in(CHANGES))
    known_at = _utc_datetime(nullable=True)


class AccountSchema(dy.Schema):
    """The customer companies. Extra columns are kept for display."""

    account_id = dy.String(nullable=False, min_length=1, primary_key=True)
    created_date = _utc_datetime(nullable=False)
    name = dy.String(nullable=True)
    csm = dy.String(nullable=True)
    segment = dy.String(nullable=True)
    parent_id = dy.String(nullable=True)
    crm_id = dy.String(nullable=True)


class UserSchema(dy.Schema):
    """The users of the accounts; an e-mail address is reduced to its domain on ingestion."""

    user_id = dy.String(nullable=False, min_length=1, primary_key=True)
    account_id = dy.String(nullable=False, min_length=1)
    created_at = _utc_datetime(nullable=True)
    deactivated_at = _utc_datetime(nullable=True)
    email_domain = dy.String(nullable=True)
    department = dy.String(nullable=True)
    seat_type = dy.String(nullable=True, check=lambda s: s.is_in(SEAT_TYPES))
    known_at = _utc_datetime(nullable=True)


TABLES: Final[Mapping[str, type[dy.Schema]]] = {
    "events": EventSchema,
    "subscriptions": SubscriptionSchema,
    "accounts": AccountSchema,
    "users": UserSchema,
}
REQUIRED_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("account_id", "user_id", "timestamp"),
    "subscriptions": ("account_id", "effective_date"),
    "accounts": ("account_id", "created_date"),
    "users": ("user_id", "account_id"),
}


_ALLOWED_VALUES: Final = {"status": STATUSES, "change": CHANGES, "seat_type": SEAT_TYPES}


@dataclass(frozen=True)
class ValidatedTable:
    """A table's valid rows, the rejected rows per rule, and notes on amended rows.

    Every row is counted once: ``row_count == rows.height + sum(quarantine.values())``. Rows
    counted under ``notes`` are valid.
    """

    rows: pl.DataFrame
    quarantine: Mapping[str, int]
    row_count: int
    notes: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        quarantined = (
            f"quarantine {dict(self.quarantine)}" if self.quarantine else "none in quarantine"
        )
        notes = f", notes {dict(self.notes)}" if self.notes else ""
        return (
            f"ValidatedTable({self.rows.height:,} of {self.row_count:,} rows valid;"
            f" {quarantined}{notes})"
        )


def build_validation_rules(table: str) -> list[tuple[str, pl.Expr]]:
    """Return the reject reasons of a table, each with a mask of the rows that violate the rule.

    Null counts as valid. Uniqueness of keys is not a property of one row, and not included.
    """
    return [
        (_describe_rule(name, column, rule), ~is_valid)
        for name, column in TABLES[table].columns().items()
        for rule, is_valid in column.validation_rules(pl.col(name)).items()
    ]


def _describe_rule(name: str, column: dy.Column, rule: str) -> str:
    """Return the reject reason for one of dataframely's rule names."""
    if rule == "check":
        return f"{name} is not one of {', '.join(_ALLOWED_VALUES[name])}"
    descriptions = {
        "nullability": "is missing",
        "min_length": "is empty",
        "min": f"is below {_format_bound(column, 'min')}",
        "max": f"is above {_format_bound(column, 'max')}",
        "inf": "is infinite",
        "nan": "is not a number",
    }
    return f"{name} {descriptions[rule]}"


def _format_bound(column: dy.Column, attribute: str) -> str:
    bound = getattr(column, attribute, None)
    return f"{bound:%Y-%m-%d}" if isinstance(bound, datetime) else f"{bound or 0:,.0f}"


def enforce_quarantine_limit(
    table: str, row_count: int, quarantine: Mapping[str, int], max_share: float
) -> None:
    """Raise if the share of quarantined rows exceeds the limit; duplicate rows do not count.

    Raises ``ContractError`` if the share is larger, or no valid row is left.
    """
    rejected = {reason: rows for reason, rows in quarantine.items() if reason != DUPLICATE_ROW}
    rejected_rows = sum(rejected.values())
    if rejected_rows <= max_share * row_count and (rejected_rows < row_count or not row_count):
        return
    most_frequent = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))[:3]
    reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in most_frequent)
    raise ContractError(
        f"{table}: {rejected_rows:,} of {row_count:,} rows ({rejected_rows / row_count:.1%}) are"
        f" invalid, above the {max_share:.1%} allowed ({reasons}). Fix the rows, or raise [tables]"
        " max_quarantine_share in expansion.toml if they may be left out."
    )
