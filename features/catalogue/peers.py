"""Peers: percentile ranks among accounts of the same plan and size at the same as-of."""

from typing import Final

import polars as pl

from features import peer_percentiles
from features.catalogue import adoption, contract, engagement, seats, usage
from features.catalogue.feature import Feature

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
    for feature in (
        *seats.FEATURES,
        *adoption.FEATURES,
        *engagement.FEATURES,
        *usage.FEATURES,
        *contract.FEATURES,
    )
    if feature.name in _RANKED_NAMES
)

RANKED_FEATURES: Final = tuple(feature.name for feature in _RANKED)
CEILING_FEATURES: Final = ("features_ever",)
_FEATURE_CEILING: Final = peer_percentiles.plan_ceiling("features_ever")

_PERCENTILE_FEATURES = tuple(
    Feature(
        name=f"{feature.name}_among_peers",
        family="peers",
        unit="share of peers below",
        value=peer_percentiles.percentile_rank(feature.name),
        signal_group=f"{feature.name}_among_peers",
        window_days=feature.window_days,
        seat_window=feature.seat_window,
        requires=feature.requires,
    )
    for feature in _RANKED
)

FEATURES = (
    *_PERCENTILE_FEATURES,
    Feature(
        name="plan_features_used_share",
        family="peers",
        unit="share of the features that accounts of its plan use at most",
        value=pl.col("features_ever") / _FEATURE_CEILING,
        signal_group="plan_features",
        requires="plan",
        direction=1,
    ),
    Feature(
        name="plan_features_left",
        family="peers",
        unit="features that accounts of its plan use and it does not",
        value=_FEATURE_CEILING - pl.col("features_ever"),
        signal_group="plan_features",
        requires="plan",
        direction=-1,
    ),
)
