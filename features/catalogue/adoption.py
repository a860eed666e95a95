"""Adoption: a rising rate of first feature uses precedes expansion."""

from functools import partial

import polars as pl

from features.catalogue.feature import Feature

_feature = partial(Feature, family="adoption", fill_value=0)
_NEW, _NEW_BEFORE = pl.col("features_new_60d"), pl.col("features_new_previous_60d")


_ESTABLISHED, _RECENT = pl.col("first_uses_established"), pl.col("first_uses_recent")
_ESTABLISHED_BEFORE = pl.col("first_uses_established_previous")
_RECENT_BEFORE = pl.col("first_uses_recent_previous")
_first_uses = partial(_feature, unit="first uses of a feature by a person")
_of_established = partial(_first_uses, signal_group="first_uses")
_of_recent = partial(_first_uses, signal_group="recent_people")


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


FEATURES = (
    _feature("features_30d", "features", pl.col("features_m0"), "features_in_use", 30),
    _feature("features_90d_ago", "features", pl.col("features_m3"), "features_in_use", 120),
    _feature("features_ever", "features", pl.col("features_ever"), "features_in_use"),
    _feature("features_new_60d", "features", _NEW, "adoption", 60, direction=1),
    _feature("features_new_previous_60d", "features", _NEW_BEFORE, "adoption", 120),
    _feature(
        "features_new_180d", "features", pl.col("features_new_180d"), "adoption", 180, direction=1
    ),
    _feature(
        "adoption_acceleration_60d",
        "features",
        _NEW.cast(pl.Int64) - _NEW_BEFORE,
        "adoption",
        120,
        direction=1,
    ),
    Feature(
        "features_new_share_60d",
        "share of the features ever used",
        pl.when(pl.col("features_ever") > 0).then(_NEW.cast(pl.Int64) / pl.col("features_ever")),
        "adoption",
        60,
        family="adoption",
    ),
    _of_established("first_uses_established_60d", value=_ESTABLISHED, window_days=60, direction=1),
    _of_established(
        "first_uses_established_previous_60d", value=_ESTABLISHED_BEFORE, window_days=120
    ),
    _of_established(
        "first_uses_established_change_60d",
        value=_ESTABLISHED - _ESTABLISHED_BEFORE,
        window_days=120,
        direction=1,
    ),
    _of_recent("first_uses_recent_60d", value=_RECENT, window_days=60, direction=1),
    _of_recent("first_uses_recent_previous_60d", value=_RECENT_BEFORE, window_days=120),
    _of_recent(
        "first_uses_recent_change_60d", value=_RECENT - _RECENT_BEFORE, window_days=120, direction=1
    ),
    _feature(
        "features_of_recent_users_60d",
        "features",
        pl.col("features_of_recent"),
        "recent_people",
        60,
        direction=1,
    ),
    _feature(
        "features_spread_60d", "features", pl.col("features_spread"), "spread", 60, direction=1
    ),
    _feature(
        "features_spread_previous_60d",
        "features",
        pl.col("features_spread_previous"),
        "spread",
        120,
    ),
    Feature(
        "features_beyond_champion_share",
        "share of the features that people used",
        _share("features_beyond_champion", "features_of_people"),
        "spread",
        90,
        family="adoption",
    ),
    _feature("advanced_features_ever", "features", pl.col("advanced_features"), "advanced"),
    _feature(
        "advanced_features_new_60d",
        "features",
        pl.col("advanced_features_new"),
        "advanced",
        60,
        direction=1,
    ),
    _feature("advanced_users_ever", "people", pl.col("advanced_people"), "advanced"),
    _feature(
        "advanced_users_new_60d",
        "people",
        pl.col("advanced_people_new"),
        "advanced",
        60,
        direction=1,
    ),
    Feature(
        "champion_share_90d",
        "share of feature use",
        _share("champion_events_90d", "events_90d"),
        "champion",
        90,
        family="adoption",
    ),
)
