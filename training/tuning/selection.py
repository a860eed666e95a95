"""Which of many settings to take: the best, unless a nearer one is as good within noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["compute_paired_gain", "select_by_one_standard_error", "summarize_selection"]

Array = NDArray[np.float64]


def compute_paired_gain(reference: Array, other: Array) -> tuple[float, float]:
    """Give how much lower the other's loss is, with the standard error over accounts.

    Parameters
    ----------
    reference, other : numpy.ndarray, shape (n_accounts,)
        What each account adds to the loss, under the one settings and the other.

    Examples
    --------
    >>> saved, error = compute_paired_gain(np.array([0.3, 0.2, 0.5]), np.array([0.2, 0.2, 0.3]))
    >>> round(saved, 3), round(error, 3)
    (0.3, 0.173)
    """
    difference = reference - other
    return float(difference.sum()), float(np.sqrt(len(difference) * difference.var(ddof=1)))


def select_by_one_standard_error(
    account_losses: Sequence[Array], distances: Sequence[float]
) -> int:
    """Choose by the one-standard-error rule [1]_, towards the settings as they stand.

    Of all whose loss is above the lowest by at most one standard error of the paired difference,
    the nearest to the settings as they stand is taken: these themselves, at distance 0, unless the
    best beats them by more than that.

    Parameters
    ----------
    account_losses : sequence of numpy.ndarray, shape (n_accounts,)
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
    >>> select_by_one_standard_error([stands, near, far], [0.0, 0.2, 0.7])
    1
    """
    totals = [float(entrant.sum()) for entrant in account_losses]
    best = account_losses[int(np.argmin(totals))]
    candidates = [
        place
        for place, entrant in enumerate(account_losses)
        if np.less_equal(*compute_paired_gain(entrant, best))  # what the best saves, and its error
    ]
    return min(candidates, key=lambda place: (distances[place], totals[place], place))


def summarize_selection(summary: Mapping[str, Any]) -> str:
    """Say in words what was chosen."""
    error = summary["best_gain_standard_error"]
    comparison = (
        f"loses {summary['best_loss']:.4f} against {summary['usual_loss']:.4f}, a gain of"
        f" {summary['best_gain']:.4f} with a standard error of {error:.4f}"
    )
    if summary["best"] == 1:
        return (
            f"The settings stay as they stand: none of {summary['trials']} trials loses less than"
            f" their {summary['usual_loss']:.4f}."
        )
    if summary["kept"]:
        return (
            f"The settings stay as they stand: the best of {summary['trials']} trials {comparison}, which"
            " is no more than that."
        )
    if summary["taken"] == summary["best"]:
        return (
            f"Trial {summary['taken']} of {summary['trials']} is taken, the best: it {comparison}."
        )
    return (
        f"Trial {summary['taken']} of {summary['trials']} is taken, which loses {summary['loss']:.4f}:"
        f" within a standard error of the best, trial {summary['best']}, and nearer to the settings"
        f" as they stand. The best {comparison}."
    )
