"""LightGBM boosters on account bootstraps."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from data.settings import Model

__all__ = ["asked", "fit"]

Array = NDArray[np.float64]


def fit(
    matrix: Array,
    label: Array,
    draws: Sequence[Array],
    *,
    names: Sequence[str],
    settings: Model,
    directions: Sequence[int],
) -> tuple[lgb.Booster, ...]:
    """Fit a booster on each bootstrap.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    label : numpy.ndarray, shape (n,)
        1 where it happened, 0 where not, NaN while that is unknown.
    draws : sequence of numpy.ndarray, shape (n,)
        How often each row is in each bootstrap.
    names : sequence of str
        Of the columns.
    settings : data.settings.Model
        LightGBM's own settings.
    directions : sequence of int, length n_columns
        1 or −1 where a column is held to act so, else 0.

    Returns
    -------
    tuple of lightgbm.Booster
        The same data, settings and seed give the same bytes.
    """
    known = np.flatnonzero(~np.isnan(label))
    parameters = _parameters(settings, directions)
    whole = lgb.Dataset(
        matrix[known], label[known], feature_name=list(names), params=parameters
    ).construct()

    def member(number: int) -> lgb.Booster:
        weight = draws[number][known]
        kept = np.flatnonzero(weight)
        part = whole.subset(kept.tolist()).set_weight(weight[kept])
        seeded = {**parameters, "seed": settings.seed + number}
        return lgb.train(seeded, part, num_boost_round=settings.rounds)

    # One thread per booster: the bytes do not depend on the machine's cores.
    with ThreadPoolExecutor(cpu_count()) as pool:
        return tuple(pool.map(member, range(len(draws))))


def asked(boosters: Sequence[lgb.Booster], matrix: Array, **how: bool) -> Iterator[Array]:
    """Ask every booster at once, a thread each, and give their answers in order.

    Parameters
    ----------
    boosters : sequence of lightgbm.Booster
        Each made to run on one thread.
    matrix : numpy.ndarray, shape (n, n_columns)
        The rows.
    how : bool
        What LightGBM's ``predict`` is told: ``raw_score`` or ``pred_contrib``.
    """
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(lambda booster: np.asarray(booster.predict(matrix, **how)), boosters)


def _parameters(settings: Model, directions: Sequence[int]) -> dict[str, object]:
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf_rows,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "monotone_constraints": list(directions),
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
