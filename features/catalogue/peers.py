"""Peers: how an account stands among those of the same plan and size, as of the same day."""

from typing import Final

from features import peers
from features.catalogue import adoption, contract, depth, seats, usage
from features.feature import Feature, Signal

_TOLD: Final = {
    "seat_utilization": "more of its seats in use than at",
    "new_users_per_seat_90d": "more new users for its seats than at",
    "active_users_growth_90d": "active users grow faster than at",
    "features_30d": "more features in use than at",
    "usage_ratio": "more of its usage limit used than at",
    "mrr_per_seat": "more paid for a seat than at",
}
_RANKED: Final = tuple(
    feature
    for feature in (
        *seats.FEATURES,
        *adoption.FEATURES,
        *depth.FEATURES,
        *usage.FEATURES,
        *contract.FEATURES,
    )
    if feature.name in _TOLD
)

OF: Final = tuple(feature.name for feature in _RANKED)

SIGNALS = {
    f"{name}_among_peers": Signal(
        f"{told} {{{{ percent({name}_among_peers) }}}} of the accounts of its plan and size",
        facts=(f"{name}_among_peers",),
    )
    for name, told in _TOLD.items()
}

FEATURES = tuple(
    Feature(
        name=f"{feature.name}_among_peers",
        family="peers",
        unit="share of peers below",
        value=peers.position(feature.name),
        signal=f"{feature.name}_among_peers",
        window_days=feature.window_days,
        seat_window=feature.seat_window,
        needs=feature.needs,
    )
    for feature in _RANKED
)
