"""Feature adoption among an account's users: first uses and spread beyond the champion user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import polars as pl

from features.panel.monthly import MonthlyGrid
from features.panel.user_activity import days_ago
from features.point_in_time import known_before

__all__ = ["ADVANCED_MAX_SHARE", "feature_adoption_as_of", "find_rarely_used_features"]

# A rarely used feature is used by at most this share of the accounts.
ADVANCED_MAX_SHARE: Final = 0.25
_WINDOW_DAYS, _TWO_WINDOWS_DAYS = 60, 120
_USER_KEYS: Final = ["account_id", "user_id"]


def feature_adoption_as_of(
    grid: MonthlyGrid,
    users: pl.DataFrame,
    as_of: datetime,
    *,
    advanced: Sequence[str],
) -> pl.DataFrame:
    """Count first uses by established and recent users, and features beyond the champion user.

    A user is established in a window if they used the product before it, and recent otherwise.
    Without ``advanced`` features, those are advanced that at most ``ADVANCED_MAX_SHARE`` of the
    accounts use. ``users`` come from :func:`features.panel.user_activity.user_activity_as_of`.

    Returns
    -------
    polars.DataFrame
        One row per account with a user who used a feature.
    """
    first = _days_since_first_use(grid, as_of)
    recent = first.filter(pl.col("since") <= _TWO_WINDOWS_DAYS).join(
        users.lazy().select(*_USER_KEYS, "since_first_use"), on=_USER_KEYS
    )
    feature = _aggregate_adoption_by_feature(first, users).collect()
    advanced_features = list(advanced) or find_rarely_used_features(feature)
    spread = feature.lazy().group_by("account_id").agg(**_count_spread())
    first_uses = recent.group_by("account_id").agg(**_count_first_uses())
    return (
        spread.join(first_uses, on="account_id", how="left")
        .join(_count_advanced(first, advanced_features), on="account_id", how="left")
        .collect()
    )


def _days_since_first_use(grid: MonthlyGrid, as_of: datetime) -> pl.LazyFrame:
    """Return the days since each user's first use of each feature."""
    rows = known_before(grid.first_uses, as_of).lazy()
    key, several = [*_USER_KEYS, "feature"], pl.col("several")
    single_rows = rows.filter(~several).select(*key, "day")
    earliest = rows.filter(several).group_by(key).agg(pl.col("day").min())
    return pl.concat([single_rows, earliest]).select(*key, since=days_ago("day", as_of))


def _count_first_uses() -> dict[str, pl.Expr]:
    """Count first uses in the last window and the one before, by established and recent users."""
    since, since_first_use = pl.col("since"), pl.col("since_first_use")
    is_recent, is_previous = since <= _WINDOW_DAYS, since > _WINDOW_DAYS
    by_recent_user = is_recent & (since_first_use <= _WINDOW_DAYS)
    by_previous_user = is_previous & (since_first_use <= _TWO_WINDOWS_DAYS)
    return {
        "first_uses_established": (is_recent & (since_first_use > _WINDOW_DAYS)).sum(),
        "first_uses_established_previous": (
            is_previous & (since_first_use > _TWO_WINDOWS_DAYS)
        ).sum(),
        "first_uses_recent": by_recent_user.sum(),
        "first_uses_recent_previous": by_previous_user.sum(),
        "features_of_recent": pl.col("feature").filter(by_recent_user).n_unique(),
    }


def _aggregate_adoption_by_feature(first: pl.LazyFrame, users: pl.DataFrame) -> pl.LazyFrame:
    """Return the days since the champion user and other users first used each feature."""
    champion_users = _find_champion_users(users).collect()
    # A champion user's id may also occur in another account, as another user's.
    is_champion_id = pl.col("user_id").is_in(champion_users["user_id"].implode())
    key, since = ["account_id", "feature"], pl.col("since")
    champion_candidates = first.filter(is_champion_id)
    by_champion = champion_candidates.join(
        champion_users.lazy(), on=_USER_KEYS, how="semi"
    ).group_by(key)
    other_uses = pl.concat(
        [
            first.filter(~is_champion_id),
            champion_candidates.join(champion_users.lazy(), on=_USER_KEYS, how="anti"),
        ]
    )
    return (
        other_uses.group_by(key)
        .agg(others=since.max())
        .join(by_champion.agg(champion=since.max()), on=key, how="full", coalesce=True)
    )


def _find_champion_users(users: pl.DataFrame) -> pl.LazyFrame:
    """Return the user with most feature uses in 90 days; ties go to the first by name."""
    events = pl.col("events_90d")
    return (
        users.lazy()
        .filter(events > 0, events == events.max().over("account_id"))
        .with_columns(pl.col("user_id").cast(pl.String))
        .group_by("account_id")
        .agg(pl.col("user_id").min().cast(pl.Categorical))
    )


def _count_spread() -> dict[str, pl.Expr]:
    others, champion = pl.col("others"), pl.col("champion")
    after_champion = (others < champion).fill_null(value=False)
    in_previous_window = others.is_between(_WINDOW_DAYS + 1, _TWO_WINDOWS_DAYS)
    return {
        "features_of_people": pl.len(),
        "features_beyond_champion": others.is_not_null().sum(),
        "features_spread": (after_champion & (others <= _WINDOW_DAYS)).sum(),
        "features_spread_previous": (after_champion & in_previous_window).sum(),
    }


def find_rarely_used_features(feature: pl.DataFrame) -> list[str]:
    """Return features used by at most ``ADVANCED_MAX_SHARE`` of the accounts with feature use.

    ``feature`` has one row per ``account_id`` and ``feature`` that any of its users used.
    """
    accounts = feature["account_id"].n_unique()
    return (
        feature.group_by("feature")
        .len()
        .filter(pl.col("len") <= ADVANCED_MAX_SHARE * accounts)["feature"]
        .cast(pl.String)
        .to_list()
    )


def _count_advanced(first: pl.LazyFrame, advanced: Sequence[str]) -> pl.LazyFrame:
    """Count advanced features in use, and users who used one for the first time."""
    rows = first.filter(pl.col("feature").is_in(list(advanced)))
    users = rows.group_by(_USER_KEYS).agg(pl.col("since").max())
    features = rows.group_by("account_id", "feature").agg(pl.col("since").max())
    since = pl.col("since")
    return (
        features.group_by("account_id")
        .agg(
            pl.len().alias("advanced_features"),
            since.le(_WINDOW_DAYS).sum().alias("advanced_features_new"),
        )
        .join(
            users.group_by("account_id").agg(
                since.le(_WINDOW_DAYS).sum().alias("advanced_people_new"),
                pl.len().alias("advanced_people"),
            ),
            on="account_id",
        )
    )
