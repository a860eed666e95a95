"""Our own model, shown what no log can: the state that the simulator's chances follow from.

Its columns then hold all there is to know. What it still lacks beside the true probability is
hidden by chance: so few outcomes do not teach more, whatever the features.
"""

from pathlib import Path
from typing import Any, Final

import drawn
import known_truth
import numpy as np
import panels
import polars as pl
import true_dates
import walks

from data.simulator.account_state import FEATURES_IN_PLAN, NEVER
from data.simulator.simulation import SimulationHistory, day_number
from training.evaluation import splits
from training.labels import MAX_HORIZON_DAYS
from training.model import propensity

__all__ = ["shown_state"]

_KEYS: Final = ["account_id", "as_of"]
_LONG_AGO: Final = float(10 * MAX_HORIZON_DAYS)


def shown_state(name: str, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Rank what the walk judged by the model as it is, with the hidden state beside its features.

    Parameters
    ----------
    name : str
        A simulated company that was walked.
    folder : pathlib.Path
        The bench's.
    smoke : bool
        Whether only to try.

    Returns
    -------
    dict
        ``auroc_share`` and ``average_precision_share``, of those by the true probability, with
        intervals.
    """
    past = panels.load(name, folder, smoke=smoke)
    hidden = _hidden(true_dates.lived(name), past.snapshots)
    rows = past.snapshots.join(hidden, on=_KEYS, maintain_order="left")
    inputs = (*propensity.INPUTS, *(column for column in hidden.columns if column not in _KEYS))
    true = panels.truth(name, folder, "truth").with_columns(pl.col("as_of").dt.date())
    judged = (
        walks.predictions(name, folder)
        .drop_nulls("expanded")
        .select(*_KEYS, "cut", "expanded")
        .join(true.select(*_KEYS, "p_60"), on=_KEYS, maintain_order="left")
    )
    parts = []
    for (cut,), part in judged.group_by("cut", maintain_order=True):
        known = splits.build_training_set(
            rows, past.contracts, splits.utc_midnight(cut), past.settings.outcome
        )
        fitted = propensity.fit_propensity(
            known.snapshots, known.outcomes, past.settings.model, horizon_days=60, inputs=inputs
        )
        asked = part.join(rows, on=_KEYS, maintain_order="left")
        parts.append(part.with_columns(told=fitted.predict(asked).margin))
    found = pl.concat(parts)
    columns = (found[each].to_numpy() for each in ("expanded", "told", "p_60"))
    return drawn.intervals(known_truth.shares(*columns), found)


def _hidden(history: SimulationHistory, snapshots: pl.DataFrame) -> pl.DataFrame:
    """The state of every snapshot's account, as the simulator's pressures read it."""
    keys = snapshots.select(_KEYS)
    return pl.concat(
        [_at(history, rows) for rows in keys.partition_by("as_of", maintain_order=True)]
    )


def _at(history: SimulationHistory, rows: pl.DataFrame) -> pl.DataFrame:
    day = day_number(rows["as_of"][0])
    state = history.states[day]
    account = rows["account_id"].str.slice(4).cast(pl.Int64).to_numpy()
    columns = {
        "utilization": state.utilization,
        "people_per_seat_and_month": state.people_trend / np.maximum(state.seats, 1),
        "depth": state.features / FEATURES_IN_PLAN[state.plan.astype(int)],
        "features_per_month": state.feature_trend,
        "departments_per_month": state.department_trend,
        "load": np.where(np.isinf(state.limit), -1.0, state.usage / state.limit),
        "load_growth": state.usage_trend,
        "rested_days": np.minimum(day - state.rests, _LONG_AGO),
        "waiting": (state.pending < NEVER).astype(np.float64),
    }
    return rows.with_columns(
        **{f"hidden_{name}": pl.Series(values[account]) for name, values in columns.items()}
    )
