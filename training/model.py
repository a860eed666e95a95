"""One LightGBM classifier, conditioned on the horizon, on account bootstraps: the curve.

Each training snapshot appears once per horizon whose window is complete, with the horizon as a
column under a monotone constraint. So one model gives the whole curve P(expansion within h days),
it never crosses itself, and TreeSHAP at the shown horizon explains the number that is shown. With a
single horizon this is the plain classifier.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from os import cpu_count

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.errors import HistoryError, SettingsError
from data.settings import Model
from features.catalogue import FEATURES, by_name
from training.calibration import Calibration
from training.outcomes import expanded

__all__ = ["INPUTS", "Estimate", "Propensity", "fit"]

# Logins, tickets and NPS look like expansion and are not: the model never sees them.
INPUTS: tuple[str, ...] = tuple(f.name for f in FEATURES if f.family != "controls")
_SPREAD = 1.2815515655446004  # standard normal quantile of 0.9: an interval of 80 %
_FEWEST_EXPANSIONS = 10

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What the model says of each snapshot at one horizon; every array has a value per snapshot.

    Attributes
    ----------
    margin : numpy.ndarray
        Mean log-odds of the members, before calibration: what ranks and what is explained.
    probability, low, high : numpy.ndarray
        Calibrated, with the 80 % interval that the members' spread gives.
    """

    margin: Array
    probability: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Propensity:
    """A fitted model: boosters, the columns they read, the horizons, and the calibration."""

    boosters: tuple[lgb.Booster, ...]
    inputs: tuple[str, ...]
    horizons_days: tuple[int, ...]
    horizon_days: int
    calibration: Calibration

    def __repr__(self) -> str:
        return (
            f"Propensity({len(self.boosters)} boosters of {self.boosters[0].num_trees()} trees on"
            f" {len(self.inputs)} features; horizons {list(self.horizons_days)} days;"
            f" {self.calibration})"
        )

    @cached_property
    def _stacked(self) -> bool:
        return len(self.horizons_days) > 1

    def estimate(self, snapshots: pl.DataFrame, horizon_days: int | None = None) -> Estimate:
        """Estimate the probability that each snapshot expands within a horizon.

        Parameters
        ----------
        snapshots : polars.DataFrame
            Rows of a :class:`features.panel.Panel`.
        horizon_days : int, optional
            Days after the as-of, end excluded; the model's own horizon by default.

        Returns
        -------
        Estimate
            One value per snapshot, in order.
        """
        margins = self._margins(snapshots, horizon_days or self.horizon_days)
        mean, spread = margins.mean(axis=0), margins.std(axis=0, ddof=1)
        low, middle, high = (
            self.calibration.probability(mean + sign * _SPREAD * spread) for sign in (-1, 0, 1)
        )
        return Estimate(mean, middle, low, high)

    def curve(self, snapshots: pl.DataFrame) -> Array:
        """P(expansion within h days) for each snapshot and horizon.

        Returns
        -------
        numpy.ndarray, shape (n_snapshots, n_horizons)
            Rising along each row.
        """
        columns = [self.estimate(snapshots, h).probability for h in self.horizons_days]
        return np.column_stack(columns)

    def contributions(self, snapshots: pl.DataFrame) -> tuple[Array, Array]:
        """Exact TreeSHAP contributions to the margin that is shown.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            Mean over the members; margins add, so contributions do.
        base : numpy.ndarray, shape (n_snapshots,)
            Expected margin, with the horizon's own part; base + contributions = margin.
        """
        matrix = self._matrix(snapshots, self.horizon_days)
        parts = [
            np.asarray(booster.predict(matrix, pred_contrib=True)) for booster in self.boosters
        ]
        mean = np.mean(parts, axis=0)
        inputs = len(self.inputs)
        return mean[:, :inputs], mean[:, inputs:].sum(axis=1)

    def calibrated(self, calibration: Calibration) -> "Propensity":
        """Return the same model with another map from margin to probability."""
        return replace(self, calibration=calibration)

    def _margins(self, snapshots: pl.DataFrame, horizon_days: int) -> Array:
        if not self._stacked and horizon_days != self.horizons_days[0]:
            raise ValueError(
                f"a plain model knows {self.horizons_days[0]} days only, not {horizon_days}"
            )
        matrix = self._matrix(snapshots, horizon_days)
        return np.stack([np.asarray(b.predict(matrix, raw_score=True)) for b in self.boosters])

    def _matrix(self, snapshots: pl.DataFrame, horizon_days: int) -> Array:
        matrix = snapshots.select(self.inputs).to_numpy()
        if not self._stacked:
            return matrix
        return np.column_stack([matrix, np.full(len(matrix), float(horizon_days))])


def fit(
    snapshots: pl.DataFrame,
    outcomes: pl.DataFrame,
    settings: Model,
    *,
    horizon_days: int,
    inputs: Sequence[str] = INPUTS,
) -> Propensity:
    """Fit the boosters on every window that is complete.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    outcomes : polars.DataFrame
        :func:`training.outcomes.build` of the same rows, read at the cut.
    settings : data.settings.Model
        Horizons, members, and LightGBM's own settings.
    horizon_days : int
        The horizon of *the* probability; must be among the horizons.
    inputs : sequence of str
        Columns the model may read.

    Returns
    -------
    Propensity
        Uncalibrated; the same data, settings and seed give the same bytes.

    Raises
    ------
    data.errors.HistoryError
        If no window of the horizon is complete, or too few of them hold an expansion, or lack one.
    """
    horizons = tuple(sorted({*settings.horizons_days, horizon_days}))
    if len(settings.horizons_days) == 1:
        horizons = (horizon_days,)
    _refuse_too_few(outcomes, horizon_days)
    rows, matrix, label = _stack(snapshots, outcomes, horizons, list(inputs))
    names = [*inputs, *(["horizon_days"] if len(horizons) > 1 else [])]
    parameters = _parameters(settings, names, stacked=len(horizons))
    whole = lgb.Dataset(matrix, label, feature_name=names, params=parameters, free_raw_data=False)
    whole.construct()
    codes = snapshots["account_id"].rank("dense").to_numpy().astype(np.int64)[rows] - 1
    expansions = np.bincount(codes, weights=label).astype(np.float64)
    draws = _bootstraps(expansions, settings.members, settings.seed)

    def member(number: int) -> lgb.Booster:
        weight = draws[number][codes].astype(np.float64)
        kept = np.flatnonzero(weight)
        part = whole.subset(kept.tolist()).set_weight(weight[kept])
        seeded = {**parameters, "seed": settings.seed + number}
        return lgb.train(seeded, part, num_boost_round=settings.rounds)

    # One thread per booster: the bytes do not depend on the machine's cores.
    with ThreadPoolExecutor(cpu_count()) as pool:
        boosters = tuple(pool.map(member, range(settings.members)))
    return Propensity(boosters, tuple(inputs), horizons, horizon_days, Calibration())


def _stack(
    snapshots: pl.DataFrame, outcomes: pl.DataFrame, horizons: Sequence[int], inputs: list[str]
) -> tuple[NDArray[np.int64], Array, Array]:
    """Repeat each snapshot for every horizon whose window is complete."""
    matrix = snapshots.select(inputs).to_numpy()
    rows, labels, columns = [], [], []
    for horizon in horizons:
        label = outcomes.select(expanded(horizon).alias("y"))["y"]
        known = np.flatnonzero(label.is_not_null().to_numpy())
        rows.append(known)
        labels.append(label.drop_nulls().to_numpy().astype(np.float64))
        columns.append(np.full(len(known), float(horizon)))
    kept = np.concatenate(rows)
    stacked = matrix[kept]
    if len(horizons) > 1:
        stacked = np.column_stack([stacked, np.concatenate(columns)])
    return kept, stacked, np.concatenate(labels)


def _refuse_too_few(outcomes: pl.DataFrame, horizon_days: int) -> None:
    label = outcomes.select(expanded(horizon_days).alias("y"))["y"].drop_nulls()
    if label.is_empty():
        raise HistoryError(
            f"no snapshot has a complete window of {horizon_days} days yet; a longer history is"
            " needed before a model can be trained."
        )
    found = int(label.sum())
    if not _FEWEST_EXPANSIONS <= found <= len(label) - _FEWEST_EXPANSIONS:
        raise HistoryError(
            f"{found:,} of {len(label):,} complete windows of {horizon_days} days hold an"
            f" expansion; at least {_FEWEST_EXPANSIONS} with and {_FEWEST_EXPANSIONS} without one"
            " are needed. See how expansions are recorded with `expansion check`."
        )


def _parameters(settings: Model, names: Sequence[str], stacked: int) -> dict[str, object]:
    direction = _directions(settings.held) | {"horizon_days": 1}
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf_rows * stacked,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "monotone_constraints": [direction.get(name, 0) for name in names],
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _directions(held: Sequence[str]) -> dict[str, int]:
    """How each held feature is expected to act."""
    free = sorted(name for name in held if name not in by_name or not by_name[name].direction)
    if free:
        known = ", ".join(feature.name for feature in FEATURES if feature.direction)
        raise SettingsError(
            f"model.held names {', '.join(free)}, of which the catalogue expects no direction."
            f" It expects one of: {known}."
        )
    return {name: by_name[name].direction for name in held}


def _bootstraps(expansions: Array, members: int, seed: int) -> NDArray[np.int64]:
    """Draw accounts with replacement for each member: how often each account is in it.

    A draw in which no account ever expanded teaches nothing and is drawn again.
    """
    rng, accounts = np.random.default_rng(seed), len(expansions)
    draws = rng.integers(accounts, size=(members, accounts))
    while (barren := ~expansions[draws].any(axis=1)).any():
        draws[barren] = rng.integers(accounts, size=(barren.sum(), accounts))
    return np.stack([np.bincount(draw, minlength=accounts) for draw in draws])
