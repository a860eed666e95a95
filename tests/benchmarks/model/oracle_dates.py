"""Oracle dates: the expected dates that follow from the simulator's own hazard."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.simulator.account_state import STEP_DAYS, select_accounts
from data.simulator.simulation import (
    SimulationHistory,
    SimulationPeriod,
    advance,
    create_random_stream,
    simulate,
    to_day_number,
)
from tests.benchmarks.model import bootstrap_intervals, panels
from tests.benchmarks.model.panels import BenchCompany
from training.labels import MAX_HORIZON_DAYS
from training.metrics import dates
from training.model import event_date

__all__ = ["evaluate_oracle_dates", "simulate_company"]

_FUTURES = 48
_SEED = 7


def simulate_company(name: str) -> SimulationHistory:
    """Simulate a company again; equal names give equal histories."""
    _, accounts, months, seed = name.split("-")
    end = panels.resolve_end(0).date()
    first = end.year * 12 + end.month - 1 - int(months)
    start = date(first // 12, first % 12 + 1, 1)
    return simulate(
        int(accounts), SimulationPeriod(to_day_number(start), to_day_number(end)), int(seed)
    )


def evaluate_oracle_dates(company: BenchCompany) -> dict[str, Any]:
    """Evaluate the median of the true cumulative incidence as the model's median is evaluated.

    As in ``data.simulator.ground_truth``, many futures of each account's state are simulated
    without expansion, and the probability that it would have expanded is recorded.
    """
    evaluable = dates.select_evaluable_rows(company.load_predictions())
    history = simulate_company(company.name)
    parts = [
        _add_oracle_median(history, rows)
        for _, rows in evaluable.group_by("as_of", maintain_order=True)
    ]
    oracle = pl.concat(parts)
    observed = oracle["days_to_expansion"].to_numpy().astype(np.float64)
    error = np.abs(oracle["true_days"].to_numpy() - observed)
    constant_error = np.abs(oracle["constant_median_days"].to_numpy() - observed)
    metrics = {
        "gain_over_usual": lambda rows: 1 - float(error[rows].sum() / constant_error[rows].sum())
    }
    estimates = bootstrap_intervals.estimate_intervals(metrics, oracle)
    return {"error": float(error.mean()), **estimates["gain_over_usual"]}


def _add_oracle_median(history: SimulationHistory, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the median day of the true cumulative incidence to the rows of one as-of."""
    day = to_day_number(rows["as_of"][0])
    accounts = rows["account_id"].str.slice(4).cast(pl.Int64).to_numpy()
    curve = _simulate_incidence(history, accounts, day)
    days = range(STEP_DAYS, MAX_HORIZON_DAYS + 1, STEP_DAYS)
    expected = event_date.estimate_event_dates(curve, list(days))
    return rows.with_columns(true_days=dates.build_date_columns(expected)["median_days"])


def _simulate_incidence(
    history: SimulationHistory, accounts: NDArray[np.int64], day: int
) -> NDArray[np.float64]:
    """Return P(expansion by the end of each step), shape (n_accounts, n_steps)."""
    copies = np.repeat(accounts, _FUTURES)
    traits = select_accounts(history.traits, copies)
    state = select_accounts(history.states[day], copies)
    rng = create_random_stream(_SEED, "ground_truth", day)
    survival, incidence = np.ones(len(copies)), []
    for after in range(0, MAX_HORIZON_DAYS, STEP_DAYS):
        state, _, _, signed = advance(traits, state, day + after, rng, expand=False)
        survival = survival * (1 - signed.probability)
        incidence.append(1 - survival.reshape(len(accounts), _FUTURES).mean(axis=1))
    return np.column_stack(incidence)
