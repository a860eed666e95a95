"""The curve: a LightGBM classifier conditioned on the horizon, blended with a ridge regression.

Each training snapshot appears once per horizon whose window is complete, with the horizon as a
column under a monotone constraint. So one model gives the whole curve P(expansion within h days),
it never crosses itself, and TreeSHAP at the shown horizon explains the number that is shown. With a
single horizon this is the plain classifier.

A member is a booster and a regression fitted on the same bootstrap of accounts. They are blended as
log-odds: margins add, so contributions do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit

from data.errors import SettingsError
from data.settings import Model
from features.catalogue import FEATURES, by_name
from training import frames, linear, samples, trees
from training.calibration import Calibration
from training.linear import Linear
from training.outcomes import expanded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INPUTS", "Estimate", "Propensity", "fit", "stated"]

# Logins, tickets and NPS look like expansion and are not: the model never sees them.
INPUTS: tuple[str, ...] = tuple(f.name for f in FEATURES if f.family != "controls")
_NINETY = 1.2815515655446004  # standard normal quantile of 0.9: an interval of 80 %

Array = NDArray[np.float64]
Snapshots: TypeAlias = "pl.DataFrame | pd.DataFrame"


@dataclass(frozen=True)
class Estimate:
    """What the model says of each snapshot at one horizon; every array has a value per snapshot.

    Attributes
    ----------
    margin : numpy.ndarray
        Mean log-odds of the members, before calibration: what ranks and what is explained.
    probability, low, high : numpy.ndarray
        Calibrated, with an 80 % interval: of what the members disagree on, and of how much accounts
        differ that look alike.
    trees_margin, linear_margin : numpy.ndarray
        The two that were blended.
    """

    margin: Array
    probability: Array
    low: Array
    high: Array
    trees_margin: Array
    linear_margin: Array

    def __repr__(self) -> str:
        stated = self.probability
        if not len(stated):
            return "Estimate(of no snapshot)"
        return (
            f"Estimate(of {len(stated):,} snapshots: probability {stated.min():.1%} to"
            f" {stated.max():.1%}, mean {stated.mean():.1%})"
        )


@dataclass(frozen=True)
class Propensity:
    """A fitted model.

    Attributes
    ----------
    boosters : tuple of lightgbm.Booster
        One per member.
    linear : training.linear.Linear
        One regression per member.
    inputs : tuple of str
        The columns they read.
    horizons_days : tuple of int
        Learned together, rising.
    horizon_days : int
        That of *the* probability.
    unseen_spread : float
        Standard deviation of the log-odds between accounts that look alike.
    linear_share : float
        The regressions' share of the margin, in [0, 1].
    calibration : training.calibration.Calibration
        The map from margin to probability.
    """

    boosters: tuple[lgb.Booster, ...]
    linear: Linear
    inputs: tuple[str, ...]
    horizons_days: tuple[int, ...]
    horizon_days: int
    unseen_spread: float
    linear_share: float
    calibration: Calibration

    def __repr__(self) -> str:
        return (
            f"Propensity({len(self.boosters)} boosters of {self.boosters[0].num_trees()} trees,"
            f" {self.linear_share:.0%} regression, on {len(self.inputs)} features;"
            f" horizons {list(self.horizons_days)} days;"
            f" {self.calibration})"
        )

    @cached_property
    def _stacked(self) -> bool:
        return len(self.horizons_days) > 1

    def estimate(self, snapshots: Snapshots, horizon_days: int | None = None) -> Estimate:
        """Estimate the probability that each snapshot expands within a horizon.

        Parameters
        ----------
        snapshots : polars.DataFrame or pandas.DataFrame
            Rows of a :class:`features.panel.Panel`.
        horizon_days : int, optional
            Days after the as-of, end excluded; the model's own horizon by default.

        Returns
        -------
        Estimate
            One value per snapshot, in order.
        """
        horizon = horizon_days or self.horizon_days
        if not self._stacked and horizon != self.horizons_days[0]:
            raise ValueError(
                f"a plain model knows {self.horizons_days[0]} days only, not {horizon}"
            )
        return next(self._estimated(snapshots, (horizon,)))

    def estimates(self, snapshots: Snapshots) -> dict[int, Estimate]:
        """Estimate at every horizon at once, its own among them; cheaper than one by one.

        Returns
        -------
        dict of int to Estimate
            Horizon in days → what :meth:`estimate` says of it, to the bit.
        """
        found = self._estimated(snapshots, self.horizons_days)
        return dict(zip(self.horizons_days, found, strict=True))

    def curve(self, snapshots: Snapshots) -> Array:
        """P(expansion within h days) for each snapshot and horizon.

        Returns
        -------
        numpy.ndarray, shape (n_snapshots, n_horizons)
            Rising along each row.
        """
        return np.column_stack([each.probability for each in self.estimates(snapshots).values()])

    def contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Exact contributions to the margin that is shown: TreeSHAP, and the regression's terms.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            Mean over the members; margins add, so contributions do.
        base : numpy.ndarray, shape (n_snapshots,)
            Expected margin, with the horizon's own part; base + contributions = margin.
        """
        matrix = frames.taken(snapshots, self.inputs).to_numpy()
        stacked = self._stack(matrix, self.horizon_days)
        added = np.zeros((len(stacked), stacked.shape[1] + 1))
        for parts in trees.asked(self.boosters, stacked, pred_contrib=True):
            added += parts
        mean, inputs = added / len(self.boosters), len(self.inputs)
        told = self._blend(mean[:, :inputs], self.linear.contributions(matrix))
        level = np.full(len(matrix), self.linear.level(self.horizon_days))
        return told, self._blend(mean[:, inputs:].sum(axis=1), level)

    def calibrated(self, calibration: Calibration) -> "Propensity":
        """Return the same model with another map from margin to probability."""
        return replace(self, calibration=calibration)

    def blended(self, linear_share: float) -> "Propensity":
        """Return the same model with another share of the regressions."""
        return replace(self, linear_share=linear_share)

    def _blend(self, boosted: Array, regressed: Array) -> Array:
        return (1 - self.linear_share) * boosted + self.linear_share * regressed

    def _estimated(self, snapshots: Snapshots, horizons: Sequence[int]) -> Iterator[Estimate]:
        """Say it of each horizon; only the boosters have to look at the rows again."""
        matrix = frames.taken(snapshots, self.inputs).to_numpy()
        bare = self.linear.bare_margins(matrix)
        for horizon in horizons:
            boosted = self._boosted(self._stack(matrix, horizon))
            linear = bare + self.linear.levels(horizon)
            margins = self._blend(boosted, linear)
            found = stated(margins, self.calibration, self.unseen_spread)
            yield replace(
                found, trees_margin=boosted.mean(axis=0), linear_margin=linear.mean(axis=0)
            )

    def _boosted(self, stacked: Array) -> Array:
        """Log-odds of each booster, (n_members, n_snapshots)."""
        return np.stack(list(trees.asked(self.boosters, stacked, raw_score=True)))

    def _stack(self, matrix: Array, horizon_days: int) -> Array:
        return trees.with_horizon(matrix, horizon_days) if self._stacked else matrix


def stated(margins: Array, calibration: Calibration, unseen_spread: float) -> Estimate:
    """Say what margins come to.

    Parameters
    ----------
    margins : numpy.ndarray, shape (n_members, n_snapshots)
        Log-odds before calibration.
    calibration : training.calibration.Calibration
        The map from margin to probability.
    unseen_spread : float
        Standard deviation of the log-odds between accounts that look alike.
    """
    mean = margins.mean(axis=0)
    spread = np.hypot(calibration.slope * margins.std(axis=0, ddof=1), unseen_spread)
    probability = calibration.probability(mean)
    low, high = _interval(logit(probability), spread)
    return Estimate(mean, probability, low, high, mean, mean)


def fit(
    snapshots: pl.DataFrame,
    outcomes: pl.DataFrame,
    settings: Model,
    *,
    horizon_days: int,
    inputs: Sequence[str] = INPUTS,
    happened: Callable[[int], pl.Expr] = expanded,
) -> Propensity:
    """Fit boosters and regressions on every window that is complete.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    outcomes : polars.DataFrame
        :func:`training.outcomes.build` of the same rows, read at the cut.
    settings : data.settings.Model
        Horizons, members, and the learners' own settings.
    horizon_days : int
        The horizon of *the* probability; joins the horizons.
    inputs : sequence of str
        Columns the model may read.
    happened : callable
        From a horizon in days to whether it happened within it, null while that is unknown:
        :func:`training.outcomes.expanded` or :func:`training.outcomes.churned`.

    Returns
    -------
    Propensity
        Uncalibrated; the same data, settings and seed give the same bytes.

    Raises
    ------
    data.errors.HistoryError
        If no window of the horizon is complete, or too few of them hold an expansion, or lack one.
    """
    labels = samples.labels(outcomes, settings, horizon_days, happened)
    matrix = snapshots.select(inputs).to_numpy()
    draws = samples.bootstraps(snapshots, labels, settings)
    held = _directions(settings.held)
    directions = [held.get(name, 0) for name in inputs]
    return Propensity(
        boosters=trees.fit(
            matrix, labels, draws, names=inputs, settings=settings, directions=directions
        ),
        linear=linear.fit(
            matrix,
            labels,
            draws,
            horizon_days=horizon_days,
            ridge=settings.ridge,
            directions=directions,
        ),
        inputs=tuple(inputs),
        horizons_days=tuple(labels),
        horizon_days=horizon_days,
        unseen_spread=settings.unseen_spread,
        linear_share=settings.linear_share,
        calibration=Calibration(),
    )


def _interval(log_odds: Array, spread: Array) -> tuple[Array, Array]:
    """Bounds of 80 % of the accounts whose mean probability has these log-odds.

    If the log-odds of such accounts are normal around a centre, the centre lies further out than
    the log-odds of the mean: by the probit approximation [1]_, and for rare outcomes, where the
    normal becomes a log-normal, by half the variance.

    References
    ----------
    .. [1] D. MacKay, "The Evidence Framework Applied to Classification Networks", 1992.
    """
    probit = np.abs(log_odds) * np.sqrt(1 + np.pi * spread**2 / 8)
    centre = np.sign(log_odds) * np.minimum(probit, np.abs(log_odds) + spread**2 / 2)
    low, high = expit(centre - _NINETY * spread), expit(centre + _NINETY * spread)
    probability = expit(log_odds)
    return np.minimum(low, probability), np.maximum(high, probability)


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
