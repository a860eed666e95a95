"""Account aggregates as of a date: the columns that features are computed from.

All inputs pass :func:`features.point_in_time.known_before` first. A suffix ``_mK`` is the
30-day month K months before the as-of: ``_m0`` is the last one.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final

import polars as pl
from polars import selectors as cs

from data.config.settings import MONTH_DAYS
from features.panel import (
    feature_adoption,
    provisioning,
    seat_streaks,
    subscription_terms,
    user_activity,
)
from features.panel.monthly import MonthlyGrid
from features.panel.user_activity import DETAIL_MONTHS, days_ago, was_active
from features.point_in_time import known_before

__all__ = ["LOOKBACK_MONTHS", "aggregate_accounts"]

LOOKBACK_MONTHS: Final = 12
POWER_USER_DAYS: Final = 12  # active days per month of a power user
_GROUP_COLUMNS: Final = ("department", "email_domain")
_MONTHS: Final = range(LOOKBACK_MONTHS + 1)
_NEW_USER_WINDOWS: Final = (30, 60, 90, 180, 360)  # days
_DETAIL_COLUMNS: Final = {"days": "active_days", "weeks": "active_weeks", "sessions": "sessions"}


def aggregate_accounts(
    grid: MonthlyGrid,
    timeline: pl.DataFrame,
    users: pl.DataFrame,
    as_of: datetime,
    *,
    seat_months: int,
    advanced_features: Sequence[str],
    log_first_day: date | None = None,
) -> pl.DataFrame:
    """Compute all aggregates of every account under contract, at one as-of.

    Parameters
    ----------
    grid, timeline, users
        The log aggregated by months, from :func:`features.panel.monthly.aggregate_monthly`; from
        :func:`features.subscription_timeline.build_timeline`; and from
        :func:`features.panel.user_activity.prepare_users`.
    as_of : datetime.datetime
        A grid line, 00:00 UTC; only rows known before it are used.
    seat_months : int
        Length of the seat window, in 30-day months.
    log_first_day : datetime.date, optional
        Where the grid holds a few accounts only, the first day of the whole log.

    Returns
    -------
    polars.DataFrame
        One row per account with a contract known before the as-of, ordered by account. Counts of
        an account without events are zero; values the contract does not state are null.
    """
    known_rows = known_before(timeline, as_of)
    days = known_before(grid.first_features, as_of).select(days_ago("day", as_of).alias("days"))
    log_days = int(days["days"].max() or 0)  # type: ignore[arg-type]
    if log_first_day is not None:
        log_days = max((as_of.date() - log_first_day).days, 0)
    activity = user_activity.user_activity_as_of(grid, users, as_of, seat_months=seat_months)
    parts = [
        _aggregate_seats(activity, seat_months),
        _aggregate_users(activity),
        _aggregate_features(grid, as_of),
        _aggregate_roles(grid, as_of),
        provisioning.count_provisioned_users(users, as_of),
        *(_aggregate_groups(activity, group) for group in _GROUP_COLUMNS),
        *(provisioning.days_since_new_group(users, as_of, group) for group in _GROUP_COLUMNS),
        feature_adoption.feature_adoption_as_of(grid, activity, as_of, advanced=advanced_features),
        seat_streaks.days_above_threshold(
            activity, known_rows, as_of, seat_months=seat_months, log_days=log_days
        ),
    ]
    aggregates = subscription_terms.subscription_terms_as_of(known_rows, as_of, _MONTHS)
    for part in parts:
        part_by_account = part.with_columns(pl.col("account_id").cast(pl.String))
        aggregates = aggregates.join(part_by_account, on="account_id", how="left", validate="1:1")
    counts = [name for part in parts for name in part.columns if not name.startswith("since_")]
    count_columns = pl.col([name for name in counts if name != "account_id"])
    return (
        aggregates.with_columns(
            count_columns.fill_null(0),
            log_days=pl.lit(log_days),
            seat_window_days=pl.lit(seat_months * MONTH_DAYS),
            as_of=pl.lit(as_of.date()),
        )
        # Polars counts are unsigned: a difference of -3 would wrap around.
        .with_columns(cs.unsigned_integer().cast(pl.Int64))
        .sort("account_id")
    )


def _months_before_as_of(rows: pl.DataFrame, grid: MonthlyGrid, as_of: datetime) -> pl.LazyFrame:
    """Count months back from the as-of instead of the anchor."""
    return (
        known_before(rows, as_of)
        .lazy()
        .with_columns(pl.col("month") - grid.months_before_anchor(as_of))
    )


def _aggregate_seats(users: pl.DataFrame, seat_months: int) -> pl.DataFrame:
    """Count active seats in trailing windows, and users active for the first time."""
    days_since_first, window = pl.col("since_first_seat"), seat_months * MONTH_DAYS
    now, before = was_active("seat", 0, seat_months), was_active("seat", 1, seat_months)
    return (
        users.lazy()
        .filter("paid", days_since_first.is_not_null())
        .group_by("account_id")
        .agg(
            **{
                f"active_seats_m{lag}": was_active("seat", lag, seat_months).sum()
                for lag in _MONTHS
            },
            **{f"new_users_{days}d": days_since_first.le(days).sum() for days in _NEW_USER_WINDOWS},
            new_users_previous_30d=days_since_first.is_between(31, 60).sum(),
            new_users_previous_60d=days_since_first.is_between(61, 120).sum(),
            new_users_previous_90d=days_since_first.is_between(91, 180).sum(),
            months_with_new_users_6m=(days_since_first.sub(1) // MONTH_DAYS)
            .filter(days_since_first <= 6 * MONTH_DAYS)
            .n_unique(),
            since_new_user_days=days_since_first.min(),
            retained_90d=(was_active("seat", 0, 3) & ~pl.col("gone")).sum(),
            # Users in the oldest third of the window leave it next.
            rolling_off=pl.col("since_last_seat").is_between(window * 2 // 3 + 1, window).sum(),
            lost_users=(before & ~now).sum(),
            returned_users=(now & ~before & days_since_first.gt(MONTH_DAYS)).sum(),
        )
        .collect()
    )


def _aggregate_users(users: pl.DataFrame) -> pl.DataFrame:
    """Aggregate users by any feature use: number, engagement and concentration."""
    events = pl.col("events_90d")
    return (
        users.lazy()
        .filter(pl.col("since_first_use").is_not_null())
        .group_by("account_id")
        .agg(
            **{f"active_users_m{back}": was_active("use", back, 1).sum() for back in _MONTHS},
            **{
                f"{column}_m{back}": pl.col(f"{source}_m{back}").sum()
                for source, column in _DETAIL_COLUMNS.items()
                for back in DETAIL_MONTHS
            },
            **{
                f"power_users_m{back}": pl.col(f"days_m{back}").ge(POWER_USER_DAYS).sum()
                for back in DETAIL_MONTHS
            },
            **{f"people_{back * 30}d": was_active("use", 0, back).sum() for back in (3, 6, 12)},
            champion_events_90d=events.max(),
            events_90d=events.sum(),
        )
        .collect()
    )


def _aggregate_features(grid: MonthlyGrid, as_of: datetime) -> pl.DataFrame:
    """Count features and integrations in use per month, and days since first use."""
    month, use = pl.col("month"), pl.col("role") == "use"
    recent = _months_before_as_of(grid.features, grid, as_of).filter(month < len(DETAIL_MONTHS))
    in_use = recent.group_by("account_id").agg(
        pl.col("feature")
        .filter(month == months_back, use == is_use)
        .n_unique()
        .alias(f"{name}_m{months_back}")
        for name, is_use in (("features", True), ("integrations", False))
        for months_back in DETAIL_MONTHS
    )
    # Of several rows the earliest day applies.
    first = known_before(grid.first_features, as_of).lazy()
    since = pl.col("since").filter(use)
    integration_since = pl.col("since").filter(pl.col("role") == "integration")
    ever = (
        first.group_by("account_id", "role", "feature")
        .agg(pl.col("day").min())
        .with_columns(since=days_ago("day", as_of))
        .group_by("account_id")
        .agg(
            features_ever=since.len(),
            features_new_60d=since.le(60).sum(),
            features_new_previous_60d=since.is_between(61, 120).sum(),
            features_new_180d=since.le(180).sum(),
            integrations_new_90d=integration_since.le(90).sum(),
            since_first_api_days=pl.col("since").filter(pl.col("role") == "api_call").max(),
        )
    )
    return ever.join(in_use, on="account_id", how="left").collect()


def _aggregate_roles(grid: MonthlyGrid, as_of: datetime) -> pl.DataFrame:
    """Sum volume by role: use, API calls, and the controls."""
    rows = _months_before_as_of(grid.roles, grid, as_of)
    role, month = pl.col("role"), pl.col("month")

    def count(name: str, months: Iterable[int], column: str = "count") -> pl.Expr:
        return pl.col(column).filter(role == name, month.is_in(list(months))).sum()

    def quantity(name: str, months: Iterable[int]) -> pl.Expr:
        return count(name, months, "quantity_milli") * 0.001

    return (
        rows.group_by("account_id")
        .agg(
            **{f"events_m{back}": count("use", [back]) for back in _MONTHS},
            **{f"api_calls_m{back}": quantity("api_call", [back]) for back in _MONTHS},
            since_event_months=month.min(),
            logins_m0=count("login", [0]),
            logins_m1=count("login", [1]),
            tickets_90d=count("support_ticket", range(3)),
            tickets_previous_90d=count("support_ticket", range(3, 6)),
            nps_answers_180d=count("nps", range(6)),
            nps_sum_180d=quantity("nps", range(6)),
        )
        .collect()
    )


def _aggregate_groups(users: pl.DataFrame, group: str) -> pl.DataFrame:
    """Count departments or e-mail domains active now, and those new in the last 90 days."""
    user_groups = users.lazy().filter(
        pl.col(group).is_not_null(), pl.col("since_first_use").is_not_null()
    )
    groups = user_groups.group_by("account_id", group).agg(
        now=pl.col("events_90d").gt(0).any(), since=pl.col("since_first_use").max()
    )
    return (
        groups.group_by("account_id")
        .agg(
            pl.col("now").sum().alias(f"{group}s_90d"),
            pl.col("since").le(90).sum().alias(f"{group}s_new_90d"),
        )
        .collect()
    )
