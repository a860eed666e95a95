"""Predictions at a horizon, and the interface that every model of a list has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from training.model.calibration import Calibration
from training.model.horizons import HorizonLink

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HorizonModel", "Prediction", "select_columns"]

_Z_90 = 1.2815515655446004  # standard normal quantile of 0.9, for an 80 % interval

Array = NDArray[np.float64]
Snapshots: TypeAlias = "pl.DataFrame | pd.DataFrame"


@dataclass(frozen=True)
class Prediction:
    """Model output at one horizon; every array has one value per snapshot.

    Attributes
    ----------
    margin : numpy.ndarray
        Mean log-odds of the members before calibration; used to rank and to explain.
    probability, low, high : numpy.ndarray
        Calibrated probability with an 80 % interval. The interval covers the members' disagreement
        and the variation between accounts with equal features.
    gbm_margin, logistic_margin : numpy.ndarray
        The two blended margins.
    """

    margin: Array
    probability: Array
    low: Array
    high: Array
    gbm_margin: Array
    logistic_margin: Array

    def __repr__(self) -> str:
        probability = self.probability
        if not len(probability):
            return "Prediction(0 snapshots)"
        return (
            f"Prediction({len(probability):,} snapshots: probability {probability.min():.1%} to"
            f" {probability.max():.1%}, mean {probability.mean():.1%})"
        )


@dataclass(frozen=True)
class HorizonModel(ABC):
    """Ensemble whose margins at the primary horizon give a probability at every horizon.

    Attributes
    ----------
    horizon_link : training.model.horizons.HorizonLink
        Maps the primary horizon to all others.
    residual_logit_sd : float
        Standard deviation of the log-odds between accounts with equal features.
    calibration : training.model.calibration.Calibration
        Map from margin to probability.
    """

    horizon_link: HorizonLink
    residual_logit_sd: float
    calibration: Calibration

    @property
    def horizons_days(self) -> tuple[int, ...]:
        """Horizons of the cumulative incidence, ascending."""
        return self.horizon_link.days

    @property
    def horizon_days(self) -> int:
        """The primary horizon."""
        return self.horizon_link.horizon_days

    def predict(self, snapshots: Snapshots, horizon_days: int | None = None) -> Prediction:
        """Predict the probability that each snapshot expands within a horizon.

        Parameters
        ----------
        snapshots : polars.DataFrame or pandas.DataFrame
            Rows of a :class:`features.panel.builder.Panel`: all accounts that are compared with
            each other.
        horizon_days : int, optional
            Days after the as-of, end excluded; the primary horizon by default.

        Returns
        -------
        Prediction
            One value per snapshot, in order.

        Raises
        ------
        ValueError
            If the horizon exceeds the longest one, or the model has a single horizon.
        """
        days = self.horizon_days if horizon_days is None else horizon_days
        return next(self._predict_horizons(snapshots, (days,)))

    def predict_all_horizons(self, snapshots: Snapshots) -> dict[int, Prediction]:
        """Predict at every horizon; cheaper than one call per horizon.

        Returns
        -------
        dict of int to Prediction
            Horizon in days → result of :meth:`predict`, bit-identical.
        """
        predictions = self._predict_horizons(snapshots, self.horizons_days)
        return dict(zip(self.horizons_days, predictions, strict=True))

    def predict_cumulative_incidence(self, snapshots: Snapshots) -> Array:
        """Predict P(expansion within h days) for each snapshot and horizon.

        Returns
        -------
        numpy.ndarray, shape (n_snapshots, n_horizons)
            Non-decreasing along each row.
        """
        return np.column_stack(
            [prediction.probability for prediction in self.predict_all_horizons(snapshots).values()]
        )

    @abstractmethod
    def compute_contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Compute additive contributions to the margin.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            Mean over the members.
        base : numpy.ndarray, shape (n_snapshots,)
            Expected margin; base + contributions = margin.
        """

    def with_calibration(self, calibration: Calibration) -> Self:
        """Return the same model with another calibration."""
        return replace(self, calibration=calibration)

    @abstractmethod
    def _predict_horizons(
        self, snapshots: Snapshots, horizons_days: Sequence[int]
    ) -> Iterator[Prediction]:
        """Yield a prediction for each horizon; the members score the rows once."""

    def _build_prediction(self, margins: Array, horizon_days: int) -> Prediction:
        """Convert uncalibrated member margins, (n_members, n_snapshots), to a prediction.

        The calibration is applied before the horizon link, which was fitted as if the margins were
        calibrated at their own horizon.
        """
        predict_logit, to_log_odds = self.horizon_link.predict_logit, self.calibration.to_log_odds
        mean = margins.mean(axis=0)
        members = predict_logit(to_log_odds(margins), horizon_days)
        spread = np.hypot(members.std(axis=0, ddof=1), self.residual_logit_sd)
        log_odds = predict_logit(to_log_odds(mean), horizon_days)
        margin = predict_logit(mean, horizon_days)
        low, high = _compute_interval(log_odds, spread)
        return Prediction(margin, expit(log_odds), low, high, margin, margin)


def select_columns(snapshots: Snapshots, columns: Sequence[str]) -> pl.DataFrame:
    """Select columns from a Polars or pandas frame, in this order; NaN becomes null.

    Examples
    --------
    >>> import pandas as pd
    >>> snapshots = pd.DataFrame({"mrr": [90.0, float("nan")], "plan_rank": [1.0, 2.0]})
    >>> select_columns(snapshots, ["mrr"]).rows()
    [(90.0,), (None,)]
    """
    if isinstance(snapshots, pl.DataFrame):
        return snapshots.select(columns)
    return pl.from_pandas(snapshots[list(columns)])


def _compute_interval(log_odds: Array, spread: Array) -> tuple[Array, Array]:
    """Compute bounds that hold 80 % of the accounts whose mean probability has these log-odds.

    If the log-odds of such accounts are normal, their centre lies further from 0 than the log-odds
    of the mean: by the probit approximation [1]_, and for rare outcomes, where the normal becomes a
    log-normal, by half the variance.

    References
    ----------
    .. [1] D. MacKay, "The Evidence Framework Applied to Classification Networks", 1992.
    """
    probit = np.abs(log_odds) * np.sqrt(1 + np.pi * spread**2 / 8)
    centre = np.sign(log_odds) * np.minimum(probit, np.abs(log_odds) + spread**2 / 2)
    low, high = expit(centre - _Z_90 * spread), expit(centre + _Z_90 * spread)
    probability = expit(log_odds)
    return np.minimum(low, probability), np.maximum(high, probability)
