"""Oracle features: our own model with the simulator's hidden state among its features.

Its columns then contain all there is to know. The remaining gap to the true probability is
sampling noise: this number of outcomes teaches no more, whatever the features.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from data.simulator.account_state import FEATURES_IN_PLAN, NEVER
from data.simulator.simulation import SimulationHistory, to_day_number
from tests.benchmarks.model import (
    oracle_dates,
    oracle_probability,
    panels,
)
from training.evaluation import splits
from training.labels import MAX_HORIZON_DAYS
from training.model import propensity

__all__ = ["evaluate_oracle_features"]

_KEYS: Final = ["account_id", "as_of"]
_MAX_DAYS_SINCE_EXPANSION: Final = float(10 * MAX_HORIZON_DAYS)


def evaluate_oracle_features(name: str, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Score the evaluated snapshots with a model that also reads the hidden state."""
    history = panels.load_history(name, folder, smoke=smoke)
    hidden = _build_hidden_state(oracle_dates.simulate_company(name), history.snapshots)
    rows = history.snapshots.join(hidden, on=_KEYS, maintain_order="left")
    inputs = (*propensity.INPUTS, *(column for column in hidden.columns if column not in _KEYS))
    evaluated = oracle_probability.join_truth(name, folder).select(
        *_KEYS, "cutoff", "expanded", "p_60"
    )
    parts = []
    for (cutoff,), part in evaluated.group_by("cutoff", maintain_order=True):
        training_set = splits.build_training_set(
            rows, history.contracts, splits.to_utc_midnight(cutoff), history.settings.outcome
        )
        fitted = propensity.fit_propensity(
            training_set,
            history.settings.model,
            horizon_days=60,
            inputs=inputs,
        )
        test_rows = part.join(rows, on=_KEYS, maintain_order="left")
        parts.append(part.with_columns(score=fitted.predict(test_rows).margin))
    return oracle_probability.estimate_oracle_shares(parts)


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
