"""The history as tables: accounts, users, subscriptions, and what drove each expansion."""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.contracts import Accounts, Subscriptions, Users
from data.simulator import names
from data.simulator.adoption import TRIAL_SEATS
from data.simulator.company import Booking, History
from data.simulator.deals import Change
from data.simulator.people import Roster
from data.simulator.pressure import KINDS, SOURCES
from data.simulator.state import NEVER, PLANS, Generator, Integers, Vector

__all__ = ["account_ids", "accounts", "drivers", "instant", "subscriptions", "user_ids", "users"]

SEAT_PRICE: Final = np.array([0.0, 12.0, 24.0, 40.0])  # per month, by plan
CALL_PRICE: Final = 0.0005
_STATUS: Final = np.array(["", "trial", "paid", "lapsed", "churned"])  # by Status
_DAY: Final = 86_400_000_000  # microseconds


def account_ids(account: Integers) -> pl.Series:
    """Name accounts by their number."""
    return _name("account_id", "acc_", account, 5)


def user_ids(user: Integers) -> pl.Series:
    """Name people by their number."""
    return _name("user_id", "usr_", user, 6)


def _name(column: str, prefix: str, number: Integers, digits: int) -> pl.Series:
    padded = pl.Series(number).cast(pl.String).str.zfill(digits)
    return (prefix + padded).alias(column)


def instant(day: NDArray[Any]) -> pl.Series:
    """Turn days, also broken ones, into instants in UTC."""
    microseconds = np.round(np.asarray(day, dtype=float) * _DAY).astype(np.int64)
    return pl.Series(microseconds).cast(pl.Datetime("us", "UTC"))


def accounts(history: History, rng: Generator) -> pl.DataFrame:
    """Give the customer companies in the order in which they signed up."""
    traits = history.traits
    size = len(traits.joined)
    potential = traits.departments * traits.department_size
    number = np.arange(size)
    segment = np.array(["small", "middle", "large"])[np.digitize(potential, [15, 45])]
    frame = pl.DataFrame(
        {
            "account_id": account_ids(number),
            "created_date": instant(traits.joined),
            "name": names.companies(size, rng),
            "csm": np.array(names.CSMS)[rng.integers(0, len(names.CSMS), size)],
            "segment": segment,
            "parent_id": pl.repeat(None, size, dtype=pl.String, eager=True),
            "crm_id": [f"crm-{place:05d}" for place in number],
        }
    )
    return Accounts.cast(frame)


def users(history: History, roster: Roster, guests: pl.DataFrame) -> pl.DataFrame:
    """Give everyone who ever used or visited the product; guests come last."""
    end = history.span.end
    gone = roster.removed & (roster.left < end)
    second = (roster.department > 0) & (roster.department % 2 == 0)
    domain = np.where(second, "-group.example", ".example")
    people = pl.DataFrame(
        {
            "user_id": user_ids(np.arange(len(roster))),
            "account_id": account_ids(roster.account),
            "created_at": instant(roster.joined + 1 / 3),
            "deactivated_at": instant(np.where(gone, roster.left + 0.75, 0)),
            "email_domain": [f"company-{place:05d}{tail}" for place, tail in
                             zip(roster.account.tolist(), domain.tolist(), strict=True)],
            "department": np.array(names.DEPARTMENTS)[roster.department],
            "seat_type": "paid",
            "known_at": None,
        }
    )  # fmt: skip
    people = people.with_columns(pl.when(pl.Series(gone)).then("deactivated_at").name.keep())
    return Users.cast(pl.concat([people, guests], how="diagonal_relaxed"))


def subscriptions(history: History, rng: Generator) -> pl.DataFrame:
    """Give the contract history, sorted by account and by the moment of the signature."""
    booked = [rows for b in history.bookings if len(b.account) for rows in (_now(b), _later(b))]
    frame = pl.concat([_trials(history), *booked])
    frame = frame.sort("account", "signed", "effective", maintain_order=True)
    # One signature, one moment, however many rows it books.
    deal = frame.select(pl.struct("account", "signed").rle_id()).to_series().to_numpy()
    moment = rng.uniform(8.5, 17.5, len(frame))[deal] / 24
    limit = pl.col("limit")
    table = frame.with_columns(
        account_ids(frame["account"].to_numpy()),
        pl.when(limit.is_finite()).then(limit).alias("usage_limit"),
        instant(frame["effective"].to_numpy()).alias("effective_date"),
        instant(frame["renewal"].to_numpy()).alias("renewal_date"),
        instant(frame["signed"].to_numpy() + moment).alias("known_at"),
    )
    return Subscriptions.cast(table.select(Subscriptions.column_names()))


def drivers(history: History) -> pl.DataFrame:
    """Give what drove each expansion, sorted by account and date."""
    won = [b.deals.source >= 0 for b in history.bookings]
    signed = list(zip(history.bookings, won, strict=True))
    source = np.concatenate([b.deals.source[w] for b, w in signed])
    frame = pl.DataFrame(
        {
            "account_id": account_ids(np.concatenate([b.account[w] for b, w in signed])),
            "date": instant(np.concatenate([b.deals.day[w] for b, w in signed])).cast(pl.Date),
            "kind": np.array(KINDS)[source],
            "driver": np.array(list(SOURCES))[source],
        }
    )
    return frame.sort("account_id", "date")


def _trials(history: History) -> pl.DataFrame:
    traits = history.traits
    size = len(traits.joined)
    columns = {
        "account": np.arange(size),
        "signed": traits.joined,
        "effective": traits.joined,
        "licensed_seats": np.full(size, TRIAL_SEATS),
        "plan": np.full(size, PLANS[0]),
        "limit": np.full(size, np.inf),
        "mrr": np.zeros(size),
        "renewal": traits.joined + traits.trial_days,
        "status": np.full(size, "trial"),
        "change": np.full(size, "new"),
    }
    return pl.DataFrame(columns)


def _now(booking: Booking) -> pl.DataFrame:
    """Rows in force from the day of the signature; a deferred start has none."""
    deals, after = booking.deals, booking.after
    deferred = (deals.change == Change.ORGANIC) & _has_later(booking)
    deferred &= after.seats == booking.before.seats
    rows = _contract(booking, deals.day, after.seats, np.array(Change.NAMES)[deals.change])
    return rows.filter(pl.Series(~deferred))


def _later(booking: Booking) -> pl.DataFrame:
    """Rows signed now and in force later: a deferred start, or the second step of a ramp."""
    after = booking.after
    stepped = (booking.deals.change == Change.NEW) | (after.seats != booking.before.seats)
    change = np.where(stepped, "ramp", "organic")
    rows = _contract(booking, after.pending, after.pending_seats, change)
    return rows.filter(pl.Series(_has_later(booking)))


def _has_later(booking: Booking) -> NDArray[np.bool_]:
    return np.asarray((booking.before.pending == NEVER) & (booking.after.pending < NEVER))


def _contract(
    booking: Booking, effective: Vector, seats: Vector, change: NDArray[np.str_]
) -> pl.DataFrame:
    after, paid = booking.after, booking.after.paid
    plan = after.plan.astype(int)
    calls = np.where(np.isfinite(after.limit), after.limit, 0) * CALL_PRICE
    columns = {
        "account": booking.account,
        "signed": booking.deals.day,
        "effective": effective,
        "licensed_seats": np.where(paid, seats, np.nan),
        "plan": np.array(PLANS)[plan],
        "limit": np.where(paid, after.limit, np.inf),
        "mrr": np.where(paid, np.round(after.price * (SEAT_PRICE[plan] * seats + calls), 2), 0.0),
        "renewal": after.renewal,
        "status": _STATUS[after.status.astype(int)],
        "change": change,
    }
    return pl.DataFrame(columns).with_columns(pl.col("licensed_seats").fill_nan(None))
