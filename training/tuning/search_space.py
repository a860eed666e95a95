"""Search space of the model's hyper-parameters, and the distance between two settings."""

from collections.abc import Mapping
from math import log
from typing import Final

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

from data.config.settings import ModelConfig

__all__ = [
    "RANGES",
    "Values",
    "apply_values",
    "clip_settings",
    "compute_distance",
    "select_horizons",
]

Values = Mapping[str, float | int]


# On a logarithmic scale, except for shares. Suits a few hundred accounts with a few per cent of
# expansions.
RANGES: Final[Mapping[str, IntDistribution | FloatDistribution]] = {
    "n_estimators": IntDistribution(50, 600, log=True),
    "learning_rate": FloatDistribution(0.01, 0.15, log=True),
    "num_leaves": IntDistribution(3, 32, log=True),
    "min_child_samples": IntDistribution(20, 500, log=True),
    "feature_fraction": FloatDistribution(0.2, 1.0),
    "bagging_fraction": FloatDistribution(0.4, 1.0),
    "reg_lambda": FloatDistribution(0.1, 1000.0, log=True),
    "ridge_penalty": FloatDistribution(3.0, 3000.0, log=True),
    "blend_prior_accounts": FloatDistribution(3.0, 3000.0, log=True),
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
    differences = [_normalize(name, one[name]) - _normalize(name, other[name]) for name in RANGES]
    return float(np.linalg.norm(differences))


def _normalize(name: str, value: float) -> float:
    """Return the position of a value between the bounds of its range, in [0, 1]."""
    r = RANGES[name]
    low, high, clipped = r.low, r.high, min(max(value, r.low), r.high)
    if r.log:
        low, high, clipped = log(low), log(high), log(clipped)
    return (clipped - low) / (high - low)
