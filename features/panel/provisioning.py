"""Who was given a login, and when, by the dates in the users table: known before any use."""

from datetime import datetime
from typing import Final

import polars as pl

from features.panel.monthly import known_before
from features.panel.user_activity import days_ago

__all__ = ["count_provisioned_users", "days_since_new_group"]

_LOOKBACK_DAYS: Final = (30, 60, 90, 180)  # days


def count_provisioned_users(users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Count the people with a login, now and some days ago.

    Parameters
    ----------
    users : polars.DataFrame
        Rows under :class:`data.schemas.UserSchema` with the moment each was ``known``.
    as_of : datetime.datetime
        00:00 UTC; only what was known before it is seen.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``provisioned`` and ``provisioned_Nd_ago``, people, of each account where
        anybody ever had a login.
    """
    given, taken = days_ago("created_at", as_of), days_ago("deactivated_at", as_of)

    def there(days: int) -> pl.Expr:
        return (given.gt(days) & ~taken.gt(days).fill_null(value=False)).sum()

    return (
        _select_provisioned(users, as_of)
        .group_by("account_id")
        .agg(
            provisioned=there(0),
            **{f"provisioned_{days}d_ago": there(days) for days in _LOOKBACK_DAYS},
        )
    )


def days_since_new_group(users: pl.DataFrame, as_of: datetime, group: str) -> pl.DataFrame:
    """Tell how long ago a further department or e-mail domain got its first login.

    Its people may not have used the product yet, so that use tells it later.

    Parameters
    ----------
    users : polars.DataFrame
        Rows under :class:`data.schemas.UserSchema` with the moment each was ``known``; attributes
        only where declared stable.
    as_of : datetime.datetime
        00:00 UTC; only what was known before it is seen.
    group : str
        ``department`` or ``email_domain``.

    Returns
    -------
    polars.DataFrame
        ``account_id`` and ``since_new_GROUP_days`` of each account with more than one: a first
        one is no further one.
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
    """People who had been given a login, as far as that was known, with the days of it."""
    return (
        known_before(users, as_of)
        .filter(pl.col("created_at") < as_of)
        .with_columns(pl.col("created_at", "deactivated_at").dt.date())
    )
