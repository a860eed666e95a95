"""Cost of a model fit and of LightGBM's own ``train`` on the same rows of a generated matrix."""

import time
from datetime import date, timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import ModelConfig
from tests.benchmarks.bench_script import peak_memory_bytes
from tests.benchmarks.stopwatch import Stopwatch
from training import labels
from training.dataset.training_set import TrainingSet
from training.model import gbm, propensity

__all__ = ["measure_lightgbm_train", "measure_model_fit"]

FEATURES = 120
_AS_OFS = 20
_HORIZON_DAYS = 60
_SMOKE = {"ensemble_size": 2, "n_estimators": 20}


def measure_model_fit(rows: int, *, smoke: bool) -> dict[str, Any]:
    """Fit our model on generated snapshots, with a timer around the boosters' part."""
    settings = _model_settings(smoke=smoke)
    training_set, inputs = _generate_snapshots(rows)
    clock = Stopwatch()
    clock.wrap(propensity, "fit_boosters", "boosters")
    before = peak_memory_bytes()
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = propensity.fit_propensity(
        training_set, settings, horizon_days=_HORIZON_DAYS, inputs=inputs
    )
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "boosters_cpu_seconds": clock.seconds["boosters"][1],
        "boosters": len(fitted.boosters),
        "peak_bytes": peak_memory_bytes(),
        "peak_before_bytes": before,
        "model": repr(fitted),
    }


def measure_lightgbm_train(rows: int, *, smoke: bool) -> dict[str, Any]:
    """Train one LightGBM booster on all rows: same rounds, one thread, same settings."""
    settings = _model_settings(smoke=smoke)
    matrix, days = _generate_matrix(rows)
    label = (days < _HORIZON_DAYS).astype(float)
    parameters = gbm.build_parameters(settings, [0] * FEATURES)
    wall, cpu = time.perf_counter(), time.process_time()
    lgb.train(parameters, lgb.Dataset(matrix, label), num_boost_round=settings.n_estimators)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": peak_memory_bytes(),
        "rows": len(matrix),
        "columns": matrix.shape[1],
        "n_estimators": settings.n_estimators,
    }


def _model_settings(*, smoke: bool) -> ModelConfig:
    return ModelConfig().model_copy(update=_SMOKE if smoke else {})


def _generate_snapshots(rows: int) -> tuple[TrainingSet, list[str]]:
    """Generate snapshots of accounts at twenty as-ofs, with their outcomes."""
    values, days = _generate_matrix(rows)
    inputs = list(propensity.INPUTS[:FEATURES])
    number = np.arange(rows)
    as_of = [date(2024, 1, 1) + timedelta(days=30 * index) for index in range(_AS_OFS)]
    keys = {
        "account_id": pl.Series(number // _AS_OFS).cast(pl.String),
        "as_of": pl.Series(as_of).gather(pl.Series(number % _AS_OFS)),
    }
    columns = {name: pl.Series(values[:, place]) for place, name in enumerate(inputs)}
    days_to_expansion = pl.Series(days)
    outcomes = pl.DataFrame(
        keys
        | {
            "days_to_expansion": pl.select(
                pl.when(days_to_expansion < labels.MAX_HORIZON_DAYS).then(days_to_expansion)
            ).to_series(),
            "days_to_ambiguous": pl.repeat(None, rows, dtype=pl.Int64, eager=True),
            "observed_days": pl.repeat(365, rows, dtype=pl.Int64, eager=True),
        }
    )
    return TrainingSet(pl.DataFrame(keys | columns), outcomes), inputs


def _generate_matrix(rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Generate features, a tenth of them missing; five determine the expansion day."""
    rng = np.random.default_rng(rows)
    values = rng.standard_normal((rows, FEATURES))
    rate = np.exp(0.5 * values[:, :5].sum(axis=1)) / 1500
    days = np.minimum(rng.exponential(1 / rate), 10_000).astype(np.int64)
    values[rng.random((rows, FEATURES)) < 0.1] = np.nan
    return values, days
