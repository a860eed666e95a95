"""Metrics of predicted dates: error, pinball loss and interval coverage.

Only expansions within 180 days of the as-of count, once all 180 days are known. Early expansions of
incomplete windows would make every date look late. All dates are whole days, as in the list.

Two baselines: the constant that was best on the training set, and a linear extrapolation of the
last three months' growth to the seat or usage limit. The extrapolation is capped at 180 days; where
no limit is known, it equals the constant.
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
    """Return the dates of a prediction as columns: P(T ≤ 180), and whole days from the as-of."""
    days = {name: np.floor(getattr(dates, name)) for name in _QUANTILES}
    return {
        "within_180d": pl.Series(dates.probability_180d),
        **{f"{name}_days": pl.Series(day) for name, day in days.items()},
    }


def fit_constant_baseline(days_to_expansion: pl.Series) -> dict[str, float]:
    """Compute the best constant dates from the expansions within 180 days in a training set.

    ``constant_early_days``, ``constant_median_days`` and ``constant_late_days`` are the quantiles
    10, 50 and 90 %, which minimise pinball loss; those of a uniform distribution without data.

    Examples
    --------
    >>> fit_constant_baseline(pl.Series([10, 20, 90]))["constant_median_days"]
    20.0
    """
    observed = days_to_expansion.drop_nulls()
    return {
        f"constant_{name}_days": MAX_HORIZON_DAYS * quantile
        if observed.is_empty()
        else float(np.quantile(observed.to_numpy(), quantile, method="inverted_cdf"))
        for name, quantile in _QUANTILES.items()
    }


def select_evaluable_rows(predictions: pl.DataFrame) -> pl.DataFrame:
    """Select predictions with an expansion within 180 days, and add the linear extrapolation.

    The predictions are those of :class:`training.evaluation.result.EvaluationResult`; the column
    ``linear_days`` is added.
    """
    linear_days = pl.col("days_to_limit").clip(0, MAX_HORIZON_DAYS)
    return predictions.filter(pl.col("days_to_expansion").is_not_null()).with_columns(
        linear_days=linear_days.fill_null(pl.col("constant_median_days"))
    )


def compute_date_metrics(
    predictions: pl.DataFrame, *, resamples: int, seed: int
) -> dict[str, MetricEstimate]:
    """Compute the metrics of the dates, with 90 % intervals over accounts and cutoffs.

    The predictions are those of :class:`training.evaluation.result.EvaluationResult`.

    Returns
    -------
    dict of str to MetricEstimate
        ``date_mae_days``, the mean absolute error of the median date, and the same of
        ``date_mae_days_constant`` and ``date_mae_days_linear``; ``date_skill_over_constant`` and
        ``date_skill_over_linear``, the relative reductions of their error;
        ``date_pinball_days_10``, ``_50`` and ``_90``; ``date_coverage`` of the 80 % interval, and
        the same in the ``_lowest``, ``_middle`` and ``_highest`` tertile of the probability;
        ``date_width_days``, the mean width of that interval, and the same by tertile.
    """
    evaluable = select_evaluable_rows(predictions)
    event_days = evaluable["days_to_expansion"].to_numpy().astype(np.float64)
    error = {
        name: np.abs(evaluable[f"{name}_days"].to_numpy() - event_days)
        for name in ("median", "constant_median", "linear")
    }
    metrics = {
        "date_mae_days": mean_metric(error["median"]),
        "date_mae_days_constant": mean_metric(error["constant_median"]),
        "date_mae_days_linear": mean_metric(error["linear"]),
        "date_skill_over_constant": skill_metric(error["median"], error["constant_median"]),
        "date_skill_over_linear": skill_metric(error["median"], error["linear"]),
        **{
            f"date_pinball_days_{quantile:.0%}".rstrip("%"): mean_metric(
                pinball_loss(evaluable[f"{name}_days"].to_numpy(), event_days, quantile)
            )
            for name, quantile in _QUANTILES.items()
        },
        **_make_coverage_metrics(evaluable, event_days),
    }
    return estimate_metrics(
        metrics,
        *factorize_columns(evaluable["account_id"], evaluable["cutoff"]),
        resamples=resamples,
        seed=seed,
    )


def pinball_loss(predicted: Array, observed: Array, quantile: float) -> Array:
    """Pinball loss of a predicted quantile, lowest at the true one [1]_; in the unit of the values.

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
    """Return the interval's coverage and width as metrics, overall and by tertile."""
    early, late = (evaluable[f"{name}_days"].to_numpy() for name in ("early", "late"))
    row_values = {
        "date_coverage": (early <= event_days) & (event_days <= late),
        "date_width_days": late - early,
    }
    tertile = _assign_tertile(evaluable["probability"].to_numpy())
    return {name: mean_metric(values) for name, values in row_values.items()} | {
        f"{name}_{label}": mean_metric(values, tertile == index)
        for name, values in row_values.items()
        for index, label in enumerate(_TERTILES)
    }


def _assign_tertile(probability: Array) -> NDArray[np.int64]:
    if len(probability) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.digitize(probability, np.quantile(probability, [1 / 3, 2 / 3]))
