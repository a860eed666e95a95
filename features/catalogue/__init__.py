"""Feature catalogue: every feature, one module per family, and the reason groups."""

from features.catalogue import (
    adoption,
    calendar,
    contract,
    controls,
    cross_department,
    engagement,
    integrations,
    peers,
    seats,
    usage,
)
from features.catalogue.feature import Feature
from features.catalogue.reason_groups import GROUP_BY_SIGNAL, REASON_GROUPS, ReasonGroup

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
    engagement,
    usage,
    integrations,
    cross_department,
    contract,
    calendar,
    peers,
    controls,
)

FEATURES: tuple[Feature, ...] = tuple(f for module in _MODULES for f in module.FEATURES)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
FEATURES_BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
