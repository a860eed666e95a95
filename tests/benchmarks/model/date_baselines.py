"""Further date baselines: other readings of the linear forecast, and losses of the constant."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.model import bootstrap_intervals
from tests.benchmarks.model.panels import BenchCompany
from training.metrics.dates import pinball_loss, select_evaluable_rows

__all__ = ["evaluate_date_baselines"]

_MAX_DAYS = 180


def evaluate_date_baselines(company: BenchCompany) -> dict[str, Any]:
    """Return the date metrics of the walk-forward run with the further baselines."""
    evaluable = select_evaluable_rows(company.load_predictions())
    observed = evaluable["days_to_expansion"].to_numpy().astype(np.float64)
    model_error = np.abs(evaluable["median_days"].to_numpy() - observed)
    days = pl.col("days_to_limit")
    constant = pl.col("constant_median_days")
    readings = {
        # A linear forecast beyond 180 days gives no date.
        "line_capped": pl.when(days < _MAX_DAYS).then(days).otherwise(constant),
        "line_uncapped": days.fill_null(constant),
    }
    metrics = {
        f"gain_over_{reading}": _error_saved(
            model_error, np.abs(_select_days(evaluable, line) - observed)
        )
        for reading, line in readings.items()
    }
    for label, share in {"early": 0.1, "median": 0.5, "late": 0.9}.items():
        loss = pinball_loss(evaluable[f"constant_{label}_days"].to_numpy(), observed, share)
        metrics[f"constant_pinball_{label}"] = _mean_metric(loss)
    covered = evaluable.select(
        pl.col("days_to_expansion").is_between("constant_early_days", "constant_late_days")
    )
    metrics["constant_coverage"] = _mean_metric(covered.to_series().to_numpy().astype(np.float64))
    estimates = bootstrap_intervals.estimate_intervals(metrics, evaluable)
    return {
        "evaluation": company.load_metrics()["dates"],
        "extra": estimates,
        "expanded": evaluable.height,
        "accounts": evaluable["account_id"].n_unique(),
        "no_limit": evaluable["days_to_limit"].null_count(),
        "beyond": int(evaluable.filter(days >= _MAX_DAYS).height),
        "width": float((evaluable["late_days"] - evaluable["early_days"]).mean() or 0),
    }


def _select_days(known: pl.DataFrame, line: pl.Expr) -> NDArray[np.float64]:
    return known.select(line.alias("line"))["line"].to_numpy().astype(np.float64)


def _error_saved(error: NDArray[np.float64], baseline_error: NDArray[np.float64]) -> Any:
    return lambda rows: 1 - float(error[rows].sum() / baseline_error[rows].sum())


def _mean_metric(values: NDArray[np.float64]) -> Any:
    return lambda rows: float(values[rows].mean())
