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

from training.labels import MAX_HORIZON_DAYS
from training.metrics.cluster_bootstrap import (
    Array,
    Metric,
    MetricEstimate,
    estimate_metrics,
    factorize_columns,
    mean_metric,
    skill_metric,
)
from training.model.event_date import EventDateEstimate

__all__ = [
    "build_date_columns",
    "compute_date_metrics",
    "fit_constant_baseline",
    "select_evaluable_rows",
]

_QUANTILES = {"early": 0.1, "median": 0.5, "late": 0.9}
_TERTILES = ("lowest", "middle", "highest")


def build_date_columns(dates: EventDateEstimate) -> dict[str, pl.Series]:
    """Give the dates of a prediction as columns: P(T ≤ 180), and whole days from the as-of."""
    days = {name: np.floor(getattr(dates, name)) for name in _QUANTILES}
    return {
        "within_180d": pl.Series(dates.probability_180d),
        **{f"{name}_days": pl.Series(day) for name, day in days.items()},
    }


def fit_constant_baseline(days_to_expansion: pl.Series) -> dict[str, float]:
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
    >>> fit_constant_baseline(pl.Series([10, 20, 90]))["usual_median_days"]
    20.0
    """
    observed = days_to_expansion.drop_nulls()
    return {
        f"usual_{name}_days": MAX_HORIZON_DAYS * share
        if observed.is_empty()
        else float(np.quantile(observed.to_numpy(), share, method="inverted_cdf"))
        for name, share in _QUANTILES.items()
    }


def select_evaluable_rows(predictions: pl.DataFrame) -> pl.DataFrame:
    """Keep the predictions whose expansion came within 180 days, and give the straight line's day.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.evaluate.Evaluation`.

    Returns
    -------
    polars.DataFrame
        The same columns, and ``line_days``.
    """
    linear_days = pl.col("days_to_limit").clip(0, MAX_HORIZON_DAYS)
    return predictions.filter(pl.col("days_to_expansion").is_not_null()).with_columns(
        line_days=linear_days.fill_null(pl.col("usual_median_days"))
    )


def compute_date_metrics(
    predictions: pl.DataFrame, *, resamples: int, seed: int
) -> dict[str, MetricEstimate]:
    """Compute every figure of the dates, with 90 % intervals over accounts and cuts.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.evaluate.Evaluation`.
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
    evaluable = select_evaluable_rows(predictions)
    event_days = evaluable["days_to_expansion"].to_numpy().astype(np.float64)
    error = {
        name: np.abs(evaluable[f"{name}_days"].to_numpy() - event_days)
        for name in ("median", "usual_median", "line")
    }
    metrics = {
        "date_error_days": mean_metric(error["median"]),
        "date_error_days_usual": mean_metric(error["usual_median"]),
        "date_error_days_line": mean_metric(error["line"]),
        "date_gain_over_usual": skill_metric(error["median"], error["usual_median"]),
        "date_gain_over_line": skill_metric(error["median"], error["line"]),
        **{
            f"date_pinball_days_{share:.0%}".rstrip("%"): mean_metric(
                pinball_loss(evaluable[f"{name}_days"].to_numpy(), event_days, share)
            )
            for name, share in _QUANTILES.items()
        },
        **_make_coverage_metrics(evaluable, event_days),
    }
    return estimate_metrics(
        metrics,
        *factorize_columns(evaluable["account_id"], evaluable["cut"]),
        resamples=resamples,
        seed=seed,
    )


def pinball_loss(predicted: Array, observed: Array, quantile: float) -> Array:
    """Loss of a stated quantile, lowest at the true one [1]_; in the unit of the values.

    References
    ----------
    .. [1] R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 1978.

    Examples
    --------
    >>> pinball_loss(np.array([10.0, 10.0]), np.array([14.0, 6.0]), 0.9).round(6).tolist()
    [3.6, 0.4]
    """
    error = observed - predicted
    return np.maximum(quantile * error, (quantile - 1) * error)


def _make_coverage_metrics(evaluable: pl.DataFrame, event_days: Array) -> dict[str, Metric]:
    """Share of the expansions inside the interval, and its width: of all, and by third."""
    early, late = (evaluable[f"{name}_days"].to_numpy() for name in ("early", "late"))
    row_values = {
        "date_coverage": (early <= event_days) & (event_days <= late),
        "date_width_days": late - early,
    }
    tertile = _assign_tertile(evaluable["probability"].to_numpy())
    return {name: mean_metric(values) for name, values in row_values.items()} | {
        f"{name}_{word}": mean_metric(values, tertile == place)
        for name, values in row_values.items()
        for place, word in enumerate(_TERTILES)
    }


def _assign_tertile(probability: Array) -> NDArray[np.int64]:
    if len(probability) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.digitize(probability, np.quantile(probability, [1 / 3, 2 / 3]))
