"""How well any model could do: the dates that follow from the simulator's own chances."""

from datetime import date
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import panels
import polars as pl
import walks
from numpy.typing import NDArray

from data.simulator.account_state import STEP_DAYS, select_accounts
from data.simulator.simulation import (
    SimulationHistory,
    SimulationPeriod,
    advance,
    day_number,
    random_stream,
    simulate,
)
from training.labels import MAX_HORIZON_DAYS
from training.metrics import dates
from training.model import event_date

__all__ = ["lived", "true_dates"]

_FUTURES = 48
_SEED = 7


def lived(name: str) -> SimulationHistory:
    """Live a simulated company's life again; the same name, the same life."""
    _, accounts, months, seed = name.split("-")
    end = panels.end_of(0).date()
    first = end.year * 12 + end.month - 1 - int(months)
    start = date(first // 12, first % 12 + 1, 1)
    return simulate(int(accounts), SimulationPeriod(day_number(start), day_number(end)), int(seed))


def true_dates(name: str, folder: Path) -> dict[str, Any]:
    """Judge the median of the true curve as the model's median is judged.

    As in ``data.simulator.ground_truth``, many futures of each account's state are followed as if it did
    not expand, and the chance that it would have is kept.
    """
    known = dates.select_evaluable_rows(walks.predictions(name, folder))
    history = lived(name)
    parts = [_at(history, rows) for _, rows in known.group_by("as_of", maintain_order=True)]
    true = pl.concat(parts)
    came = true["days_to_expansion"].to_numpy().astype(np.float64)
    error = np.abs(true["true_days"].to_numpy() - came)
    usual = np.abs(true["usual_median_days"].to_numpy() - came)
    wanted = {"gain_over_usual": lambda rows: 1 - float(error[rows].sum() / usual[rows].sum())}
    found = drawn.intervals(wanted, true)
    return {"error": float(error.mean()), **found["gain_over_usual"]}


def _at(history: SimulationHistory, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of one as-of, with the median day of the true curve."""
    day = day_number(rows["as_of"][0])
    accounts = rows["account_id"].str.slice(4).cast(pl.Int64).to_numpy()
    curve = _curve(history, accounts, day)
    days = range(STEP_DAYS, MAX_HORIZON_DAYS + 1, STEP_DAYS)
    expected = event_date.estimate_event_dates(curve, list(days))
    return rows.with_columns(true_days=dates.build_date_columns(expected)["median_days"])


def _curve(
    history: SimulationHistory, accounts: NDArray[np.int64], day: int
) -> NDArray[np.float64]:
    """P(expansion by the end of each step), shape (n_accounts, n_steps)."""
    copies = np.repeat(accounts, _FUTURES)
    traits = select_accounts(history.traits, copies)
    state = select_accounts(history.states[day], copies)
    rng = random_stream(_SEED, "truth", day)
    none, reached = np.ones(len(copies)), []
    for after in range(0, MAX_HORIZON_DAYS, STEP_DAYS):
        state, _, _, signed = advance(traits, state, day + after, rng, expand=False)
        none = none * (1 - signed.probability)
        reached.append(1 - none.reshape(len(accounts), _FUTURES).mean(axis=1))
    return np.column_stack(reached)
