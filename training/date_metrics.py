"""How far the expected dates are off, and whether their intervals hold what they promise.

Judged are the expansions that did happen within 180 days of the as-of, once the whole of the 180
days is known: early expansions of unfinished windows would make every date look late. All dates are
whole days, as the list shows them.

Two rivals: the *usual* day, the constant that was best on what the cut knew, and the straight line,
which carries the growth of the last three months on to the seat or usage limit. It is cut off at
180 days, since the expansion is known to come by then; where no limit is known, it is the constant.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.outcomes import LONGEST_DAYS
from training.readiness import Dates
from training.resampling import Array, Figure, Metric, codes, intervals, mean, saved

__all__ = ["columns", "figures", "judged", "usual"]

_QUANTILES = {"early": 0.1, "median": 0.5, "late": 0.9}
_THIRDS = ("lowest", "middle", "highest")


def columns(expected: Dates) -> dict[str, pl.Series]:
    """Give the dates of a prediction as columns: P(T ≤ 180), and whole days from the as-of."""
    days = {name: np.floor(getattr(expected, name)) for name in _QUANTILES}
    return {
        "within_180d": pl.Series(expected.within),
        **{f"{name}_days": pl.Series(day) for name, day in days.items()},
    }


def usual(days_to_expansion: pl.Series) -> dict[str, float]:
    """Give the best constants for a date, from the expansions that a cut knew.

    Parameters
    ----------
    days_to_expansion : polars.Series
        Whole days, of snapshots whose 180 days were complete at the cut and that expanded.

    Returns
    -------
    dict of str to float
        ``usual_early_days``, ``usual_median_days`` and ``usual_late_days``: the quantiles 10, 50
        and 90 %, which are best by pinball loss. Where nothing is known, those of any day alike.

    Examples
    --------
    >>> usual(pl.Series([10, 20, 90]))["usual_median_days"]
    20.0
    """
    known = days_to_expansion.drop_nulls()
    return {
        f"usual_{name}_days": LONGEST_DAYS * share
        if known.is_empty()
        else float(np.quantile(known.to_numpy(), share, method="inverted_cdf"))
        for name, share in _QUANTILES.items()
    }


def judged(predictions: pl.DataFrame) -> pl.DataFrame:
    """Keep the predictions whose expansion came within 180 days, and give the straight line's day.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluate.Evaluation`.

    Returns
    -------
    polars.DataFrame
        The same columns, and ``line_days``.
    """
    line = pl.col("days_to_limit").clip(0, LONGEST_DAYS)
    return predictions.filter(pl.col("days_to_expansion").is_not_null()).with_columns(
        line_days=line.fill_null(pl.col("usual_median_days"))
    )


def figures(predictions: pl.DataFrame, *, resamples: int, seed: int) -> dict[str, Figure]:
    """Compute every figure of the dates, with 90 % intervals over accounts and cuts.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluate.Evaluation`.
    resamples : int
        Bootstrap draws.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Figure
        ``date_error_days``, the mean absolute error of the median date, and the same of
        ``date_error_days_usual`` and ``date_error_days_line``; ``date_gain_over_usual`` and
        ``date_gain_over_line``, the shares of their error that the model saves;
        ``date_pinball_days_10``, ``_50`` and ``_90``; ``date_coverage`` of the 80 % interval, and
        the same among the ``_lowest``, ``_middle`` and ``_highest`` third of the probabilities;
        ``date_width_days``, the mean width of that interval, and the same by third.
    """
    known = judged(predictions)
    came = known["days_to_expansion"].to_numpy().astype(np.float64)
    error = {
        name: np.abs(known[f"{name}_days"].to_numpy() - came)
        for name in ("median", "usual_median", "line")
    }
    wanted = {
        "date_error_days": mean(error["median"]),
        "date_error_days_usual": mean(error["usual_median"]),
        "date_error_days_line": mean(error["line"]),
        "date_gain_over_usual": saved(error["median"], error["usual_median"]),
        "date_gain_over_line": saved(error["median"], error["line"]),
        **{
            f"date_pinball_days_{share:.0%}".rstrip("%"): mean(
                pinball(known[f"{name}_days"].to_numpy(), came, share)
            )
            for name, share in _QUANTILES.items()
        },
        **_coverage(known, came),
    }
    return intervals(
        wanted, *codes(known["account_id"], known["cut"]), resamples=resamples, seed=seed
    )


def pinball(stated: Array, came: Array, share: float) -> Array:
    """Loss of a stated quantile, lowest at the true one [1]_; in the unit of the values.

    References
    ----------
    .. [1] R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 1978.

    Examples
    --------
    >>> pinball(np.array([10.0, 10.0]), np.array([14.0, 6.0]), 0.9).round(6).tolist()
    [3.6, 0.4]
    """
    short = came - stated
    return np.maximum(share * short, (share - 1) * short)


def _coverage(known: pl.DataFrame, came: Array) -> dict[str, Metric]:
    """Share of the expansions inside the interval, and its width: of all, and by third."""
    early, late = (known[f"{name}_days"].to_numpy() for name in ("early", "late"))
    told = {"date_coverage": (early <= came) & (came <= late), "date_width_days": late - early}
    third = _third(known["probability"].to_numpy())
    return {name: mean(values) for name, values in told.items()} | {
        f"{name}_{word}": mean(values, third == place)
        for name, values in told.items()
        for place, word in enumerate(_THIRDS)
    }


def _third(probability: Array) -> NDArray[np.int64]:
    if len(probability) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.digitize(probability, np.quantile(probability, [1 / 3, 2 / 3]))
