"""Search space of the model's hyper-parameters, and the distance between two settings."""

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
    "clip_settings",
    "compute_distance",
    "select_horizons",
]

Values = Mapping[str, float | int]


@dataclass(frozen=True)
class SearchRange:
    """Bounds of a hyper-parameter, on a logarithmic scale unless it is a share."""

    low: float
    high: float
    is_integer: bool = False
    log_scale: bool = True

    def normalize(self, value: float) -> float:
        """Return the position of a value between the bounds, in [0, 1]."""
        low, high, clipped = self.low, self.high, min(max(value, self.low), self.high)
        if self.log_scale:
            low, high, clipped = log(low), log(high), log(clipped)
        return (clipped - low) / (high - low)


# Suits a few hundred accounts with a few per cent of expansions.
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


def clip_settings(settings: ModelConfig) -> dict[str, float | int]:
    """Clip a model's settings to the search space."""
    return {
        name: type(getattr(settings, name))(min(max(getattr(settings, name), r.low), r.high))
        for name, r in RANGES.items()
    }


def apply_values(settings: ModelConfig, values: Values) -> ModelConfig:
    """Return the settings with the values of a trial."""
    return ModelConfig(**{**settings.model_dump(), **values})


def select_horizons(settings: ModelConfig) -> tuple[int, ...]:
    """Return the horizons of the settings, or the defaults where there is only one."""
    horizons = settings.horizons_days
    return horizons if len(horizons) > 1 else ModelConfig().horizons_days


def compute_distance(one: Values, other: Values) -> float:
    """Compute the distance between two settings, with each range scaled to 1.

    Examples
    --------
    >>> default = clip_settings(ModelConfig())
    >>> compute_distance(default, default)
    0.0
    >>> round(compute_distance(default, {**default, "feature_fraction": 0.9}), 3)
    0.5
    """
    differences = [r.normalize(one[name]) - r.normalize(other[name]) for name, r in RANGES.items()]
    return float(np.linalg.norm(differences))
