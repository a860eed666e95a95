"""The best simple ranking with a probability: what is served while no model has earned its place.

One regression per member on the ranking's score alone, held to rise with it. So the list is in the
ranking's own order, and probability, interval, curve, dates and reasons are read as from a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from data.errors import HistoryError
from data.settings import Settings
from features.catalogue import NAMES
from training import (
    bands,
    baselines,
    calibration,
    chosen,
    frames,
    horizons,
    linear,
    outcomes,
    samples,
    splits,
    walk,
)
from training.calibration import Calibration
from training.estimate import Estimate, stated
from training.horizons import Horizons
from training.linear import Linear
from training.model import INPUTS, Array, Snapshots

__all__ = ["Simple", "fit", "train"]

# What the quantiles of the past do not tell apart, such as values beyond them all, stays apart.
_ORDER: Final = 1e-6
_KEYS: Final = ("account_id", "as_of")
_FREE: Final = 1e-3  # next to no penalty


@dataclass(frozen=True)
class Simple:
    """A simple ranking that states probabilities; it is asked as a model is.

    Attributes
    ----------
    ranking : str
        One of :data:`training.baselines.RANKINGS`.
    linear : training.linear.Linear
        One regression per member, on the ranking's score.
    horizons : training.horizons.Horizons
        From the horizon of *the* probability to the curve.
    unseen_spread : float
        Standard deviation of the log-odds between accounts that look alike.
    calibration : training.calibration.Calibration
        The map from margin to probability.
    bands : tuple of mapping
        What became of each band of probability in the past; :func:`training.bands.published`.
    """

    ranking: str
    linear: Linear
    horizons: Horizons
    unseen_spread: float
    calibration: Calibration = field(default_factory=Calibration)
    bands: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return (
            f"Simple({self.ranking}; horizons {list(self.horizons_days)} days; {self.calibration})"
        )

    @property
    def horizons_days(self) -> tuple[int, ...]:
        """The horizons of the curve, rising."""
        return self.horizons.days

    @property
    def horizon_days(self) -> int:
        """The horizon of *the* probability."""
        return self.horizons.horizon_days

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the ranking reads and that may be told as reasons."""
        read = baselines.RANKINGS[self.ranking].meta.root_names()
        return tuple(name for name in dict.fromkeys(read) if name in INPUTS)

    def score(self, snapshots: Snapshots) -> Array:
        """Score as the ranking itself does; unknown is lowest."""
        rows = frames.taken(snapshots, [*_KEYS, *NAMES])
        return baselines.scores(rows)[self.ranking].cast(pl.Float64).to_numpy()

    def estimate(self, snapshots: Snapshots, horizon_days: int | None = None) -> Estimate:
        """Estimate the probability that each snapshot expands within a horizon.

        Parameters
        ----------
        snapshots : polars.DataFrame or pandas.DataFrame
            Rows of a :class:`features.panel.Panel`: all that are compared with each other.
        horizon_days : int, optional
            Days after the as-of, end excluded; its own horizon by default.

        Returns
        -------
        training.estimate.Estimate
            One value per snapshot, in order; a higher score has a higher margin.

        Raises
        ------
        ValueError
            If the curve does not reach so far, or if there is none.
        """
        score = self.score(snapshots)
        apart = _ORDER * np.sign(score) * np.log1p(np.abs(score))
        margins = self.linear.margins(score[:, None]) + apart
        asked = self.horizon_days if horizon_days is None else horizon_days
        return stated(margins, self.calibration, self.unseen_spread, self.horizons, asked)

    def estimates(self, snapshots: Snapshots) -> dict[int, Estimate]:
        """Estimate at every horizon, its own among them: horizon in days → what it says."""
        return {horizon: self.estimate(snapshots, horizon) for horizon in self.horizons_days}

    def curve(self, snapshots: Snapshots) -> Array:
        """P(expansion within h days) for each snapshot and horizon.

        Returns
        -------
        numpy.ndarray, shape (n_snapshots, n_horizons)
            Rising along each row.
        """
        return np.column_stack([each.probability for each in self.estimates(snapshots).values()])

    def contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Give what the ranking adds to the margin, on the columns that it was read from.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            Of the limit that is nearer, where the ranking is days to limit; else in equal parts.
        base : numpy.ndarray, shape (n_snapshots,)
            Base + contributions = margin.
        """
        margin = self.estimate(snapshots).margin
        base = np.full(len(margin), self.linear.level)
        return (margin - base)[:, None] * self._parts(snapshots), base

    def calibrated(self, found: Calibration) -> "Simple":
        """Return the same ranking with another map from margin to probability."""
        return replace(self, calibration=found)

    def _parts(self, snapshots: Snapshots) -> Array:
        """What share of the score each column has; each row adds up to 1."""
        columns = frames.taken(snapshots, self.inputs).cast(pl.Float64).to_numpy()
        told = ~np.isnan(columns)
        if baselines.RANKINGS[self.ranking].meta.eq(-baselines.DAYS_TO_LIMIT):
            nearest = np.nanmin(np.where(told, columns, np.inf), axis=1, keepdims=True)
            told &= columns == nearest
        told |= ~told.any(axis=1, keepdims=True)
        return np.asarray(told / told.sum(axis=1, keepdims=True))


def fit(ranking: str, known: splits.Known, settings: Settings) -> Simple:
    """Fit a simple ranking's probability on every window that is complete.

    Parameters
    ----------
    ranking : str
        One of :data:`training.baselines.RANKINGS`.
    known : training.splits.Known
        Snapshots, with the outcomes that a cut knew.
    settings : data.settings.Settings
        Horizons, members and seed, as for the model; there is no penalty, on a single column.

    Returns
    -------
    Simple
        Uncalibrated; the same data, settings and seed give the same numbers.

    Raises
    ------
    data.errors.HistoryError
        If no window of the horizon is complete, or too few of them hold an expansion, or lack one.
    """
    horizon, rules = settings.outcome.horizon_days, settings.model
    labels = samples.labels(known.outcomes, rules, horizon)
    score = baselines.scores(known.snapshots)[ranking].cast(pl.Float64).to_numpy()
    draws = samples.bootstraps(known.snapshots, labels[horizon], rules)
    regressed = linear.fit(score[:, None], labels[horizon], draws, ridge=_FREE, directions=[1])
    margin = samples.held_out(regressed.margins(score[:, None]), draws)
    curve = horizons.fit(margin, labels, horizon)
    return Simple(ranking, regressed, curve, rules.unseen_spread)


def train(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, *, end: datetime
) -> Simple:
    """Choose the simple ranking that was best on all that is known, and settle its probability.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    settings : data.settings.Settings
        Outcome, capacity, model and evaluation.
    end : datetime.datetime
        What is known before this moment, UTC.

    Returns
    -------
    Simple
        Calibrated on what it would have said at the cuts of the walk forward, where that helps. The
        ranking itself is chosen in hindsight there.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`fit`.
    """
    known = splits.known_at(snapshots, contracts, end, settings.outcome)
    happened = outcomes.expanded(settings.outcome.horizon_days)
    ranking = chosen.best_ranking(known, happened, capacity=settings.evaluation.capacity)
    last = fit(ranking, known, settings)
    try:
        walked = walk.forward(
            snapshots,
            contracts,
            settings,
            learn=lambda then, seen: fit(ranking, then, settings).calibrated(_settled(seen)),
            say=_said,
        )
    except HistoryError:  # no cut knew enough expansions
        return last
    label = known.outcomes.select(*_KEYS, happened=happened)
    judged = walked.predictions.join(label, on=_KEYS, how="inner", maintain_order="left")
    told = bands.published(
        judged.rename({"happened": "expanded"}),
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
    )
    return replace(last, calibration=_settled(judged), bands=tuple(told))


def _said(step: walk.Step[Simple]) -> pl.DataFrame:
    estimate = step.model.estimate(step.judged)
    return step.judged.select(
        *_KEYS,
        cut=pl.lit(step.cut.date()),
        margin=pl.Series(estimate.margin),
        probability=pl.Series(estimate.probability),
    )


def _settled(said: pl.DataFrame | None) -> Calibration:
    if said is None:
        return Calibration()
    known = said.drop_nulls("happened")
    happened = known["happened"].to_numpy().astype(np.float64)
    account = known["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    margin, cut = known["margin"].to_numpy(), known["cut"].to_list()
    return calibration.fit(margin, happened, cut, account)
