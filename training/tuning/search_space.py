"""Search space of the model's hyper-parameters, and selection by the one-standard-error rule."""

from collections.abc import Mapping, Sequence
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution, IntDistribution

from data.config.settings import ModelConfig

__all__ = [
    "RANGES",
    "Values",
    "apply_values",
    "clip_settings",
    "compute_distance",
    "compute_paired_gain",
    "select_by_one_standard_error",
    "select_horizons",
    "summarize_selection",
]

Array = NDArray[np.float64]
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


def compute_paired_gain(reference: Array, other: Array) -> tuple[float, float]:
    """Compute the reduction of the loss, with its standard error over accounts.

    The arrays hold each account's contribution to the loss under either setting.

    Examples
    --------
    >>> gain, error = compute_paired_gain(np.array([0.3, 0.2, 0.5]), np.array([0.2, 0.2, 0.3]))
    >>> round(gain, 3), round(error, 3)
    (0.3, 0.173)
    """
    difference = reference - other
    return float(difference.sum()), float(np.sqrt(len(difference) * difference.var(ddof=1)))


def select_by_one_standard_error(
    account_losses: Sequence[Array], distances: Sequence[float]
) -> int:
    """Select an index by the one-standard-error rule [1]_, preferring the current settings.

    Candidates are all settings whose loss exceeds the lowest by at most one standard error of the
    paired difference. The candidate nearest to the current settings is selected; these have
    distance 0. Of two at equal distance, it is that with the lower loss.

    References
    ----------
    .. [1] L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.

    Examples
    --------
    The third is best; the second is hardly worse, and nearer:

    >>> current, near, far = np.array([[0.9, 0.9], [0.5, 0.4], [0.4, 0.45]])
    >>> select_by_one_standard_error([current, near, far], [0.0, 0.2, 0.7])
    1
    """
    totals = [float(losses.sum()) for losses in account_losses]
    best = account_losses[int(np.argmin(totals))]
    candidates = [
        index
        for index, losses in enumerate(account_losses)
        if np.less_equal(*compute_paired_gain(losses, best))  # gain of the best, standard error
    ]
    return min(candidates, key=lambda index: (distances[index], totals[index], index))


def summarize_selection(summary: Mapping[str, Any]) -> str:
    """Describe the selection in one or two sentences."""
    error = summary["best_gain_standard_error"]
    comparison = (
        f"has a loss of {summary['best_loss']:.4f} against {summary['reference_loss']:.4f}, a gain"
        f" of {summary['best_gain']:.4f} with a standard error of {error:.4f}"
    )
    if summary["best"] == 1:
        return (
            f"The settings are unchanged: none of {summary['trials']} trials has a lower loss than"
            f" their {summary['reference_loss']:.4f}."
        )
    if summary["unchanged"]:
        return (
            f"The settings are unchanged: the best of {summary['trials']} trials {comparison},"
            " which is within one standard error."
        )
    if summary["selected"] == summary["best"]:
        return (
            f"Trial {summary['selected']} of {summary['trials']} is selected, the best: it"
            f" {comparison}."
        )
    return (
        f"Trial {summary['selected']} of {summary['trials']} is selected with a loss of"
        f" {summary['loss']:.4f}: within one standard error of the best, trial {summary['best']},"
        f" and nearer to the current settings. The best {comparison}."
    )
