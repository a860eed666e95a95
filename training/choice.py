"""Which of many settings to take: the best, unless a nearer one is as good within noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose", "gain", "why"]

Array = NDArray[np.float64]


def gain(usual: Array, other: Array) -> tuple[float, float]:
    """Give how much lower the other's loss is, with the standard error over accounts.

    Parameters
    ----------
    usual, other : numpy.ndarray, shape (n_accounts,)
        What each account adds to the loss, under the one settings and the other.

    Examples
    --------
    >>> saved, error = gain(np.array([0.3, 0.2, 0.5]), np.array([0.2, 0.2, 0.3]))
    >>> round(saved, 3), round(error, 3)
    (0.3, 0.173)
    """
    saved = usual - other
    return float(saved.sum()), float(np.sqrt(len(saved) * saved.var(ddof=1)))


def choose(entrants: Sequence[Array], distances: Sequence[float]) -> int:
    """Choose by the one-standard-error rule [1]_, towards the settings as they stand.

    Of all whose loss is above the lowest by at most one standard error of the paired difference,
    the nearest to the settings as they stand is taken: these themselves, at distance 0, unless the
    best beats them by more than that.

    Parameters
    ----------
    entrants : sequence of numpy.ndarray, shape (n_accounts,)
        What each account adds to the loss.
    distances : sequence of float
        From the settings as they stand.

    Returns
    -------
    int
        Place of the chosen; of two equally near the one with the lower loss.

    References
    ----------
    .. [1] L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.

    Examples
    --------
    The third is best; the second is hardly worse, and nearer:

    >>> stands, near, far = np.array([[0.9, 0.9], [0.5, 0.4], [0.4, 0.45]])
    >>> choose([stands, near, far], [0.0, 0.2, 0.7])
    1
    """
    totals = [float(entrant.sum()) for entrant in entrants]
    best = entrants[int(np.argmin(totals))]
    level = [
        place
        for place, entrant in enumerate(entrants)
        if np.less_equal(*gain(entrant, best))  # what the best saves, and its error
    ]
    return min(level, key=lambda place: (distances[place], totals[place], place))


def why(about: Mapping[str, Any]) -> str:
    """Say in words what was chosen."""
    error = about["best_gain_standard_error"]
    beside = (
        f"loses {about['best_loss']:.4f} against {about['usual_loss']:.4f}, a gain of"
        f" {about['best_gain']:.4f} with a standard error of {error:.4f}"
    )
    if about["best"] == 1:
        return (
            f"The settings stay as they stand: none of {about['trials']} trials loses less than"
            f" their {about['usual_loss']:.4f}."
        )
    if about["kept"]:
        return (
            f"The settings stay as they stand: the best of {about['trials']} trials {beside}, which"
            " is no more than that."
        )
    if about["taken"] == about["best"]:
        return f"Trial {about['taken']} of {about['trials']} is taken, the best: it {beside}."
    return (
        f"Trial {about['taken']} of {about['trials']} is taken, which loses {about['loss']:.4f}:"
        f" within a standard error of the best, trial {about['best']}, and nearer to the settings"
        f" as they stand. The best {beside}."
    )
