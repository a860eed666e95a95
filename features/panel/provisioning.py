"""Provisioned logins by the dates in the users table: known before any use."""

from datetime import datetime
from typing import Final

import polars as pl

from features.panel.user_activity import days_ago
from features.point_in_time import known_before

__all__ = ["count_provisioned_users", "days_since_new_group"]

_LOOKBACK_DAYS: Final = (30, 60, 90, 180)  # days


def count_provisioned_users(users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Count the users with a login, now and some days ago.

    ``users`` are those of :func:`features.panel.user_activity.prepare_users`.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``provisioned`` and ``provisioned_Nd_ago``, users, of each account where
        anyone ever had a login.
    """
    created, deactivated = days_ago("created_at", as_of), days_ago("deactivated_at", as_of)

    def count_with_login(days: int) -> pl.Expr:
        return (created.gt(days) & ~deactivated.gt(days).fill_null(value=False)).sum()

    return (
        _select_provisioned(users, as_of)
        .group_by("account_id")
        .agg(
            provisioned=count_with_login(0),
            **{f"provisioned_{days}d_ago": count_with_login(days) for days in _LOOKBACK_DAYS},
        )
    )


def days_since_new_group(users: pl.DataFrame, as_of: datetime, group: str) -> pl.DataFrame:
    """Return the days since a further department or e-mail domain got its first login.

    Its users may not have used the product yet, so that events show it later. ``users`` are those
    of :func:`features.panel.user_activity.prepare_users`; the group is ``department`` or
    ``email_domain``.

    Returns
    -------
    polars.DataFrame
        ``account_id`` and ``since_new_GROUP_days`` of each account with more than one group; the
        first group does not count as new.
    """
    first = (
        _select_provisioned(users, as_of)
        .filter(pl.col(group).is_not_null())
        .group_by("account_id", group)
        .agg(pl.col("created_at").min())
    )
    return (
        first.group_by("account_id")
        .agg(pl.len().alias("groups"), since=days_ago("created_at", as_of).min())
        .filter(pl.col("groups") > 1)
        .select("account_id", pl.col("since").alias(f"since_new_{group}_days"))
    )


def _select_provisioned(users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return users with a login, as known at the as-of, with its dates as days."""
    return (
        known_before(users, as_of)
        .filter(pl.col("created_at") < as_of)
        .with_columns(pl.col("created_at", "deactivated_at").dt.date())
    )
