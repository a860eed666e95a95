"""Which settings of the model a search may change, and how far apart two choices are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from data.settings import Model

__all__ = ["RANGES", "Range", "Values", "applied", "distance", "horizons", "nearest"]

Values = Mapping[str, float | int]


@dataclass(frozen=True)
class Range:
    """Least and most of a setting; on a scale of ratios unless it is a share."""

    low: float
    high: float
    whole: bool = False
    ratios: bool = True

    def place(self, value: float) -> float:
        """Where a value stands between least and most, in [0, 1]."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.ratios:
            low, high, here = log(low), log(high), log(here)
        return (here - low) / (high - low)


# Around what a few hundred accounts with a few per cent of expansions can bear.
RANGES: Final[Mapping[str, Range]] = {
    "rounds": Range(50, 600, whole=True),
    "learning_rate": Range(0.01, 0.15),
    "leaves": Range(3, 32, whole=True),
    "min_leaf_rows": Range(20, 500, whole=True),
    "feature_fraction": Range(0.2, 1.0, ratios=False),
    "bagging_fraction": Range(0.4, 1.0, ratios=False),
    "l2": Range(0.1, 1000.0),
    "ridge": Range(3.0, 3000.0),
    "linear_accounts": Range(3.0, 3000.0),
}


def nearest(settings: Model) -> dict[str, float | int]:
    """Give the values of the space that come nearest to a model's settings."""
    return {
        name: type(getattr(settings, name))(min(max(getattr(settings, name), r.low), r.high))
        for name, r in RANGES.items()
    }


def applied(settings: Model, values: Values) -> Model:
    """Return the settings with the values of a trial in their place."""
    return Model(**{**settings.model_dump(), **values})


def horizons(settings: Model) -> tuple[int, ...]:
    """Give the horizons of the curve: those of the settings, or where they are plain the usual."""
    own = settings.horizons_days
    return own if len(own) > 1 else Model().horizons_days


def distance(one: Values, other: Values) -> float:
    """Say how far apart two choices are, each setting's whole range counting 1.

    Examples
    --------
    >>> usual = nearest(Model())
    >>> distance(usual, usual)
    0.0
    >>> round(distance(usual, {**usual, "feature_fraction": 0.9}), 3)
    0.5
    """
    steps = [r.place(one[name]) - r.place(other[name]) for name, r in RANGES.items()]
    return float(np.linalg.norm(steps))
