"""Fallback ranking: the best baseline with a calibrated probability, served while no model passes.

Each member is a logistic regression on the baseline's score, constrained to increase with it. The
list keeps the baseline's order, and all other outputs have the same interface as the model's.
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

# Keeps scores distinct that the quantile mapping would merge, such as values beyond the range.
_TIE_BREAK: Final = 1e-6
_KEYS: Final = ("account_id", "as_of")
_MIN_RIDGE: Final = 1e-3  # nearly unpenalised


@dataclass(frozen=True)
class CalibratedRanking:
    """A baseline ranking with calibrated probabilities; it has the interface of a propensity model.

    Attributes
    ----------
    ranking : str
        A key of :data:`training.evaluation.baselines.BASELINES`.
    logistic : training.model.logistic.BaggedLogistic
        One regression per member, on the ranking's score.
    horizon_link : training.model.horizons.HorizonLink
        Maps the primary horizon to all others.
    residual_logit_sd : float
        Standard deviation of the log-odds between accounts with equal features.
    calibration : training.model.calibration.Calibration
        Map from margin to probability.
    bands : tuple of mapping
        Past calibration of each probability band;
        :func:`training.evaluation.probability_bands.compute_band_calibration`.
    """

    ranking: str
    logistic: BaggedLogistic
    horizon_link: HorizonLink
    residual_logit_sd: float
    calibration: Calibration = field(default_factory=Calibration)
    bands: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return (
            f"CalibratedRanking({self.ranking}; horizons {list(self.horizons_days)} days;"
            f" {self.calibration})"
        )

    @property
    def horizons_days(self) -> tuple[int, ...]:
        """Horizons of the cumulative incidence, ascending."""
        return self.horizon_link.days

    @property
    def horizon_days(self) -> int:
        """The primary horizon."""
        return self.horizon_link.horizon_days

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the ranking reads and that may serve as reasons."""
        columns = baselines.BASELINES[self.ranking].meta.root_names()
        return tuple(name for name in dict.fromkeys(columns) if name in INPUTS)

    def score_snapshots(self, snapshots: Snapshots) -> Array:
        """Compute the baseline's score; missing values rank last."""
        rows = dataframe.select_columns(snapshots, [*_KEYS, *FEATURE_NAMES])
        return baselines.score_baselines(rows)[self.ranking].cast(pl.Float64).to_numpy()

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
        training.model.prediction.Prediction
            One value per snapshot, in order; a higher score has a higher margin.

        Raises
        ------
        ValueError
            If the horizon exceeds the longest one, or the model has a single horizon.
        """
        score = self.score_snapshots(snapshots)
        tie_break = _TIE_BREAK * np.sign(score) * np.log1p(np.abs(score))
        margins = self.logistic.predict_margins(score[:, None]) + tie_break
        days = self.horizon_days if horizon_days is None else horizon_days
        return build_prediction(
            margins, self.calibration, self.residual_logit_sd, self.horizon_link, days
        )

    def predict_all_horizons(self, snapshots: Snapshots) -> dict[int, Prediction]:
        """Predict at every horizon: horizon in days → prediction."""
        return {horizon: self.predict(snapshots, horizon) for horizon in self.horizons_days}

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

    def compute_contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Split the margin over the columns that the baseline reads.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            All on the nearer limit where the baseline is days to limit; else in equal parts.
        base : numpy.ndarray, shape (n_snapshots,)
            Base + contributions = margin.
        """
        margin = self.predict(snapshots).margin
        base = np.full(len(margin), self.logistic.mean_intercept)
        return (margin - base)[:, None] * self._split_attribution(snapshots), base

    def with_calibration(self, calibration: Calibration) -> "CalibratedRanking":
        """Return the same ranking with another calibration."""
        return replace(self, calibration=calibration)

    def _split_attribution(self, snapshots: Snapshots) -> Array:
        """Compute each column's share of the score; each row adds up to 1."""
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
    """Fit a baseline's probability on all complete windows.

    Parameters
    ----------
    ranking : str
        A key of :data:`training.evaluation.baselines.BASELINES`.
    training_set : TrainingSet
        Snapshots with the outcomes known at a cutoff.
    settings : data.config.settings.Settings
        Horizons, ensemble size and seed, as for the model; the single column is not penalised.

    Returns
    -------
    CalibratedRanking
        Uncalibrated; the same data, settings and seed give the same numbers.

    Raises
    ------
    data.errors.HistoryError
        If no window of the primary horizon is complete, or one class is too rare.
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
    """Select the best baseline on all known outcomes and calibrate its probability.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        The subscription timeline.
    settings : data.config.settings.Settings
        Outcome, capacity, model and evaluation.
    end : datetime.datetime
        Only what is known before this moment, UTC, is used.

    Returns
    -------
    CalibratedRanking
        Calibrated on its walk-forward predictions, where that improves log loss. The baseline
        itself is selected in hindsight.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`fit_ranking`.
    """
    training_set = splits.build_training_set(snapshots, contracts, end, settings.outcome)
    label_expr = labels.expansion_label(settings.outcome.horizon_days)
    ranking = baseline_selection.select_baseline(
        training_set, label_expr, capacity=settings.evaluation.capacity
    )
    fallback = fit_ranking(ranking, training_set, settings)
    try:
        walk_forward_result = walk_forward.run_walk_forward(
            snapshots,
            contracts,
            settings,
            fit=lambda fold_set, past_predictions: fit_ranking(
                ranking, fold_set, settings
            ).with_calibration(_fit_calibration(past_predictions)),
            predict=_predict_fold,
        )
    except HistoryError:  # no cutoff has enough expansions
        return fallback
    label = training_set.outcomes.select(*_KEYS, label=label_expr)
    labelled = walk_forward_result.predictions.join(
        label, on=_KEYS, how="inner", maintain_order="left"
    )
    band_table = probability_bands.compute_band_calibration(
        labelled.rename({"label": "expanded"}),
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
    )
    return replace(fallback, calibration=_fit_calibration(labelled), bands=tuple(band_table))


def _predict_fold(fold: walk_forward.WalkForwardFold[CalibratedRanking]) -> pl.DataFrame:
    prediction = fold.model.predict(fold.test_snapshots)
    return fold.test_snapshots.select(
        *_KEYS,
        cutoff=pl.lit(fold.cutoff.date()),
        margin=pl.Series(prediction.margin),
        probability=pl.Series(prediction.probability),
    )


def _fit_calibration(predictions: pl.DataFrame | None) -> Calibration:
    if predictions is None:
        return Calibration()
    labelled = predictions.drop_nulls("label")
    outcome = labelled["label"].to_numpy().astype(np.float64)
    account = labelled["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    margin, cutoff = labelled["margin"].to_numpy(), labelled["cutoff"].to_list()
    return calibration.fit_affine_calibration(margin, outcome, cutoff, account)
