"""Every feature, one module per family, in reading order; and the sentence of each signal."""

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
from features.feature import Feature, Signal

__all__ = ["FEATURES", "NAMES", "SIGNALS", "by_name"]

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
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
SIGNALS: dict[str, Signal] = {
    key: signal for module in _MODULES for key, signal in module.SIGNALS.items()
}
by_name: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
