"""Which settings of the model a search may change, and how far apart two choices are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from data.config.settings import ModelConfig

__all__ = [
    "RANGES",
    "SearchRange",
    "Values",
    "apply_values",
    "compute_distance",
    "encode_settings",
    "select_horizons",
]

Values = Mapping[str, float | int]


@dataclass(frozen=True)
class SearchRange:
    """Least and most of a setting; on a scale of ratios unless it is a share."""

    low: float
    high: float
    is_integer: bool = False
    log_scale: bool = True

    def normalize(self, value: float) -> float:
        """Where a value stands between least and most, in [0, 1]."""
        low, high, clipped = self.low, self.high, min(max(value, self.low), self.high)
        if self.log_scale:
            low, high, clipped = log(low), log(high), log(clipped)
        return (clipped - low) / (high - low)


# Around what a few hundred accounts with a few per cent of expansions can bear.
RANGES: Final[Mapping[str, SearchRange]] = {
    "n_estimators": SearchRange(50, 600, is_integer=True),
    "learning_rate": SearchRange(0.01, 0.15),
    "num_leaves": SearchRange(3, 32, is_integer=True),
    "min_child_samples": SearchRange(20, 500, is_integer=True),
    "feature_fraction": SearchRange(0.2, 1.0, log_scale=False),
    "bagging_fraction": SearchRange(0.4, 1.0, log_scale=False),
    "reg_lambda": SearchRange(0.1, 1000.0),
    "ridge_penalty": SearchRange(3.0, 3000.0),
    "blend_prior_accounts": SearchRange(3.0, 3000.0),
}


def encode_settings(settings: ModelConfig) -> dict[str, float | int]:
    """Give the values of the space that come nearest to a model's settings."""
    return {
        name: type(getattr(settings, name))(min(max(getattr(settings, name), r.low), r.high))
        for name, r in RANGES.items()
    }


def apply_values(settings: ModelConfig, values: Values) -> ModelConfig:
    """Return the settings with the values of a trial in their place."""
    return ModelConfig(**{**settings.model_dump(), **values})


def select_horizons(settings: ModelConfig) -> tuple[int, ...]:
    """Give the horizons of the curve: those of the settings, or where they are plain the usual."""
    own = settings.horizons_days
    return own if len(own) > 1 else ModelConfig().horizons_days


def compute_distance(one: Values, other: Values) -> float:
    """Say how far apart two choices are, each setting's whole range counting 1.

    Examples
    --------
    >>> usual = encode_settings(Model())
    >>> compute_distance(usual, usual)
    0.0
    >>> round(compute_distance(usual, {**usual, "feature_fraction": 0.9}), 3)
    0.5
    """
    differences = [r.normalize(one[name]) - r.normalize(other[name]) for name, r in RANGES.items()]
    return float(np.linalg.norm(differences))
