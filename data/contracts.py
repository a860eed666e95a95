"""What each table promises, and what becomes of the rows that break the promise.

A row that breaks its contract leaves the table with the name of the rule it broke and is counted;
it never disappears. Times are instants in UTC; a time without a zone is refused, not guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import dataframely as dy
import polars as pl

__all__ = [
    "CHANGES",
    "REQUIRED",
    "STATUSES",
    "TABLES",
    "Accounts",
    "Checked",
    "Events",
    "Subscriptions",
    "Users",
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
LARGEST_QUANTITY: Final = 1e12


def _instant(*, nullable: bool) -> dy.Datetime:
    return dy.Datetime(nullable=nullable, time_unit="us", time_zone="UTC")


class Events(dy.Schema):
    """The product log: who did what, when. A null ``user_id`` is machine traffic."""

    account_id = dy.String(nullable=False, min_length=1)
    user_id = dy.String(nullable=True)
    timestamp = _instant(nullable=False)
    event = dy.String(nullable=True)
    feature = dy.String(nullable=True)
    quantity = dy.Float64(nullable=True, min=0.0, max=LARGEST_QUANTITY)
    event_id = dy.String(nullable=True)
    known_at = _instant(nullable=True)


class Subscriptions(dy.Schema):
    """The contract history: from this date, so many seats, this plan, this limit, this MRR."""

    account_id = dy.String(nullable=False, min_length=1)
    effective_date = _instant(nullable=False)
    licensed_seats = dy.Float64(nullable=True, min=0.0, max=1e9)
    plan = dy.String(nullable=True)
    usage_limit = dy.Float64(nullable=True, min=0.0, max=LARGEST_QUANTITY)
    mrr = dy.Float64(nullable=True, min=0.0, max=1e12)
    renewal_date = _instant(nullable=True)
    status = dy.String(nullable=True, check=lambda s: s.is_in(STATUSES))
    change = dy.String(nullable=True, check=lambda s: s.is_in(CHANGES))
    known_at = _instant(nullable=True)


class Accounts(dy.Schema):
    """The customer companies. Further columns are kept for display."""

    account_id = dy.String(nullable=False, min_length=1, primary_key=True)
    created_date = _instant(nullable=False)
    name = dy.String(nullable=True)
    csm = dy.String(nullable=True)
    segment = dy.String(nullable=True)
    parent_id = dy.String(nullable=True)
    crm_id = dy.String(nullable=True)


class Users(dy.Schema):
    """The people in the accounts; an e-mail address is reduced to its domain on arrival."""

    user_id = dy.String(nullable=False, min_length=1, primary_key=True)
    account_id = dy.String(nullable=False, min_length=1)
    created_at = _instant(nullable=True)
    deactivated_at = _instant(nullable=True)
    email_domain = dy.String(nullable=True)
    department = dy.String(nullable=True)
    seat_type = dy.String(nullable=True, check=lambda s: s.is_in(SEAT_TYPES))


TABLES: Final[Mapping[str, type[dy.Schema]]] = {
    "events": Events,
    "subscriptions": Subscriptions,
    "accounts": Accounts,
    "users": Users,
}
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("account_id", "user_id", "timestamp"),
    "subscriptions": ("account_id", "effective_date"),
    "accounts": ("account_id", "created_date"),
    "users": ("user_id", "account_id"),
}


@dataclass(frozen=True)
class Checked:
    """A table's valid rows, and how many rows each rule put into quarantine."""

    rows: pl.DataFrame
    quarantine: Mapping[str, int]
    seen: int
