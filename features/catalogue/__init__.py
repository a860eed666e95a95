"""Every feature, one module per family, in reading order; and the stories they are told as."""

from features.catalogue import (
    adoption,
    calendar,
    contract,
    controls,
    depth,
    integrations,
    lateral,
    peers,
    seats,
    usage,
)
from features.catalogue.stories import GROUP_BY_SIGNAL, REASON_GROUPS, ReasonGroup
from features.feature import Feature

__all__ = [
    "FEATURES",
    "FEATURES_BY_NAME",
    "FEATURE_NAMES",
    "GROUP_BY_SIGNAL",
    "REASON_GROUPS",
    "ReasonGroup",
]

_MODULES = (
    seats,
    adoption,
    depth,
    usage,
    integrations,
    lateral,
    contract,
    calendar,
    peers,
    controls,
)

FEATURES: tuple[Feature, ...] = tuple(f for module in _MODULES for f in module.FEATURES)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
FEATURES_BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
