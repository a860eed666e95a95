"""How features spread among the people of an account: who came to what, and when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import polars as pl

from features.panel.monthly import MonthlyGrid, known_before
from features.panel.user_activity import days_ago

__all__ = ["feature_adoption_as_of", "rarely_used_features"]

_WINDOW_DAYS, _TWO_WINDOWS_DAYS = 60, 120
_USER_KEYS: Final = ["account_id", "user_id"]


def feature_adoption_as_of(
    grid: MonthlyGrid,
    users: pl.DataFrame,
    as_of: datetime,
    *,
    advanced: Sequence[str],
    rare_share: float,
) -> pl.DataFrame:
    """Count first uses by established and by recent people, and what left the champion's hands.

    Established in a window is who had used the product before it began; recent, who came in it.

    Parameters
    ----------
    grid : features.panel.monthly.MonthlyGrid
        The folded log of the as-of's anchor.
    users : polars.DataFrame
        :func:`features.panel.user_activity.user_activity_as_of`.
    as_of : datetime.datetime
        A grid line, 00:00 UTC.
    advanced : sequence of str
        Advanced features; where empty, those that at most a share of the accounts had used.
    rare_share : float
        That share.

    Returns
    -------
    polars.DataFrame
        One row per account with a person who used a feature.
    """
    first = _days_since_first_use(grid, as_of)
    recent = first.filter(pl.col("since") <= _TWO_WINDOWS_DAYS).join(
        users.lazy().select(*_USER_KEYS, "since_first_use"), on=_USER_KEYS
    )
    feature = _adoption_by_feature(first, users).collect()
    uncommon = list(advanced) or rarely_used_features(feature, rare_share)
    parts = [
        recent.group_by("account_id").agg(_count_first_uses()),
        feature.lazy().group_by("account_id").agg(_count_spread()),
        _count_advanced(first, uncommon),
    ]
    wide = parts[1]
    for part in (parts[0], parts[2]):
        wide = wide.join(part, on="account_id", how="left")
    return wide.collect()


def _days_since_first_use(grid: MonthlyGrid, as_of: datetime) -> pl.LazyFrame:
    """Each person's first use of each feature, in days ago."""
    rows = known_before(grid.first_uses, as_of).lazy()
    key, several = [*_USER_KEYS, "feature"], pl.col("several")
    once = rows.filter(~several).select(*key, "day")
    earliest = rows.filter(several).group_by(key).agg(pl.col("day").min())
    return pl.concat([once, earliest]).select(*key, since=days_ago("day", as_of))


def _count_first_uses() -> list[pl.Expr]:
    """First uses in the last window and in the one before, by who had come before it."""
    since, came = pl.col("since"), pl.col("since_first_use")
    now, before = since <= _WINDOW_DAYS, since > _WINDOW_DAYS
    newcomers = now & (came <= _WINDOW_DAYS)
    return [
        (now & (came > _WINDOW_DAYS)).sum().alias("first_uses_established"),
        (before & (came > _TWO_WINDOWS_DAYS)).sum().alias("first_uses_established_previous"),
        newcomers.sum().alias("first_uses_recent"),
        before.and_(came <= _TWO_WINDOWS_DAYS).sum().alias("first_uses_recent_previous"),
        pl.col("feature").filter(newcomers).n_unique().alias("features_of_recent"),
    ]


def _adoption_by_feature(first: pl.LazyFrame, users: pl.DataFrame) -> pl.LazyFrame:
    """When the champion and when others came to each feature of an account, in days ago."""
    champions = _find_champions(users).collect()
    # A champion may be nobody's champion in another account: few rows, looked at one by one.
    named = pl.col("user_id").is_in(champions["user_id"].implode())
    key, since = ["account_id", "feature"], pl.col("since")
    candidates = first.filter(named)
    by_champion = candidates.join(champions.lazy(), on=_USER_KEYS, how="semi").group_by(key)
    others = pl.concat(
        [first.filter(~named), candidates.join(champions.lazy(), on=_USER_KEYS, how="anti")]
    )
    return (
        others.group_by(key)
        .agg(others=since.max())
        .join(by_champion.agg(champion=since.max()), on=key, how="full", coalesce=True)
    )


def _find_champions(users: pl.DataFrame) -> pl.LazyFrame:
    """The person with most feature uses in 90 days; of several, the first by name."""
    events = pl.col("events_90d")
    return (
        users.lazy()
        .filter(events > 0, events == events.max().over("account_id"))
        .with_columns(pl.col("user_id").cast(pl.String))
        .group_by("account_id")
        .agg(pl.col("user_id").min().cast(pl.Categorical))
    )


def _count_spread() -> list[pl.Expr]:
    others, champion = pl.col("others"), pl.col("champion")
    followed = (others < champion).fill_null(value=False)
    return [
        pl.len().alias("features_of_people"),
        others.is_not_null().sum().alias("features_beyond_champion"),
        (followed & (others <= _WINDOW_DAYS)).sum().alias("features_spread"),
        (followed & others.is_between(_WINDOW_DAYS + 1, _TWO_WINDOWS_DAYS))
        .sum()
        .alias("features_spread_previous"),
    ]


def rarely_used_features(feature: pl.DataFrame, share: float) -> list[str]:
    """Features that at most so large a share of the accounts with any had used.

    Parameters
    ----------
    feature : polars.DataFrame
        One row per ``account_id`` and ``feature`` that anybody there had used.
    share : float
        In [0, 1].
    """
    accounts = feature["account_id"].n_unique()
    return (
        feature.group_by("feature")
        .len()
        .filter(pl.col("len") <= share * accounts)["feature"]
        .cast(pl.String)
        .to_list()
    )


def _count_advanced(first: pl.LazyFrame, advanced: Sequence[str]) -> pl.LazyFrame:
    """Advanced features in hand, and people who came to one for the first time."""
    rows = first.filter(pl.col("feature").is_in(list(advanced)))
    people = rows.group_by(_USER_KEYS).agg(pl.col("since").max())
    features = rows.group_by("account_id", "feature").agg(pl.col("since").max())
    since = pl.col("since")
    return (
        features.group_by("account_id")
        .agg(
            pl.len().alias("advanced_features"),
            since.le(_WINDOW_DAYS).sum().alias("advanced_features_new"),
        )
        .join(
            people.group_by("account_id").agg(
                since.le(_WINDOW_DAYS).sum().alias("advanced_people_new"),
                pl.len().alias("advanced_people"),
            ),
            on="account_id",
        )
    )
