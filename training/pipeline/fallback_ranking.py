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

from data.config.settings import Settings
from data.errors import HistoryError
from features.catalogue import FEATURE_NAMES
from training import labels
from training.dataset.training_set import (
    build_labels,
    compute_out_of_bag_mean,
    draw_bootstrap_weights,
)
from training.evaluation import (
    baseline_selection,
    baselines,
    probability_bands,
    splits,
    walk_forward,
)
from training.model import calibration, dataframe, horizons
from training.model.calibration import Calibration
from training.model.horizons import HorizonLink
from training.model.logistic import BaggedLogistic, fit_bagged_logistic
from training.model.prediction import Prediction, build_prediction
from training.model.propensity import INPUTS, Array, Snapshots

__all__ = ["CalibratedRanking", "fit_ranking", "train_fallback"]

# What the quantiles of the past do not tell apart, such as values beyond them all, stays apart.
_TIE_BREAK: Final = 1e-6
_KEYS: Final = ("account_id", "as_of")
_MIN_RIDGE: Final = 1e-3  # next to no penalty


@dataclass(frozen=True)
class CalibratedRanking:
    """A simple ranking that states probabilities; it is asked as a model is.

    Attributes
    ----------
    ranking : str
        One of :data:`training.evaluation.baselines.BASELINES`.
    logistic : training.model.logistic.BaggedLogistic
        One regression per member, on the ranking's score.
    horizon_link : training.model.horizons.HorizonLink
        From the horizon of *the* probability to the curve.
    residual_logit_sd : float
        Standard deviation of the log-odds between accounts that look alike.
    calibration : training.model.calibration.Calibration
        The map from margin to probability.
    bands : tuple of mapping
        What became of each band of probability in the past; :func:`training.evaluation.probability_bands.compute_band_calibration`.
    """

    ranking: str
    logistic: BaggedLogistic
    horizon_link: HorizonLink
    residual_logit_sd: float
    calibration: Calibration = field(default_factory=Calibration)
    bands: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return (
            f"Simple({self.ranking}; horizons {list(self.horizons_days)} days; {self.calibration})"
        )

    @property
    def horizons_days(self) -> tuple[int, ...]:
        """The horizons of the curve, rising."""
        return self.horizon_link.days

    @property
    def horizon_days(self) -> int:
        """The horizon of *the* probability."""
        return self.horizon_link.horizon_days

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the ranking reads and that may be told as reasons."""
        columns = baselines.BASELINES[self.ranking].meta.root_names()
        return tuple(name for name in dict.fromkeys(columns) if name in INPUTS)

    def score_snapshots(self, snapshots: Snapshots) -> Array:
        """Score as the ranking itself does; unknown is lowest."""
        rows = dataframe.select_columns(snapshots, [*_KEYS, *FEATURE_NAMES])
        return baselines.score_baselines(rows)[self.ranking].cast(pl.Float64).to_numpy()

    def predict(self, snapshots: Snapshots, horizon_days: int | None = None) -> Prediction:
        """Estimate the probability that each snapshot expands within a horizon.

        Parameters
        ----------
        snapshots : polars.DataFrame or pandas.DataFrame
            Rows of a :class:`features.panel.builder.Panel`: all that are compared with each other.
        horizon_days : int, optional
            Days after the as-of, end excluded; its own horizon by default.

        Returns
        -------
        training.model.prediction.Prediction
            One value per snapshot, in order; a higher score has a higher margin.

        Raises
        ------
        ValueError
            If the curve does not reach so far, or if there is none.
        """
        score = self.score_snapshots(snapshots)
        tie_break = _TIE_BREAK * np.sign(score) * np.log1p(np.abs(score))
        margins = self.logistic.predict_margins(score[:, None]) + tie_break
        days = self.horizon_days if horizon_days is None else horizon_days
        return build_prediction(
            margins, self.calibration, self.residual_logit_sd, self.horizon_link, days
        )

    def predict_all_horizons(self, snapshots: Snapshots) -> dict[int, Prediction]:
        """Estimate at every horizon, its own among them: horizon in days → what it says."""
        return {horizon: self.predict(snapshots, horizon) for horizon in self.horizons_days}

    def predict_cumulative_incidence(self, snapshots: Snapshots) -> Array:
        """P(expansion within h days) for each snapshot and horizon.

        Returns
        -------
        numpy.ndarray, shape (n_snapshots, n_horizons)
            Rising along each row.
        """
        return np.column_stack(
            [each.probability for each in self.predict_all_horizons(snapshots).values()]
        )

    def compute_contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Give what the ranking adds to the margin, on the columns that it was read from.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            Of the limit that is nearer, where the ranking is days to limit; else in equal parts.
        base : numpy.ndarray, shape (n_snapshots,)
            Base + contributions = margin.
        """
        margin = self.predict(snapshots).margin
        base = np.full(len(margin), self.logistic.mean_intercept)
        return (margin - base)[:, None] * self._split_attribution(snapshots), base

    def with_calibration(self, calibration: Calibration) -> "CalibratedRanking":
        """Return the same ranking with another map from margin to probability."""
        return replace(self, calibration=calibration)

    def _split_attribution(self, snapshots: Snapshots) -> Array:
        """What share of the score each column has; each row adds up to 1."""
        columns = dataframe.select_columns(snapshots, self.inputs).cast(pl.Float64).to_numpy()
        present = ~np.isnan(columns)
        if baselines.BASELINES[self.ranking].meta.eq(-baselines.DAYS_TO_LIMIT):
            nearest = np.nanmin(np.where(present, columns, np.inf), axis=1, keepdims=True)
            present &= columns == nearest
        present |= ~present.any(axis=1, keepdims=True)
        return np.asarray(present / present.sum(axis=1, keepdims=True))


def fit_ranking(
    ranking: str, training_set: splits.TrainingSet, settings: Settings
) -> CalibratedRanking:
    """Fit a simple ranking's probability on every window that is complete.

    Parameters
    ----------
    ranking : str
        One of :data:`training.evaluation.baselines.BASELINES`.
    training_set : training.evaluation.splits.TrainingSet
        Snapshots, with the outcomes that a cut knew.
    settings : data.config.settings.Settings
        Horizons, members and seed, as for the model; there is no penalty, on a single column.

    Returns
    -------
    CalibratedRanking
        Uncalibrated; the same data, settings and seed give the same numbers.

    Raises
    ------
    data.errors.HistoryError
        If no window of the horizon is complete, or too few of them hold an expansion, or lack one.
    """
    horizon_days, rules = settings.outcome.horizon_days, settings.model
    labels = build_labels(training_set.outcomes, rules, horizon_days)
    score = baselines.score_baselines(training_set.snapshots)[ranking].cast(pl.Float64).to_numpy()
    bootstrap_weights = draw_bootstrap_weights(training_set.snapshots, labels[horizon_days], rules)
    logistic = fit_bagged_logistic(
        score[:, None],
        labels[horizon_days],
        bootstrap_weights,
        ridge_penalty=_MIN_RIDGE,
        constraints=[1],
    )
    margin = compute_out_of_bag_mean(logistic.predict_margins(score[:, None]), bootstrap_weights)
    horizon_link = horizons.fit_horizon_link(margin, labels, horizon_days)
    return CalibratedRanking(ranking, logistic, horizon_link, rules.residual_logit_sd)


def train_fallback(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, *, end: datetime
) -> CalibratedRanking:
    """Choose the simple ranking that was best on all that is known, and settle its probability.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    settings : data.config.settings.Settings
        Outcome, capacity, model and evaluation.
    end : datetime.datetime
        What is known before this moment, UTC.

    Returns
    -------
    CalibratedRanking
        Calibrated on what it would have said at the cuts of the walk forward, where that helps. The
        ranking itself is chosen in hindsight there.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`fit_ranking`.
    """
    training_set = splits.build_training_set(snapshots, contracts, end, settings.outcome)
    label_expr = labels.expanded_within(settings.outcome.horizon_days)
    ranking = baseline_selection.select_baseline(
        training_set, label_expr, capacity=settings.evaluation.capacity
    )
    fallback = fit_ranking(ranking, training_set, settings)
    try:
        walk_forward_result = walk_forward.run_walk_forward(
            snapshots,
            contracts,
            settings,
            fit=lambda then, seen: fit_ranking(ranking, then, settings).with_calibration(
                _fit_calibration(seen)
            ),
            predict=_predict_fold,
        )
    except HistoryError:  # no cut knew enough expansions
        return fallback
    label = training_set.outcomes.select(*_KEYS, happened=label_expr)
    labelled = walk_forward_result.predictions.join(
        label, on=_KEYS, how="inner", maintain_order="left"
    )
    band_table = probability_bands.compute_band_calibration(
        labelled.rename({"happened": "expanded"}),
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
    )
    return replace(fallback, calibration=_fit_calibration(labelled), bands=tuple(band_table))


def _predict_fold(fold: walk_forward.WalkForwardFold[CalibratedRanking]) -> pl.DataFrame:
    prediction = fold.model.predict(fold.test_snapshots)
    return fold.test_snapshots.select(
        *_KEYS,
        cut=pl.lit(fold.cutoff.date()),
        margin=pl.Series(prediction.margin),
        probability=pl.Series(prediction.probability),
    )


def _fit_calibration(predictions: pl.DataFrame | None) -> Calibration:
    if predictions is None:
        return Calibration()
    labelled = predictions.drop_nulls("happened")
    outcome = labelled["happened"].to_numpy().astype(np.float64)
    account = labelled["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    margin, cut = labelled["margin"].to_numpy(), labelled["cut"].to_list()
    return calibration.fit_affine_calibration(margin, outcome, cut, account)
