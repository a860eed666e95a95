"""Oracle models: what remains to the true probability with better columns or better labels.

*Oracle features*: our own model with the simulator's hidden state among its features. Its columns
then contain all there is to know. The remaining gap to the true probability is sampling noise:
this number of outcomes teaches no more, whatever the features.

*Oracle labels*: a model of the same columns that learns true probabilities instead of outcomes. An
outcome is one random draw whose probability the simulator knows. A learner that is given the
probability of every training snapshot shows what the columns contain; the remaining gap to the
true probability is not in them, or not at this number of accounts.
"""

from typing import Any, Final

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.simulator.account_state import FEATURES_IN_PLAN, NEVER
from data.simulator.simulation import SimulationHistory, to_day_number
from tests.benchmarks.model import oracle_dates, oracle_probability
from tests.benchmarks.model.panels import BenchCompany
from training.evaluation import splits
from training.labels import MAX_HORIZON_DAYS
from training.model import propensity

__all__ = ["evaluate_oracle_features", "evaluate_oracle_labels"]

_KEYS: Final = ["account_id", "as_of"]
_MAX_DAYS_SINCE_EXPANSION: Final = float(10 * MAX_HORIZON_DAYS)
_ROUNDS: Final = 400
_FOLDS: Final = 5
_SETTINGS: Final[dict[str, Any]] = {
    "objective": "cross_entropy",  # takes probabilities as labels
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": 7,
    "deterministic": True,
    "verbose": -1,
}


def evaluate_oracle_features(company: BenchCompany) -> dict[str, Any]:
    """Score the evaluated snapshots with a model that also reads the hidden state."""
    history = company.load_history()
    hidden = _build_hidden_state(oracle_dates.simulate_company(company.name), history.snapshots)
    rows = history.snapshots.join(hidden, on=_KEYS, maintain_order="left")
    inputs = (*propensity.INPUTS, *(column for column in hidden.columns if column not in _KEYS))
    parts = []
    for part in _load_evaluated(company):
        training_set = splits.build_training_set(
            rows,
            history.contracts,
            splits.to_utc_midnight(part["cutoff"][0]),
            history.settings.outcome,
        )
        fitted = propensity.fit_propensity(
            training_set, history.settings.model, horizon_days=60, inputs=inputs
        )
        test_rows = part.join(rows, on=_KEYS, maintain_order="left")
        parts.append(part.with_columns(score=fitted.predict(test_rows).margin))
    return oracle_probability.estimate_oracle_shares(parts)


def evaluate_oracle_labels(company: BenchCompany) -> dict[str, Any]:
    """Score the evaluated snapshots with a LightGBM trained on earlier true probabilities."""
    snapshots = company.load_history().snapshots
    true = company.load_ground_truth("truth")
    rows = snapshots.join(true.select(*_KEYS, "p_60"), on=_KEYS)
    return oracle_probability.estimate_oracle_shares(
        [
            _predict_out_of_fold(
                rows.filter(pl.col("as_of") < part["cutoff"][0]),
                part.join(snapshots, on=_KEYS, maintain_order="left"),
            )
            for part in _load_evaluated(company)
        ]
    )


def _load_evaluated(company: BenchCompany) -> list[pl.DataFrame]:
    """Return the evaluated snapshots of each cutoff: outcome and true probability."""
    evaluated = oracle_probability.join_truth(company)
    return evaluated.select(*_KEYS, "cutoff", "expanded", "p_60").partition_by(
        "cutoff", maintain_order=True
    )


def _build_hidden_state(history: SimulationHistory, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Return the state of every snapshot's account, as the simulator's hazard reads it."""
    keys = snapshots.select(_KEYS)
    return pl.concat(
        [
            _select_hidden_state(history, rows)
            for rows in keys.partition_by("as_of", maintain_order=True)
        ]
    )


def _select_hidden_state(history: SimulationHistory, rows: pl.DataFrame) -> pl.DataFrame:
    day = to_day_number(rows["as_of"][0])
    state = history.states[day]
    account = rows["account_id"].str.slice(4).cast(pl.Int64).to_numpy()
    columns = {
        "utilization": state.utilization,
        "people_per_seat_and_month": state.user_trend / np.maximum(state.seats, 1),
        "depth": state.features / FEATURES_IN_PLAN[state.plan.astype(int)],
        "features_per_month": state.feature_trend,
        "departments_per_month": state.department_trend,
        "load": np.where(np.isinf(state.limit), -1.0, state.usage / state.limit),
        "load_growth": state.usage_trend,
        "rested_days": np.minimum(day - state.last_purchase, _MAX_DAYS_SINCE_EXPANSION),
        "waiting": (state.pending_start < NEVER).astype(np.float64),
    }
    return rows.with_columns(
        **{f"hidden_{name}": pl.Series(values[account]) for name, values in columns.items()}
    )


def _predict_out_of_fold(training_rows: pl.DataFrame, test_rows: pl.DataFrame) -> pl.DataFrame:
    """Predict one cutoff's test rows, each by a learner that was not trained on its account.

    Trained on an account's probability of last month, a learner would recognize and repeat it.
    """
    training_folds, test_folds = _assign_folds(training_rows), _assign_folds(test_rows)
    predictions = np.empty(test_rows.height)
    for fold in range(_FOLDS):
        others, in_fold = training_rows.filter(training_folds != fold), test_folds == fold
        labels = lgb.Dataset(_to_matrix(others), others["p_60"].to_numpy())
        booster = lgb.train(_SETTINGS, labels, num_boost_round=_ROUNDS)
        predictions[in_fold.to_numpy()] = booster.predict(_to_matrix(test_rows.filter(in_fold)))
    return test_rows.with_columns(score=pl.Series(predictions))


def _assign_folds(rows: pl.DataFrame) -> pl.Series:
    """Assign accounts to folds."""
    return rows["account_id"].hash(seed=_SETTINGS["seed"]) % _FOLDS


def _to_matrix(rows: pl.DataFrame) -> NDArray[np.float64]:
    return rows.select(pl.col(propensity.INPUTS).cast(pl.Float64)).to_numpy()
