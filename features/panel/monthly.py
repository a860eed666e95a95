"""Monthly grid: the log aggregated to 30-day months, counted back from an anchor.

Every as-of of an anchor is a grid line, so one aggregation of the log serves them all. Rows keep
the month they happened in and the time they became known; the point-in-time filter uses only the
latter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS
from features.activity import daily_aggregates, first_seen
from features.activity.daily_tables import Activity
from features.subscription_timeline import UTC_DATETIME

__all__ = ["MonthlyGrid", "aggregate_monthly", "bit_flag"]

_USER_KEYS: Final = ("account_id", "user_id")
_ROLE_KEYS: Final = ("account_id", "role")
_FEATURE_ROLES: Final = ("use", "integration")  # roles counted per feature


@dataclass(frozen=True)
class MonthlyGrid:
    """The log of one anchor, per 30-day month.

    ``month`` counts back from the anchor: 0 is [anchor − 30 d, anchor). ``known`` is a time that
    lies before an as-of on the grid exactly when the row was known before it.

    Attributes
    ----------
    anchor : datetime.datetime
        The last as-of, 00:00 UTC.
    people : polars.DataFrame
        Per account, user, month and ``known``: ``events`` (feature uses); ``days``, the days of the
        month with feature use as 30 bits, so that a day reported several times counts once;
        ``sessions``, runs of consecutive clock hours of one day with feature use;
        ``first_seat_day`` and ``last_seat_day`` of events that make a seat active.
    roles : polars.DataFrame
        ``count`` and ``quantity_milli`` per account, role, month and ``known``.
    features : polars.DataFrame
        One row per account, role, feature, month and ``known``: use and integrations only.
    first_uses, first_people, first_features : polars.DataFrame
        Over the whole log, the first ``day`` per account, user and feature; per account, user and
        whether it was feature use and an active seat; and per account, role and feature; and the
        time it became ``known``; another row for each earlier day that became known later.
        ``several`` states whether there is more than one row.
    """

    anchor: datetime
    people: pl.DataFrame
    roles: pl.DataFrame
    features: pl.DataFrame
    first_uses: pl.DataFrame
    first_people: pl.DataFrame
    first_features: pl.DataFrame

    def months_before_anchor(self, as_of: datetime) -> int:
        """Return the months between an as-of on the grid and the anchor."""
        days = (self.anchor - as_of).days
        if days < 0 or days % MONTH_DAYS:
            raise ValueError(f"{as_of:%Y-%m-%d} is not a grid line of {self.anchor:%Y-%m-%d}")
        return days // MONTH_DAYS


def aggregate_monthly(
    log: Activity, anchor: datetime, *, months: int, detail_months: int
) -> MonthlyGrid:
    """Aggregate the daily tables to a number of months counted back from an anchor.

    The anchor is the last as-of, 00:00 UTC; rows known at or after it are left out. Days, sessions
    and features are computed for ``detail_months``. The cost does not grow with the log. Row order
    is unspecified; consumers only aggregate.
    """
    log_months = -((log.first_day - anchor.date()).days // MONTH_DAYS) if log.first_day else 0
    month_count = max(min(log_months, months), 1)
    since = (anchor - timedelta(days=month_count * MONTH_DAYS)).date()
    monthly = partial(
        _aggregate_months, anchor=anchor, months=month_count, detail_months=detail_months
    )
    people = log.aggregate(
        "people", _USER_KEYS, partial(monthly, aggregate=_aggregate_users), since=since
    )
    counts = log.aggregate(
        "volume", _ROLE_KEYS, partial(monthly, aggregate=_aggregate_counts), since=since
    )
    key = [*_ROLE_KEYS, "month", "known"]
    feature_rows = pl.col("role").is_in(_FEATURE_ROLES), pl.col("month") < detail_months
    return MonthlyGrid(
        anchor=anchor,
        people=people,
        roles=counts.group_by(key).agg(pl.col("count", "quantity_milli").sum()),
        features=counts.filter(feature_rows).select(*key, "feature"),
        **{
            table: _load_first_seen(log, table, key, anchor)
            for table, key in daily_aggregates.FIRST_SEEN_KEYS.items()
        },
    )


def bit_flag(position: pl.Expr) -> pl.Expr:
    """Return the number whose only set bit is at a position, from 0 to 31."""
    return pl.lit(2, pl.UInt32).pow(position.cast(pl.UInt32)).cast(pl.UInt32)


def _aggregate_months(
    rows: pl.LazyFrame,
    *,
    aggregate: Callable[..., pl.LazyFrame],
    anchor: datetime,
    months: int,
    detail_months: int,
) -> pl.DataFrame:
    """Aggregate each month, the most recent ones in detail."""
    # One month at a time, so that memory does not grow with the length of the log.
    frames = [
        aggregate(_select_month(rows, month, anchor), detailed=month < detail_months)
        .with_columns(month=pl.lit(month, pl.Int32))
        .collect(engine="streaming")
        for month in range(months)
    ]
    return pl.concat(frames, how="diagonal")


def _select_month(rows: pl.LazyFrame, month: int, anchor: datetime) -> pl.LazyFrame:
    """Return a month's rows, with their days before its end and the time they became known.

    Rows not known before the anchor are left out.
    """
    end = anchor - timedelta(days=month * MONTH_DAYS)
    start, last_day = end - timedelta(days=MONTH_DAYS), anchor - timedelta(days=1)
    months_known = (pl.lit(last_day.date()) - pl.col("known_day")).dt.total_days() // MONTH_DAYS
    return rows.filter(
        pl.col("day").is_between(start.date(), end.date(), closed="left"),
        pl.col("known_day") < anchor.date(),
    ).with_columns(
        ago=(pl.lit(end.date()) - pl.col("day")).dt.total_days() - 1,
        known=pl.lit(anchor).cast(UTC_DATETIME) - pl.duration(days=(months_known + 1) * MONTH_DAYS),
    )


def _aggregate_counts(volume: pl.LazyFrame, *, detailed: bool) -> pl.LazyFrame:
    """Sum counts per role; if detailed, per feature."""
    key = [*_ROLE_KEYS, "known", *(["feature"] if detailed else [])]
    return volume.group_by(key).agg(pl.col("count", "quantity_milli").sum())


def _aggregate_users(user_activity: pl.LazyFrame, *, detailed: bool) -> pl.LazyFrame:
    """Aggregate each user's activity; a day in several rows counts once."""
    key, detail_columns = [*_USER_KEYS, "known"], []
    rows = user_activity
    if detailed:
        sums, hours = pl.col("uses", "seat_uses").sum(), pl.col("hours")
        rows = user_activity.group_by(*key, "day", "ago").agg(sums, hours.bitwise_or())
        # Hours in use, less those that continue the hour before.
        sessions = hours.bitwise_count_ones() - (hours & (hours * 2)).bitwise_count_ones()
        rows = rows.with_columns(
            days=pl.when(pl.col("uses") > 0).then(bit_flag(pl.col("ago"))),
            sessions=sessions.cast(pl.Int64),
        )
        detail_columns = [pl.col("days").bitwise_or(), pl.col("sessions").sum()]
    with_seat_days = rows.with_columns(seat_day=pl.when(pl.col("seat_uses") > 0).then("day"))
    return with_seat_days.group_by(key).agg(
        pl.col("uses").sum().alias("events"),
        *detail_columns,
        first_seat_day=pl.col("seat_day").min(),
        last_seat_day=pl.col("seat_day").max(),
    )


def _load_first_seen(
    log: Activity, table: str, key: Sequence[str], anchor: datetime
) -> pl.DataFrame:
    """Return the first day of each key, with the time from which it was known."""
    first_days = log.aggregate(table, key, partial(_first_seen_before, key=key, anchor=anchor))
    return first_days.with_columns(known=pl.col("known_day").cast(UTC_DATETIME)).drop("known_day")


def _first_seen_before(rows: pl.LazyFrame, *, key: Sequence[str], anchor: datetime) -> pl.DataFrame:
    return first_seen.first_seen_by_known_date(
        rows.filter(pl.col("known_day") < anchor.date()), key
    )
