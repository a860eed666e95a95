"""LightGBM boosters on account bootstraps, each row repeated for every horizon."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from data.settings import Model

__all__ = ["HORIZON", "asked", "fit", "with_horizon"]

HORIZON = "horizon_days"
_ROWS_AT_ONCE = 50_000

Array = NDArray[np.float64]


def fit(
    matrix: Array,
    labels: Mapping[int, Array],
    draws: Sequence[Array],
    *,
    names: Sequence[str],
    settings: Model,
    directions: Sequence[int],
) -> tuple[lgb.Booster, ...]:
    """Fit a booster on each bootstrap.

    A row appears once per horizon whose window is complete, with the horizon as a column under a
    monotone constraint; with a single horizon it appears once, and there is no such column. The
    repeated rows never exist as numbers: LightGBM is handed them piece by piece and keeps bins.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    labels : mapping of int to numpy.ndarray, shape (n,)
        Horizon in days → 1 where it happened within it, 0 where not, NaN while that is unknown.
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
    known = {horizon: np.flatnonzero(~np.isnan(label)) for horizon, label in labels.items()}
    stacked = len(labels) > 1
    parameters = _parameters(settings, [*directions, *([1] if stacked else [])], len(labels))
    whole = lgb.Dataset(
        [_Rows(matrix, rows, horizon if stacked else None) for horizon, rows in known.items()],
        np.concatenate([labels[horizon][rows] for horizon, rows in known.items()]),
        feature_name=[*names, *([HORIZON] if stacked else [])],
        params=parameters,
    ).construct()
    places = np.concatenate(list(known.values()))

    def member(number: int) -> lgb.Booster:
        weight = draws[number][places]
        kept = np.flatnonzero(weight)
        part = whole.subset(kept.tolist()).set_weight(weight[kept])
        seeded = {**parameters, "seed": settings.seed + number}
        return lgb.train(seeded, part, num_boost_round=settings.rounds)

    # One thread per booster: the bytes do not depend on the machine's cores.
    with ThreadPoolExecutor(cpu_count()) as pool:
        return tuple(pool.map(member, range(len(draws))))


def asked(boosters: Sequence[lgb.Booster], stacked: Array, **how: bool) -> Iterator[Array]:
    """Ask every booster at once, a thread each, and give their answers in order.

    Parameters
    ----------
    boosters : sequence of lightgbm.Booster
        Each made to run on one thread.
    stacked : numpy.ndarray, shape (n, n_columns)
        The rows; see :func:`with_horizon`.
    how : bool
        What LightGBM's ``predict`` is told: ``raw_score`` or ``pred_contrib``.
    """
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(lambda booster: np.asarray(booster.predict(stacked, **how)), boosters)


def with_horizon(matrix: Array, horizon_days: int) -> Array:
    """Put the horizon beside the columns, as boosters of several horizons read them."""
    return np.column_stack([matrix, np.full(len(matrix), float(horizon_days))])


class _Rows(lgb.Sequence):
    """Some rows of a matrix at one horizon, made when LightGBM asks for them."""

    batch_size = _ROWS_AT_ONCE

    def __init__(self, matrix: Array, rows: NDArray[np.int64], horizon_days: int | None) -> None:
        self._matrix, self._rows, self._horizon_days = matrix, rows, horizon_days

    def __getitem__(self, index: Any) -> Array:  # noqa: ANN401 - a place, a slice or places
        found = self._matrix[np.atleast_1d(self._rows[index])]
        if self._horizon_days is not None:
            found = with_horizon(found, self._horizon_days)
        return np.asarray(found[0] if isinstance(index, int | np.integer) else found)

    def __len__(self) -> int:
        return len(self._rows)


def _parameters(settings: Model, directions: Sequence[int], stacked: int) -> dict[str, object]:
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf_rows * stacked,
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
