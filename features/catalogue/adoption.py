"""Adoption: a rising rate of first feature uses precedes expansion."""

from dataclasses import replace

import polars as pl

from features.catalogue.feature import Feature


def _count_feature(
    name: str, value: pl.Expr, signal_group: str, window_days: int, direction: int = 0
) -> Feature:
    return Feature(
        name=name,
        family="adoption",
        unit="features",
        value=value,
        signal_group=signal_group,
        window_days=window_days,
        fill_value=0,
        direction=1 if direction else 0,
    )


def _user_count_feature(name: str, value: pl.Expr, window_days: int, direction: int = 0) -> Feature:
    return replace(_count_feature(name, value, "advanced", window_days, direction), unit="people")


def _first_uses_feature(
    user_group: str, window_days: int, signal_group: str, direction: int = 0
) -> Feature:
    """Return first uses by users and features: in the last 60 days, or in the 60 before."""
    previous = "_previous" if window_days > 60 else ""
    feature = _count_feature(
        f"first_uses_{user_group}{previous}_60d",
        pl.col(f"first_uses_{user_group}{previous}"),
        signal_group,
        window_days,
        direction,
    )
    return replace(feature, unit="first uses of a feature by a person")


def _first_uses_change(user_group: str, signal_group: str) -> Feature:
    change = pl.col(f"first_uses_{user_group}") - pl.col(f"first_uses_{user_group}_previous")
    feature = _count_feature(
        f"first_uses_{user_group}_change_60d", change, signal_group, 120, direction=1
    )
    return replace(feature, unit="first uses of a feature by a person")


_NEW_FEATURES = pl.col("features_new_60d").cast(pl.Int64)

FEATURES = (
    _count_feature("features_30d", pl.col("features_m0"), "features_in_use", 30),
    _count_feature("features_90d_ago", pl.col("features_m3"), "features_in_use", 120),
    _count_feature("features_ever", pl.col("features_ever"), "features_in_use", 0),
    _count_feature("features_new_60d", pl.col("features_new_60d"), "adoption", 60, direction=1),
    _count_feature(
        "features_new_previous_60d", pl.col("features_new_previous_60d"), "adoption", 120
    ),
    _count_feature("features_new_180d", pl.col("features_new_180d"), "adoption", 180, direction=1),
    _count_feature(
        "adoption_acceleration_60d",
        _NEW_FEATURES - pl.col("features_new_previous_60d"),
        "adoption",
        120,
        direction=1,
    ),
    Feature(
        name="features_new_share_60d",
        family="adoption",
        unit="share of the features ever used",
        value=pl.when(pl.col("features_ever") > 0).then(_NEW_FEATURES / pl.col("features_ever")),
        signal_group="adoption",
        window_days=60,
    ),
    _first_uses_feature("established", 60, "first_uses", direction=1),
    _first_uses_feature("established", 120, "first_uses"),
    _first_uses_change("established", "first_uses"),
    _first_uses_feature("recent", 60, "recent_people", direction=1),
    _first_uses_feature("recent", 120, "recent_people"),
    _first_uses_change("recent", "recent_people"),
    _count_feature(
        "features_of_recent_users_60d",
        pl.col("features_of_recent"),
        "recent_people",
        60,
        direction=1,
    ),
    _count_feature("features_spread_60d", pl.col("features_spread"), "spread", 60, direction=1),
    _count_feature(
        "features_spread_previous_60d", pl.col("features_spread_previous"), "spread", 120
    ),
    Feature(
        name="features_beyond_champion_share",
        family="adoption",
        unit="share of the features that people used",
        value=pl.when(pl.col("features_of_people") > 0).then(
            pl.col("features_beyond_champion") / pl.col("features_of_people")
        ),
        signal_group="spread",
        window_days=90,
    ),
    _count_feature("advanced_features_ever", pl.col("advanced_features"), "advanced", 0),
    _count_feature(
        "advanced_features_new_60d", pl.col("advanced_features_new"), "advanced", 60, direction=1
    ),
    _user_count_feature("advanced_users_ever", pl.col("advanced_people"), 0),
    _user_count_feature("advanced_users_new_60d", pl.col("advanced_people_new"), 60, direction=1),
    Feature(
        name="champion_share_90d",
        family="adoption",
        unit="share of feature use",
        value=pl.when(pl.col("events_90d") > 0).then(
            pl.col("champion_events_90d") / pl.col("events_90d")
        ),
        signal_group="champion",
        window_days=90,
    ),
)
