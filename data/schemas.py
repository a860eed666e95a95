"""What each table promises, and what becomes of the rows that break the promise.

A row that breaks its contract leaves the table with the name of the rule it broke and is counted;
it never disappears. Times are instants in UTC; a time without a zone is refused, not guessed.
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
    "enforce_quarantine_limit",
    "validation_rules",
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
# Clocks that were never set write 1970; such a row would stretch the log's span by decades.
EARLIEST_TIMESTAMP: Final = datetime(1990, 1, 1, tzinfo=UTC)

DUPLICATE_ROW: Final = "repeated row"
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
    """The contract history: from this date, so many seats, this plan, this limit, this MRR."""

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
    """The customer companies. Further columns are kept for display."""

    account_id = dy.String(nullable=False, min_length=1, primary_key=True)
    created_date = _utc_datetime(nullable=False)
    name = dy.String(nullable=True)
    csm = dy.String(nullable=True)
    segment = dy.String(nullable=True)
    parent_id = dy.String(nullable=True)
    crm_id = dy.String(nullable=True)


class UserSchema(dy.Schema):
    """The people in the accounts; an e-mail address is reduced to its domain on arrival."""

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
    """A table's valid rows, how many rows each rule put into quarantine, and what was amended.

    Every row is in one place: ``seen == rows.height + sum(quarantine.values())``. Rows under
    ``notes`` were kept.
    """

    rows: pl.DataFrame
    quarantine: Mapping[str, int]
    row_count: int
    notes: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        told = f"quarantine {dict(self.quarantine)}" if self.quarantine else "none in quarantine"
        notes = f", notes {dict(self.notes)}" if self.notes else ""
        return f"Checked({self.rows.height:,} of {self.row_count:,} rows valid; {told}{notes})"


def validation_rules(table: str) -> list[tuple[str, pl.Expr]]:
    """Tell in words what can be wrong with a typed row of a table.

    Parameters
    ----------
    table : str
        One of ``TABLES``.

    Returns
    -------
    list of (str, polars.Expr)
        The reason, and whether a row gives it; null counts as no. Keys that must be unique are
        not among them, for they are not a matter of one row.
    """
    return [
        (_describe_rule(name, column, rule), ~holds)
        for name, column in TABLES[table].columns().items()
        for rule, holds in column.validation_rules(pl.col(name)).items()
    ]


def _describe_rule(name: str, column: dy.Column, rule: str) -> str:
    """One of dataframely's rule names in the words of the person who has to mend the row."""
    if rule == "check":
        return f"{name} is not one of {', '.join(_ALLOWED_VALUES[name])}"
    words = {
        "nullability": "is missing",
        "min_length": "is empty",
        "min": f"is below {_format_bound(column, 'min')}",
        "max": f"is above {_format_bound(column, 'max')}",
        "inf": "is infinite",
        "nan": "is not a number",
    }
    return f"{name} {words[rule]}"


def _format_bound(column: dy.Column, attribute: str) -> str:
    bound = getattr(column, attribute, None)
    return f"{bound:%Y-%m-%d}" if isinstance(bound, datetime) else f"{bound or 0:,.0f}"


def enforce_quarantine_limit(
    table: str, row_count: int, quarantine: Mapping[str, int], max_share: float
) -> None:
    """Stop a run whose table lost so many rows that its figures would mislead.

    Parameters
    ----------
    table : str
        The table's name, for the message.
    row_count : int
        Rows read.
    quarantine : mapping of str to int
        Reason → rows. Repeated rows lose nothing and do not count.
    max_share : float
        Largest share of quarantined rows that is still accepted, in [0, 1].

    Raises
    ------
    ContractError
        If the share is larger, or no row is left at all.
    """
    bad = {reason: rows for reason, rows in quarantine.items() if reason != DUPLICATE_ROW}
    lost = sum(bad.values())
    if lost <= max_share * row_count and (lost < row_count or not row_count):
        return
    worst = sorted(bad.items(), key=lambda item: (-item[1], item[0]))[:3]
    reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in worst)
    raise ContractError(
        f"{table}: {lost:,} of {row_count:,} rows ({lost / row_count:.1%}) break the contract, above the"
        f" {max_share:.1%} allowed ({reasons}). Mend the rows, or raise [tables]"
        " max_quarantine_share in expansion.toml if they may be left out."
    )
