"""Fallback ranking: the best baseline with a calibrated probability, served while no model passes.

Each member is a logistic regression on the baseline's score, constrained to increase with it. The
list keeps the baseline's order, and all other outputs have the same interface as the model's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from data.config.settings import ModelConfig, Settings
from data.errors import HistoryError
from features.catalogue import FEATURE_NAMES
from training import labels
from training.dataset.training_set import (
    build_labels,
    compute_out_of_bag_mean,
    draw_bootstrap_weights,
)
from training.evaluation import (
    baselines,
    probability_bands,
    splits,
    walk_forward,
)
from training.model import horizons
from training.model.calibration import Calibration, fit_calibration
from training.model.logistic import BaggedLogistic, fit_bagged_logistic
from training.model.prediction import (
    Array,
    HorizonModel,
    Prediction,
    Snapshots,
    select_columns,
)
from training.model.propensity import INPUTS

__all__ = ["CalibratedRanking", "fit_ranking", "train_fallback"]

# Keeps scores distinct that the quantile mapping would merge, such as values beyond the range.
_TIE_BREAK: Final = 1e-6
_KEYS: Final = ("account_id", "as_of")
_MIN_RIDGE: Final = 1e-3  # nearly unpenalised


@dataclass(frozen=True)
class CalibratedRanking(HorizonModel):
    """A baseline ranking with calibrated probabilities; a higher score has a higher margin.

    Attributes
    ----------
    ranking : str
        A key of :data:`training.evaluation.baselines.BASELINES`.
    logistic : training.model.logistic.BaggedLogistic
        One regression per member, on the ranking's score.
    bands : tuple of mapping
        Past calibration of each probability band;
        :func:`training.evaluation.probability_bands.compute_band_calibration`.
    """

    ranking: str
    logistic: BaggedLogistic
    bands: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return (
            f"CalibratedRanking({self.ranking}; horizons {list(self.horizons_days)} days;"
            f" {self.calibration})"
        )

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the ranking reads and that may serve as reasons."""
        columns = baselines.BASELINES[self.ranking].meta.root_names()
        return tuple(name for name in dict.fromkeys(columns) if name in INPUTS)

    def score_snapshots(self, snapshots: Snapshots) -> Array:
        """Compute the baseline's score; missing values rank last."""
        rows = select_columns(snapshots, [*_KEYS, *FEATURE_NAMES])
        return baselines.score_baselines(rows)[self.ranking].cast(pl.Float64).to_numpy()

    def compute_contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Split the margin over the columns that the baseline reads.

        All of it belongs to the nearer limit where the baseline is days to limit; else the parts
        are equal.
        """
        margin = self.predict(snapshots).margin
        base = np.full(len(margin), self.logistic.mean_intercept)
        return (margin - base)[:, None] * self._split_attribution(snapshots), base

    def _predict_horizons(
        self, snapshots: Snapshots, horizons_days: Sequence[int]
    ) -> Iterator[Prediction]:
        score = self.score_snapshots(snapshots)
        tie_break = _TIE_BREAK * np.sign(score) * np.log1p(np.abs(score))
        margins = self.logistic.predict_margins(score[:, None]) + tie_break
        for days in horizons_days:
            yield self._build_prediction(margins, days)

    def _split_attribution(self, snapshots: Snapshots) -> Array:
        """Compute each column's share of the score; each row adds up to 1."""
        columns = select_columns(snapshots, self.inputs).cast(pl.Float64).to_numpy()
        present = ~np.isnan(columns)
        if baselines.BASELINES[self.ranking].meta.eq(-baselines.DAYS_TO_LIMIT):
            nearest = np.nanmin(np.where(present, columns, np.inf), axis=1, keepdims=True)
            present &= columns == nearest
        present |= ~present.any(axis=1, keepdims=True)
        return np.asarray(present / present.sum(axis=1, keepdims=True))


def fit_ranking(
    ranking: str, training_set: splits.TrainingSet, rules: ModelConfig, *, horizon_days: int
) -> CalibratedRanking:
    """Fit the probability of a baseline, named as in ``BASELINES``, on all complete windows.

    Horizons, ensemble size and seed are as for the model; the single column is not penalised. The
    result is uncalibrated; the same data, settings and seed give the same numbers.

    Raises
    ------
    data.errors.HistoryError
        If no window of the primary horizon is complete, or one class is too rare.
    """
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
    return CalibratedRanking(
        horizon_link=horizon_link,
        residual_logit_sd=rules.residual_logit_sd,
        calibration=Calibration(),
        ranking=ranking,
        logistic=logistic,
    )


def train_fallback(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, *, end: datetime
) -> CalibratedRanking:
    """Select the best baseline on all outcomes known at the end and calibrate its probability.

    It is calibrated on its walk-forward predictions, where that improves log loss. The baseline
    itself is selected in hindsight.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`fit_ranking`.
    """
    training_set = splits.build_training_set(snapshots, contracts, end, settings.outcome)
    label_expr = labels.expansion_label(settings.outcome.horizon_days)
    ranking = baselines.select_baseline(
        training_set, label_expr, capacity=settings.evaluation.capacity
    )

    def fit(fold_set: splits.TrainingSet, past: pl.DataFrame | None) -> CalibratedRanking:
        fitted = fit_ranking(
            ranking, fold_set, settings.model, horizon_days=settings.outcome.horizon_days
        )
        return fitted if past is None else fitted.with_calibration(fit_calibration(past))

    fallback = fit(training_set, None)
    try:
        predictions, _ = walk_forward.run_walk_forward(
            snapshots,
            contracts,
            settings.evaluation,
            settings.outcome,
            fit=fit,
            predict=_predict_fold,
        )
    except HistoryError:  # no cutoff has enough expansions
        return fallback
    label = training_set.outcomes.select(*_KEYS, label=label_expr)
    labelled = predictions.join(label, on=_KEYS, how="inner", maintain_order="left")
    band_table = probability_bands.compute_band_calibration(
        labelled.rename({"label": "expanded"}),
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
    )
    return replace(fallback, calibration=fit_calibration(labelled), bands=tuple(band_table))


def _predict_fold(fold: walk_forward.WalkForwardFold[CalibratedRanking]) -> pl.DataFrame:
    prediction = fold.model.predict(fold.test_snapshots)
    return fold.test_snapshots.select(
        *_KEYS,
        cutoff=pl.lit(fold.cutoff.date()),
        margin=pl.Series(prediction.margin),
        probability=pl.Series(prediction.probability),
    )
