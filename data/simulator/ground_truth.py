"""True probability of expansion, from the state at the as-of date and not from the realized future.

Many futures of each account start from the same state. They are simulated without expansion, and
the probability of expansion is accumulated: the mean over futures of one minus the product of the
step-wise survival probabilities. Sampling expansions would give the same mean with more variance.
"""

from typing import Final

import numpy as np
import polars as pl

from data.simulator.account_state import (
    STEP_DAYS,
    AccountState,
    AccountTraits,
    Generator,
    IntVector,
    Vector,
    select_accounts,
)
from data.simulator.simulation import SimulationHistory, advance, create_random_stream

__all__ = ["HORIZONS_DAYS", "build_snapshots", "estimate_probabilities"]

HORIZONS_DAYS: Final = (30, 60, 90)
SIMULATED_FUTURES: Final = 48
_BATCH_SIZE: Final = 16_384  # futures advanced together; vectors of this size fit in the CPU cache


def build_snapshots(history: SimulationHistory, seed: int) -> pl.DataFrame:
    """Build every paying account at every as-of with its true probabilities and its outcome.

    Columns: account (int), as_of (day number), ``p_30``, ``p_60``, ``p_90``, and ``expands_60``,
    null while the window is unfinished; sorted by as-of and account.
    """
    account, day, _ = history.list_expansions()
    tables = [
        _build_as_of(history, as_of, account[(day >= as_of) & (day < as_of + 60)], seed)
        for as_of in history.period.as_ofs
    ]
    # With very few accounts none may be paying; such a table has no types of its own.
    return pl.concat(tables, how="vertical_relaxed")


def estimate_probabilities(
    traits: AccountTraits, state: AccountState, day: int, rng: Generator, futures: int
) -> Vector:
    """Estimate the probability of expansion within each horizon by Monte Carlo simulation.

    With 48 futures per account the standard error at 60 days is .005 on average and below .016 for
    19 accounts in 20, where accounts differ by .12; counting expansions gives .027.

    Returns
    -------
    numpy.ndarray, shape (len(HORIZONS_DAYS), n_accounts)
        Probabilities of at least one expansion of any kind.
    """
    accounts = len(state.status)
    result = np.empty((len(HORIZONS_DAYS), accounts))
    batch_accounts = max(1, _BATCH_SIZE // futures)
    for first in range(0, accounts, batch_accounts):
        indices = np.arange(first, min(first + batch_accounts, accounts))
        copies = np.repeat(indices, futures)
        survival = _compute_survival_probability(
            select_accounts(traits, copies), select_accounts(state, copies), day, rng
        )
        result[:, indices] = 1 - survival.reshape(len(HORIZONS_DAYS), len(indices), futures).mean(
            axis=2
        )
    return result


def _build_as_of(
    history: SimulationHistory, as_of: int, expanding: IntVector, seed: int
) -> pl.DataFrame:
    state = history.states[as_of]
    paying = np.flatnonzero(state.is_paying)
    rng = create_random_stream(seed, "ground_truth", as_of)
    probabilities = estimate_probabilities(
        select_accounts(history.traits, paying),
        select_accounts(state, paying),
        as_of,
        rng,
        SIMULATED_FUTURES,
    )
    is_complete = as_of + 60 <= history.period.end
    return pl.DataFrame(
        {
            "account": paying,
            "as_of": np.full(len(paying), as_of),
            **{f"p_{days}": p for days, p in zip(HORIZONS_DAYS, probabilities, strict=True)},
            "expands_60": pl.Series(np.isin(paying, expanding)) if is_complete else None,
        },
        schema_overrides={"expands_60": pl.Boolean},
    )


def _compute_survival_probability(
    traits: AccountTraits, state: AccountState, day: int, rng: Generator
) -> Vector:
    """Return the probability not to have expanded by each horizon, for every future."""
    survival = np.ones(len(state.status))
    by_horizon = []
    for offset in range(0, HORIZONS_DAYS[-1], STEP_DAYS):
        state, _, _, deals = advance(traits, state, day + offset, rng, expand=False)
        survival = survival * (1 - deals.probability)
        if offset + STEP_DAYS in HORIZONS_DAYS:
            by_horizon.append(survival)
    return np.stack(by_horizon)
