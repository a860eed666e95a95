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
from features.catalogue.stories import STORIES, STORY_OF, Story
from features.feature import Feature

__all__ = ["FEATURES", "NAMES", "STORIES", "STORY_OF", "Story", "by_name"]

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
by_name: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
