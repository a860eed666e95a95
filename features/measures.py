"""What can be counted of each account at one as-of: the columns that features are made of.

Everything here passes :func:`features.grid.known_before` first. A suffix ``_mK`` is the 30-day
month K months before the as-of: ``_m0`` is the last one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import polars as pl
from polars import selectors as cs

from data.settings import MONTH_DAYS
from features import terms
from features.grid import Grid, bit, known_before

__all__ = ["LOOK_BACK_MONTHS", "at"]

LOOK_BACK_MONTHS: Final = 12
POWER_DAYS: Final = 12  # active days in a month that make a user a power user
_MONTHS: Final = range(LOOK_BACK_MONTHS + 1)


def at(
    grid: Grid,
    contracts: pl.DataFrame,
    users: pl.DataFrame,
    as_of: datetime,
    *,
    seat_months: int,
) -> pl.DataFrame:
    """Count everything the catalogue needs of every account under contract, at one as-of.

    Parameters
    ----------
    grid : features.grid.Grid
        The folded log of the as-of's anchor.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    users : polars.DataFrame
        Rows under :class:`data.contracts.Users`; only their dates, and the attributes declared
        stable, are used.
    as_of : datetime.datetime
        A grid line, 00:00 UTC; only what was known before it is seen.
    seat_months : int
        Length of the seat window, in 30-day months.

    Returns
    -------
    polars.DataFrame
        One row per account with a contract known before the as-of, ordered by account. Counts of
        an account without events are zero; what a contract does not say is null.
    """
    signed = known_before(contracts, as_of)
    parts = [
        _seats(grid, users, as_of, seat_months),
        _people(grid, as_of),
        _features_in_use(grid, as_of),
        _roles(grid, as_of),
        _provisioned(users, as_of),
        _spread(grid, users, as_of),
    ]
    wide = terms.at(signed, as_of, _MONTHS)
    for part in parts:
        named = part.with_columns(pl.col("account_id").cast(pl.String))
        wide = wide.join(named, on="account_id", how="left", validate="1:1")
    counts = [name for part in parts for name in part.columns if not name.startswith("since_")]
    counted = pl.col([name for name in counts if name != "account_id"])
    first_day = known_before(grid.starts, as_of)["first_day"].min()
    return (
        wide.with_columns(
            counted.fill_null(0),
            log_days=pl.lit(as_of.date()) - pl.lit(first_day, pl.Date),
        )
        .with_columns(
            # Polars counts without a sign: three seats fewer would be four billion more.
            cs.unsigned_integer().cast(pl.Int64),
            pl.col("log_days").dt.total_days(),
            seat_window_days=pl.lit(seat_months * MONTH_DAYS),
            as_of=pl.lit(as_of.date()),
        )
        .sort("account_id")
    )


def _relative(rows: pl.DataFrame, grid: Grid, as_of: datetime) -> pl.DataFrame:
    """Count months back from the as-of instead of the anchor."""
    return known_before(rows, as_of).with_columns(pl.col("month") - grid.back(as_of))


def _days_ago(day: str, as_of: datetime) -> pl.Expr:
    return (pl.lit(as_of.date()) - pl.col(day)).dt.total_days()


def _seats(grid: Grid, users: pl.DataFrame, as_of: datetime, seat_months: int) -> pl.DataFrame:
    """Active seats in trailing windows, and people who became active for the first time.

    Only paid seats count against licensed seats; a seat of unknown type counts as paid.
    """
    unpaid = users.filter(pl.col("seat_type").is_in(["free", "trial"])).select(_name("user_id"))
    rows = _relative(grid.people, grid, as_of).filter(pl.col("first_seat_day").is_not_null())
    person = (
        rows.join(unpaid, on="user_id", how="anti")
        .lazy()
        .group_by("account_id", "user_id")
        .agg(_month_bits(), pl.col("first_seat_day").min(), pl.col("last_seat_day").max())
        .with_columns(
            since_first=_days_ago("first_seat_day", as_of),
            idle=_days_ago("last_seat_day", as_of),
            now=_active(0, seat_months),
            before=_active(1, seat_months),
        )
    )
    since_first, window = pl.col("since_first"), seat_months * MONTH_DAYS
    return (
        person.group_by("account_id")
        .agg(
            *(_active(lag, seat_months).sum().alias(f"active_seats_m{lag}") for lag in _MONTHS),
            *(
                since_first.le(days).sum().alias(f"new_users_{days}d")
                for days in (30, 60, 90, 180, 360)
            ),
            new_users_previous_30d=since_first.is_between(31, 60).sum(),
            new_users_previous_90d=since_first.is_between(91, 180).sum(),
            months_with_new_users_6m=(since_first.sub(1) // MONTH_DAYS)
            .filter(since_first <= 6 * MONTH_DAYS)
            .n_unique(),
            since_new_user_days=since_first.min(),
            # Nobody can leave the window before its oldest third has passed.
            rolling_off=pl.col("idle").is_between(window * 2 // 3 + 1, window).sum(),
            lost_users=(pl.col("before") & ~pl.col("now")).sum(),
            returned_users=(pl.col("now") & ~pl.col("before") & since_first.gt(MONTH_DAYS)).sum(),
        )
        .collect()
    )


def _people(grid: Grid, as_of: datetime) -> pl.DataFrame:
    """People by any feature use: how many, how deep, how concentrated."""
    rows = _relative(grid.people, grid, as_of).filter(pl.col("events") > 0).lazy()
    month, months = pl.col("month"), (0, 1, 2, 3)
    person = rows.group_by("account_id", "user_id").agg(
        _month_bits(),
        pl.col("events").filter(month < 3).sum().alias("events_90d"),
        *(
            pl.when(month == back)
            .then("days")
            .bitwise_or()
            .bitwise_count_ones()
            .alias(f"days_m{back}")
            for back in months
        ),
    )
    return (
        person.group_by("account_id")
        .agg(
            *(_active(back, 1).sum().alias(f"active_users_m{back}") for back in _MONTHS),
            *(pl.col(f"days_m{back}").sum().alias(f"active_days_m{back}") for back in months),
            *(
                pl.col(f"days_m{back}").ge(POWER_DAYS).sum().alias(f"power_users_m{back}")
                for back in months
            ),
            *(_active(0, back).sum().alias(f"people_{back * 30}d") for back in (3, 6, 12)),
            people_ever=pl.len(),
            champion_events_90d=pl.col("events_90d").max(),
            events_90d=pl.col("events_90d").sum(),
        )
        .collect()
    )


def _month_bits() -> pl.Expr:
    """The months in which a person was active, as bits; beyond 32 nothing looks back."""
    month = pl.col("month")
    return pl.when(month < 32).then(bit(month)).bitwise_or().fill_null(0).alias("months")


def _active(back: int, months: int) -> pl.Expr:
    """Whether a person was active in the months that end so many months back."""
    window = (2**months - 1) * 2**back
    return (pl.col("months") & pl.lit(window, pl.UInt32)).ne(0)


def _name(column: str) -> pl.Expr:
    """A column of names as categories, to meet those of the log."""
    return pl.col(column).cast(pl.Categorical)


def _features_in_use(grid: Grid, as_of: datetime) -> pl.DataFrame:
    """Features by the month they were first used, and those in use."""
    rows = _relative(grid.volume, grid, as_of).lazy().filter(pl.col("role") == "use")
    feature = rows.group_by("account_id", "feature").agg(
        pl.col("month").max().alias("first"),
        *(pl.col("month").eq(month).any().alias(f"used_m{month}") for month in (0, 1, 2, 3)),
    )
    first = pl.col("first")
    return (
        feature.group_by("account_id")
        .agg(
            *(pl.col(f"used_m{month}").sum().alias(f"features_m{month}") for month in (0, 1, 2, 3)),
            features_ever=pl.len(),
            features_new_60d=first.lt(2).sum(),
            features_new_previous_60d=first.is_between(2, 3).sum(),
            features_new_180d=first.lt(6).sum(),
        )
        .collect()
    )


def _roles(grid: Grid, as_of: datetime) -> pl.DataFrame:
    """Volume by role: use, API calls, integrations, and the controls."""
    rows = _relative(grid.volume, grid, as_of).lazy()
    role, month = pl.col("role"), pl.col("month")

    def count(name: str, months: Iterable[int]) -> pl.Expr:
        return pl.col("count").filter(role == name, month.is_in(list(months))).sum()

    def quantity(name: str, months: Iterable[int]) -> pl.Expr:
        rows = pl.col("quantity_milli").filter(role == name, month.is_in(list(months)))
        return rows.sum() / 1000

    def distinct(name: str, months: Sequence[int]) -> pl.Expr:
        return pl.col("feature").filter(role == name, month.is_in(list(months))).n_unique()

    return (
        rows.group_by("account_id")
        .agg(
            *(count("use", [back]).alias(f"events_m{back}") for back in _MONTHS),
            *(quantity("api_call", [back]).alias(f"api_calls_m{back}") for back in _MONTHS),
            *(distinct("integration", [b]).alias(f"integrations_m{b}") for b in (0, 1, 2, 3)),
            since_first_api_days=_days_ago("first_day", as_of).filter(role == "api_call").max(),
            since_event_months=month.min(),
            integrations_ever=pl.col("feature").filter(role == "integration").n_unique(),
            integrations_before_90d=pl.col("feature")
            .filter(role == "integration", month >= 3)
            .n_unique(),
            logins_m0=count("login", [0]),
            logins_m1=count("login", [1]),
            logins_m2=count("login", [2]),
            tickets_90d=count("support_ticket", range(3)),
            tickets_previous_90d=count("support_ticket", range(3, 6)),
            nps_answers_180d=count("nps", range(6)),
            nps_sum_180d=quantity("nps", range(6)),
        )
        .collect()
    )


def _provisioned(users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """People with a login, by the dates in the users table."""
    gone = pl.col("deactivated_at") < as_of
    return (
        users.filter(pl.col("created_at") < as_of, ~gone.fill_null(value=False))
        .group_by("account_id")
        .agg(provisioned=pl.len())
    )


def _spread(grid: Grid, users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Departments and e-mail domains active now, and those new in the last 90 days."""
    where = users.select(_name("user_id"), "department", "email_domain").lazy()
    used = _relative(grid.people, grid, as_of).lazy().filter(pl.col("events") > 0)
    rows = used.join(where, on="user_id")
    counts = []
    for name in ("department", "email_domain"):
        group = (
            rows.filter(pl.col(name).is_not_null())
            .group_by("account_id", name)
            .agg(pl.col("month").min().alias("latest"), pl.col("month").max().alias("first"))
        )
        counts.append(
            group.group_by("account_id").agg(
                pl.col("latest").lt(3).sum().alias(f"{name}s_90d"),
                pl.col("first").lt(3).sum().alias(f"{name}s_new_90d"),
            )
        )
    return counts[0].join(counts[1], on="account_id", how="full", coalesce=True).collect()
