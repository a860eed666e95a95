"""Peers: percentile ranks among accounts of the same plan and size at the same as-of."""

from functools import partial
from typing import Final

import polars as pl

from features import peer_percentiles
from features.catalogue import adoption, contract, engagement, seats, usage
from features.catalogue.feature import Feature

_feature = partial(Feature, family="peers")
_RANKED_NAMES: Final = {
    "seat_utilization",
    "new_users_per_seat_90d",
    "active_users_growth_90d",
    "features_30d",
    "usage_ratio",
    "mrr_per_seat",
}
_RANKED: Final = tuple(
    feature
    for family in (seats, adoption, engagement, usage, contract)
    for feature in family.FEATURES
    if feature.name in _RANKED_NAMES
)

RANKED_FEATURES: Final = tuple(feature.name for feature in _RANKED)
CEILING_FEATURES: Final = ("features_ever",)
_FEATURE_CEILING: Final = peer_percentiles.plan_ceiling("features_ever")

FEATURES = (
    *(
        _feature(
            f"{feature.name}_among_peers",
            "share of peers below",
            peer_percentiles.percentile_rank(feature.name),
            f"{feature.name}_among_peers",
            feature.window_days,
            seat_window=feature.seat_window,
            requires=feature.requires,
        )
        for feature in _RANKED
    ),
    _feature(
        "plan_features_used_share",
        "share of the features that accounts of its plan use at most",
        pl.col("features_ever") / _FEATURE_CEILING,
        "plan_features",
        requires="plan",
        direction=1,
    ),
    _feature(
        "plan_features_left",
        "features that accounts of its plan use and it does not",
        _FEATURE_CEILING - pl.col("features_ever"),
        "plan_features",
        requires="plan",
        direction=-1,
    ),
)
