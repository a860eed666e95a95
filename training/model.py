"""The curve: LightGBM and ridge regressions at one horizon, and two numbers for every other.

What ranks accounts is learned at the horizon of *the* probability; every other horizon is an offset
and a slope of its log-odds (:mod:`training.horizons`). So one model gives the whole curve
P(expansion within h days), it never crosses itself, and TreeSHAP explains the number that is shown.

A member is a booster and a regression fitted on the same bootstrap of accounts. They are blended as
log-odds: margins add, so contributions do. Of rare outcomes the mean of log-odds expects too few,
the more so the less the members agree; one number, added to every margin, makes that good.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from data.errors import SettingsError
from data.settings import Model
from features.catalogue import FEATURES, by_name
from training import frames, horizons, linear, samples, trees
from training.calibration import Calibration
from training.estimate import Estimate, stated
from training.horizons import Horizons
from training.linear import Linear
from training.outcomes import expanded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INPUTS", "Propensity", "fit"]

# Logins, tickets and NPS look like expansion and are not: the model never sees them.
INPUTS: tuple[str, ...] = tuple(f.name for f in FEATURES if f.family != "controls")
_FURTHEST = 10.0  # log-odds that margins may be off at most

Array = NDArray[np.float64]
Snapshots: TypeAlias = "pl.DataFrame | pd.DataFrame"


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
    horizons : training.horizons.Horizons
        From the horizon of *the* probability to the curve.
    unseen_spread : float
        Standard deviation of the log-odds between accounts that look alike.
    linear_share : float
        The regressions' share of the margin, in [0, 1].
    correction : float
        Log-odds added to every margin.
    calibration : training.calibration.Calibration
        The map from margin to probability.
    """

    boosters: tuple[lgb.Booster, ...]
    linear: Linear
    inputs: tuple[str, ...]
    horizons: Horizons
    unseen_spread: float
    linear_share: float
    correction: float
    calibration: Calibration

    def __repr__(self) -> str:
        return (
            f"Propensity({len(self.boosters)} boosters of {self.boosters[0].num_trees()} trees,"
            f" {self.linear_share:.0%} regression, on {len(self.inputs)} features;"
            f" horizons {list(self.horizons_days)} days;"
            f" {self.calibration})"
        )

    @property
    def horizons_days(self) -> tuple[int, ...]:
        """The horizons of the curve, rising."""
        return self.horizons.days

    @property
    def horizon_days(self) -> int:
        """The horizon of *the* probability."""
        return self.horizons.horizon_days

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

        Raises
        ------
        ValueError
            If the curve does not reach so far, or if there is none.
        """
        asked = self.horizon_days if horizon_days is None else horizon_days
        return next(self._estimated(snapshots, (asked,)))

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
            Expected margin; base + contributions = margin.
        """
        matrix = frames.taken(snapshots, self.inputs).to_numpy()
        added = np.zeros((len(matrix), len(self.inputs) + 1))
        for parts in trees.asked(self.boosters, matrix, pred_contrib=True):
            added += parts
        mean = added / len(self.boosters)
        told = self._blend(mean[:, :-1], self.linear.contributions(matrix))
        level = np.full(len(matrix), self.linear.level)
        return told, self._blend(mean[:, -1], level) + self.correction

    def calibrated(self, calibration: Calibration) -> "Propensity":
        """Return the same model with another map from margin to probability."""
        return replace(self, calibration=calibration)

    def _blend(self, boosted: Array, regressed: Array) -> Array:
        return (1 - self.linear_share) * boosted + self.linear_share * regressed

    def _margins(self, matrix: Array) -> tuple[Array, Array]:
        """Log-odds of each booster and of each regression, both (n_members, n_snapshots)."""
        boosted = np.stack(list(trees.asked(self.boosters, matrix, raw_score=True)))
        return boosted + self.correction, self.linear.margins(matrix) + self.correction

    def _estimated(self, snapshots: Snapshots, horizons_days: Sequence[int]) -> Iterator[Estimate]:
        """Say it of each horizon; the members look at the rows once."""
        matrix = frames.taken(snapshots, self.inputs).to_numpy()
        both = self._margins(matrix)
        margins = self._blend(*both)
        for days in horizons_days:
            found = stated(margins, self.calibration, self.unseen_spread, self.horizons, days)
            boosted, regressed = (self.horizons.at(each, days).mean(axis=0) for each in both)
            yield replace(found, trees_margin=boosted, linear_margin=regressed)


def fit(
    snapshots: pl.DataFrame,
    outcomes: pl.DataFrame,
    settings: Model,
    *,
    horizon_days: int,
    inputs: Sequence[str] = INPUTS,
    happened: Callable[[int], pl.Expr] = expanded,
    linear_share: float | None = None,
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
    linear_share : float, optional
        The regressions' share of the margin; by default that of :func:`training.linear.share`. The
        level and the other horizons are fitted to margins that are blended so.

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
    matrix, label = snapshots.select(inputs).to_numpy(), labels[horizon_days]
    draws = samples.bootstraps(snapshots, label, settings)
    if linear_share is None:
        linear_share = linear.share(snapshots["account_id"], label, settings.linear_accounts)
    held = _directions(settings.held)
    directions = [held.get(name, 0) for name in inputs]
    fitted = Propensity(
        boosters=trees.fit(
            matrix, label, draws, names=inputs, settings=settings, directions=directions
        ),
        linear=linear.fit(matrix, label, draws, ridge=settings.ridge, directions=directions),
        inputs=tuple(inputs),
        horizons=Horizons(horizon_days, {horizon_days: (0.0, 1.0)}),
        unseen_spread=settings.unseen_spread,
        linear_share=linear_share,
        correction=0.0,
        calibration=Calibration(),
    )
    rows = samples.spread(len(matrix))
    margins = fitted._blend(*fitted._margins(matrix[rows]))
    margin = samples.held_out(margins, [draw[rows] for draw in draws])
    known = {days: each[rows] for days, each in labels.items()}
    correction = _correction(margin, known[horizon_days])
    fitted = replace(fitted, correction=correction)
    if len(labels) == 1:
        return fitted
    return replace(fitted, horizons=horizons.fit(margin + correction, known, horizon_days))


def _correction(margin: Array, label: Array) -> float:
    """What to add to margins of rows that were not shown, to expect as many as happened."""
    known = ~np.isnan(label)
    happened = float(label[known].sum())
    if not 0 < happened < known.sum():
        return 0.0  # too few of the rows that were asked about

    def excess(added: float) -> float:
        return float(expit(margin[known] + added).sum()) - happened

    return float(brentq(excess, -_FURTHEST, _FURTHEST))


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
