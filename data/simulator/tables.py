"""Tables of the simulated history: accounts, users, subscriptions and expansion drivers."""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.schemas import AccountSchema, SubscriptionSchema, UserSchema
from data.simulator import names
from data.simulator.account_state import NEVER, PLANS, Generator, IntVector, Vector
from data.simulator.adoption import TRIAL_SEATS
from data.simulator.hazard import EXPANSION_TYPES, SOURCES
from data.simulator.simulation import SignedDeals, SimulationHistory
from data.simulator.subscriptions import DealType
from data.simulator.users import GuestVisits, UserTable

__all__ = [
    "build_accounts",
    "build_drivers",
    "build_subscriptions",
    "build_users",
    "format_account_ids",
    "format_user_ids",
    "to_utc_datetime",
]

SEAT_PRICE: Final = np.array([0.0, 12.0, 24.0, 40.0])  # per month, by plan
CALL_PRICE: Final = 0.0005
_STATUS_NAMES: Final = np.array(["", "trial", "paid", "lapsed", "churned"])  # by LifecycleStatus
_DAY: Final = 86_400_000_000  # microseconds


def format_account_ids(account: IntVector) -> pl.Series:
    """Format account numbers as ids."""
    return ("acc_" + pl.Series(account).cast(pl.String).str.zfill(5)).alias("account_id")


def format_user_ids(user: IntVector) -> pl.Series:
    """Format user numbers as ids."""
    return ("usr_" + pl.Series(user).cast(pl.String).str.zfill(6)).alias("user_id")


def to_utc_datetime(day: NDArray[Any]) -> pl.Series:
    """Convert day numbers, also fractional ones, to UTC timestamps."""
    microseconds = np.round(np.asarray(day, dtype=float) * _DAY).astype(np.int64)
    return pl.Series(microseconds).cast(pl.Datetime("us", "UTC"))


def build_accounts(history: SimulationHistory, rng: Generator) -> pl.DataFrame:
    """Build the accounts table, in order of sign-up."""
    traits = history.traits
    size = len(traits.sign_up_day)
    potential = traits.potential_departments * traits.department_size
    number = np.arange(size)
    segment = np.array(["small", "middle", "large"])[np.digitize(potential, [15, 45])]
    frame = pl.DataFrame(
        {
            "account_id": format_account_ids(number),
            "created_date": to_utc_datetime(traits.sign_up_day),
            "name": names.generate_company_names(size, rng),
            "csm": np.array(names.CSMS)[rng.integers(0, len(names.CSMS), size)],
            "segment": segment,
            "parent_id": pl.repeat(None, size, dtype=pl.String, eager=True),
            "crm_id": [f"crm-{index:05d}" for index in number],
        }
    )
    return AccountSchema.cast(frame)


def build_users(
    history: SimulationHistory, user_table: UserTable, guests: GuestVisits
) -> pl.DataFrame:
    """Build the users table: everyone who ever used or visited the product; guests come last."""
    end = history.period.end
    is_deactivated = user_table.removed & (user_table.left < end)
    is_second_domain = (user_table.department > 0) & (user_table.department % 2 == 0)
    domain = np.where(is_second_domain, "-group.example", ".example")
    table = pl.DataFrame(
        {
            "user_id": format_user_ids(np.arange(len(user_table))),
            "account_id": format_account_ids(user_table.account),
            "created_at": to_utc_datetime(user_table.joined + 1 / 3),
            "deactivated_at": to_utc_datetime(np.where(is_deactivated, user_table.left + 0.75, 0)),
            "email_domain": [f"company-{index:05d}{suffix}" for index, suffix in
                             zip(user_table.account.tolist(), domain.tolist(), strict=True)],
            "department": np.array(names.DEPARTMENTS)[user_table.department],
            "seat_type": "paid",
            "known_at": None,
        }
    )  # fmt: skip
    table = table.with_columns(
        pl.when(pl.Series(is_deactivated)).then("deactivated_at").name.keep()
    )
    guest_table = pl.DataFrame(
        {
            "user_id": format_user_ids(guests.first_user + np.arange(len(guests.account))),
            "account_id": format_account_ids(guests.account),
            "created_at": to_utc_datetime(guests.day),
            "seat_type": ["free"] * len(guests.account),
        }
    )
    return UserSchema.cast(pl.concat([table, guest_table], how="diagonal_relaxed"))


def build_subscriptions(history: SimulationHistory, rng: Generator) -> pl.DataFrame:
    """Build the subscription history, sorted by account and signature time."""
    deal_rows = [
        rows
        for signed in history.signed_deals
        if len(signed.account)
        for rows in (_build_current_rows(signed), _build_pending_rows(signed))
    ]
    frame = pl.concat([_build_trial_rows(history), *deal_rows])
    frame = frame.sort("account", "signed", "effective", maintain_order=True)
    # All rows of one signature share one time.
    deal = frame.select(pl.struct("account", "signed").rle_id()).to_series().to_numpy()
    time_of_day = rng.uniform(8.5, 17.5, len(frame))[deal] / 24
    limit = pl.col("limit")
    table = frame.with_columns(
        format_account_ids(frame["account"].to_numpy()),
        pl.when(limit.is_finite()).then(limit).alias("usage_limit"),
        to_utc_datetime(frame["effective"].to_numpy()).alias("effective_date"),
        to_utc_datetime(frame["renewal"].to_numpy()).alias("renewal_date"),
        to_utc_datetime(frame["signed"].to_numpy() + time_of_day).alias("known_at"),
    )
    return SubscriptionSchema.cast(table.select(SubscriptionSchema.column_names()))


def build_drivers(history: SimulationHistory) -> pl.DataFrame:
    """Build the table of each expansion's driver, sorted by account and date."""
    account, day, source = history.list_expansions()
    frame = pl.DataFrame(
        {
            "account_id": format_account_ids(account),
            "date": to_utc_datetime(day).cast(pl.Date),
            "kind": np.array(EXPANSION_TYPES)[source],
            "driver": np.array(list(SOURCES))[source],
        }
    )
    return frame.sort("account_id", "date")


def _build_trial_rows(history: SimulationHistory) -> pl.DataFrame:
    traits = history.traits
    size = len(traits.sign_up_day)
    columns = {
        "account": np.arange(size),
        "signed": traits.sign_up_day,
        "effective": traits.sign_up_day,
        "licensed_seats": np.full(size, TRIAL_SEATS),
        "plan": np.full(size, PLANS[0]),
        "limit": np.full(size, np.inf),
        "mrr": np.zeros(size),
        "renewal": traits.sign_up_day + traits.trial_days,
        "status": np.full(size, "trial"),
        "change": np.full(size, "new"),
    }
    return pl.DataFrame(columns)


def _build_current_rows(signed: SignedDeals) -> pl.DataFrame:
    """Return rows in force from the day of the signature; a deferred start has none."""
    deals, after = signed.deals, signed.after
    deferred = (deals.deal_type == DealType.ORGANIC) & _has_pending_seats(signed)
    deferred &= after.seats == signed.before.seats
    rows = _build_subscription_rows(
        signed, deals.day, after.seats, np.array(DealType.NAMES)[deals.deal_type]
    )
    return rows.filter(pl.Series(~deferred))


def _build_pending_rows(signed: SignedDeals) -> pl.DataFrame:
    """Return rows signed now and in force later: a deferred start, or the second step of a ramp."""
    after = signed.after
    is_ramp = (signed.deals.deal_type == DealType.NEW) | (after.seats != signed.before.seats)
    change = np.where(is_ramp, "ramp", "organic")
    rows = _build_subscription_rows(signed, after.pending_start, after.pending_seats, change)
    return rows.filter(pl.Series(_has_pending_seats(signed)))


def _has_pending_seats(signed: SignedDeals) -> NDArray[np.bool_]:
    return np.asarray((signed.before.pending_start == NEVER) & (signed.after.pending_start < NEVER))


def _build_subscription_rows(
    signed: SignedDeals, effective: Vector, seats: Vector, change: NDArray[np.str_]
) -> pl.DataFrame:
    after, is_paying = signed.after, signed.after.is_paying
    plan = after.plan.astype(int)
    calls = np.where(np.isfinite(after.limit), after.limit, 0) * CALL_PRICE
    columns = {
        "account": signed.account,
        "signed": signed.deals.day,
        "effective": effective,
        "licensed_seats": np.where(is_paying, seats, np.nan),
        "plan": np.array(PLANS)[plan],
        "limit": np.where(is_paying, after.limit, np.inf),
        "mrr": np.where(
            is_paying, np.round(after.price * (SEAT_PRICE[plan] * seats + calls), 2), 0.0
        ),
        "renewal": after.renewal,
        "status": _STATUS_NAMES[after.status.astype(int)],
        "change": change,
    }
    return pl.DataFrame(columns).with_columns(pl.col("licensed_seats").fill_nan(None))
