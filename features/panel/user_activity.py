"""Per-user activity as of a date; the only per-user aggregation needed per as-of."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS
from features.panel.monthly import MonthlyGrid, bit_flag
from features.point_in_time import known_before
from features.subscription_timeline import UTC_DATETIME

__all__ = [
    "DETAIL_MONTHS",
    "as_categorical",
    "days_ago",
    "free_seat_users",
    "prepare_users",
    "user_activity_as_of",
    "was_active",
]

# Months with detailed activity, and months with daily seat activity.
DETAIL_MONTHS: Final = (0, 1, 2, 3)
SEAT_DAY_MONTHS: Final = 3
_USER_KEYS: Final = ["account_id", "user_id"]
_IS_FREE_SEAT: Final = pl.col("seat_type").is_in(["free", "trial"]).fill_null(value=False)
_WEEK_MASKS: Final = tuple((2**7 - 1) * 2 ** (7 * week) for week in range(4))


def user_activity_as_of(
    grid: MonthlyGrid, users: pl.DataFrame, as_of: datetime, *, seat_months: int
) -> pl.DataFrame:
    """Return every user's activity and attributes, as known at an as-of.

    ``users`` come from :func:`prepare_users`. The as-of is a grid line, 00:00 UTC; ``seat_months``
    is the length of the seat window, in 30-day months.

    Returns
    -------
    polars.DataFrame
        One row per account and user, row order unspecified:

        - ``use``, ``seat``: the months with feature use, and with an active seat, as bits, of the
          aggregated months;
        - ``events_90d``, ``days_mK`` (active days), ``weeks_mK`` (active weeks of the four),
          ``sessions_mK``;
        - ``since_first_use``, ``since_first_seat``: days ago, over the whole log;
        - ``since_last_seat``: days ago, in the aggregated months;
        - ``newest_mK``, ``oldest_mK``: days with an active seat, counted back from the end of the
          month, 0 to 29;
        - ``paid``, ``department``, ``email_domain``, and ``gone``: whether the login was
          deactivated.
    """
    rows = (
        known_before(grid.people, as_of)
        .lazy()
        .with_columns(month=pl.col("month") - grid.months_before_anchor(as_of))
    )
    seat_day_months = SEAT_DAY_MONTHS + seat_months
    merged = (
        _find_first_days(grid, as_of)
        .join(_aggregate_active_months(rows), on=_USER_KEYS, how="left")
        .join(_aggregate_recent_months(rows, seat_day_months), on=_USER_KEYS, how="left")
    )
    attributes = _user_attributes(users, as_of)
    activity = _to_counts(merged, as_of, seat_day_months).join(attributes, on="user_id", how="left")
    return activity.with_columns(
        pl.col("paid").fill_null(value=True), pl.col("gone").fill_null(value=False)
    ).collect(engine="streaming")


def _find_first_days(grid: MonthlyGrid, as_of: datetime) -> pl.LazyFrame:
    """Return every user with the first days of feature use and of an active seat."""
    day = pl.col("day")
    return (
        known_before(grid.first_people, as_of)
        .lazy()
        .group_by(_USER_KEYS)
        .agg(first_day=day.filter("used").min(), first_seat_day=day.filter("seat").min())
    )


def _aggregate_active_months(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the months with activity among the last 32, as bits."""
    month = pl.col("month")
    has_seat_activity = pl.col("first_seat_day").is_not_null()
    return (
        rows.filter(month < 32)
        .with_columns(
            use=pl.when(pl.col("events") > 0).then(bit_flag(month)),
            seat=pl.when(has_seat_activity).then(bit_flag(month)),
        )
        .group_by(_USER_KEYS)
        .agg(pl.col("use", "seat").bitwise_or(), pl.col("last_seat_day").max())
    )


def _aggregate_recent_months(rows: pl.LazyFrame, seat_day_months: int) -> pl.LazyFrame:
    """Return the monthly values of the most recent months."""
    months = max(seat_day_months, len(DETAIL_MONTHS))
    seat_days = {}
    for back in range(seat_day_months):
        seat_days[f"newest_m{back}"] = _in_month("last_seat_day", back).max()
        seat_days[f"oldest_m{back}"] = _in_month("first_seat_day", back).min()
    return (
        rows.filter(pl.col("month") < months)
        .group_by(_USER_KEYS)
        .agg(
            events_90d=pl.col("events").filter(pl.col("month") < 3).sum(),
            **{f"days_m{back}": _in_month("days", back).bitwise_or() for back in DETAIL_MONTHS},
            **{f"sessions_m{back}": _in_month("sessions", back).sum() for back in DETAIL_MONTHS},
            **seat_days,
        )
    )


def was_active(column: str, months_back: int, months: int) -> pl.Expr:
    """Return whether a user was active in the ``months`` that end ``months_back`` months ago."""
    window = (2**months - 1) * 2**months_back
    return (pl.col(column) & pl.lit(window, pl.UInt32)).ne(0)


def days_ago(day: str, as_of: datetime) -> pl.Expr:
    """Return the days from a day to the as-of: 1 for the day before it."""
    return (pl.lit(as_of.date()) - pl.col(day)).dt.total_days()


def as_categorical(column: str) -> pl.Expr:
    """Cast a column of names to categories, to join with those of the log."""
    return pl.col(column).cast(pl.Categorical)


def prepare_users(
    users: pl.DataFrame,
    accounts: pl.DataFrame,
    time_invariant: Sequence[str],
    reliable_from: date | None = None,
) -> pl.DataFrame:
    """Add the time each user was known, and null the attributes that may change over time.

    No user is known before their account was created. A user deactivated before the creation date
    existed before it: of a login that was reactivated, the creation date is the later one.

    ``time_invariant`` attributes never change; of others the table holds today's value, which is
    left out. ``known_at`` stamps before the UTC day ``reliable_from`` belong to a bulk load and are
    ignored.

    Returns
    -------
    polars.DataFrame
        The rows with ``known``, the time from which each existed; null where unknown,
        for example if the account is not in the accounts table.
    """
    time_varying = [
        name for name in ("department", "email_domain", "seat_type") if name not in time_invariant
    ]
    floor = pl.lit(reliable_from or date(1, 1, 1)).cast(UTC_DATETIME)
    first_date = pl.min_horizontal("created_at", "deactivated_at")
    reliable_known_at = pl.when(pl.col("known_at") >= floor).then("known_at")
    created = accounts.select("account_id", "created_date")
    return (
        users.join(created, on="account_id", how="left", maintain_order="left")
        .with_columns(
            *(pl.lit(None, pl.String).alias(name) for name in time_varying),
            known=pl.max_horizontal(first_date, reliable_known_at, "created_date"),
        )
        .drop("created_date")
    )


def free_seat_users(users: pl.DataFrame) -> pl.DataFrame:
    """Return the users of :func:`prepare_users` whose seats do not count against licensed seats.

    Columns: ``user_id``, and ``known_day``, null where it was known from the beginning.
    """
    return users.filter(_IS_FREE_SEAT).select("user_id", known_day=pl.col("known").dt.date())


def _in_month(column: str, back: int) -> pl.Expr:
    return pl.col(column).filter(pl.col("month") == back)


def _to_counts(users: pl.LazyFrame, as_of: datetime, seat_months: int) -> pl.LazyFrame:
    """Convert bits to counts, and dates to days ago."""
    positions = [
        (days_ago(f"{end}_m{back}", as_of) - 1 - back * MONTH_DAYS).alias(f"{end}_m{back}")
        for end in ("newest", "oldest")
        for back in range(seat_months)
    ]
    days = pl.col([f"days_m{back}" for back in DETAIL_MONTHS]).fill_null(0)
    counts = pl.col("events_90d", *(f"sessions_m{back}" for back in DETAIL_MONTHS)).fill_null(0)
    weeks = [
        pl.sum_horizontal(
            (pl.col(f"days_m{back}").fill_null(0) & pl.lit(week, pl.UInt32)).ne(0)
            for week in _WEEK_MASKS
        ).alias(f"weeks_m{back}")
        for back in DETAIL_MONTHS
    ]
    return users.with_columns(
        pl.col("use", "seat").fill_null(0),
        days.bitwise_count_ones(),
        counts,
        *weeks,
        *positions,
        since_first_use=days_ago("first_day", as_of),
        since_first_seat=days_ago("first_seat_day", as_of),
        since_last_seat=days_ago("last_seat_day", as_of),
    ).drop("first_day", "first_seat_day", "last_seat_day")


def _user_attributes(users: pl.DataFrame, as_of: datetime) -> pl.LazyFrame:
    """Return the attributes known at the as-of; only free and trial seats count as unpaid."""
    known = users.lazy().filter(pl.col("known").lt(as_of).fill_null(value=True))
    return known.select(
        as_categorical("user_id"),
        "department",
        "email_domain",
        paid=~_IS_FREE_SEAT,
        gone=pl.col("deactivated_at") < as_of,
    )
