"""What a fit costs, beside LightGBM's own ``train`` on the same rows; on a made-up matrix."""

import resource
import sys
import time
from datetime import date, timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import ModelConfig
from training import labels
from training.model import gbm, propensity

__all__ = ["ours", "theirs"]

FEATURES = 120
_AS_OFS = 20
_HORIZON_DAYS = 60
_SMOKE = {"ensemble_size": 2, "n_estimators": 20}


def ours(rows: int, *, smoke: bool) -> dict[str, Any]:
    """Fit our model on made-up snapshots, with a clock around the boosters' part of it."""
    settings = _settings(smoke=smoke)
    snapshots, happened, inputs = _drawn(rows)
    boosters: list[float] = []
    boost = gbm.fit_boosters

    def clocked(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        made = boost(*args, **kwargs)
        boosters.append(time.process_time() - start)
        return made

    propensity.trees.fit_boosters = clocked  # type: ignore[attr-defined]
    before = _peak()
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = propensity.fit_propensity(
        snapshots, happened, settings, horizon_days=_HORIZON_DAYS, inputs=inputs
    )
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "boosters_cpu_seconds": sum(boosters),
        "boosters": len(fitted.boosters),
        "peak_bytes": _peak(),
        "peak_before_bytes": before,
        "said": repr(fitted),
    }


def theirs(rows: int, *, smoke: bool) -> dict[str, Any]:
    """Train one booster of LightGBM's own on all rows: same rounds, one thread, same settings."""
    settings = _settings(smoke=smoke)
    matrix, days = _made_up(rows)
    label = (days < _HORIZON_DAYS).astype(float)
    parameters = {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": settings.min_child_samples,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.reg_lambda,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    wall, cpu = time.perf_counter(), time.process_time()
    lgb.train(parameters, lgb.Dataset(matrix, label), num_boost_round=settings.n_estimators)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": _peak(),
        "rows": len(matrix),
        "columns": matrix.shape[1],
        "n_estimators": settings.n_estimators,
    }


def _settings(*, smoke: bool) -> ModelConfig:
    return ModelConfig().model_copy(update=_SMOKE if smoke else {})


def _drawn(rows: int) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Snapshots of accounts at twenty as-ofs, and what became of them."""
    values, days = _made_up(rows)
    inputs = list(propensity.INPUTS[:FEATURES])
    number = np.arange(rows)
    as_of = [date(2024, 1, 1) + timedelta(days=30 * place) for place in range(_AS_OFS)]
    keys = {
        "account_id": pl.Series(number // _AS_OFS).cast(pl.String),
        "as_of": pl.Series(as_of).gather(pl.Series(number % _AS_OFS)),
    }
    columns = {name: pl.Series(values[:, place]) for place, name in enumerate(inputs)}
    came = pl.Series(days)
    happened = pl.DataFrame(
        keys
        | {
            "days_to_expansion": pl.select(
                pl.when(came < labels.MAX_HORIZON_DAYS).then(came)
            ).to_series(),
            "days_to_unclear": pl.repeat(None, rows, dtype=pl.Int64, eager=True),
            "known_days": pl.repeat(365, rows, dtype=pl.Int64, eager=True),
        }
    )
    return pl.DataFrame(keys | columns), happened, inputs


def _made_up(rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features, a tenth of them missing, five of which say when the account expands."""
    rng = np.random.default_rng(rows)
    values = rng.standard_normal((rows, FEATURES))
    rate = np.exp(0.5 * values[:, :5].sum(axis=1)) / 1500
    days = np.minimum(rng.exponential(1 / rate), 10_000).astype(np.int64)
    values[rng.random((rows, FEATURES)) < 0.1] = np.nan
    return values, days


def _peak() -> int:
    # Linux tells kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
