"""Propensity model: a bagged blend of LightGBM and ridge logistic regression.

The ranking is learned at the primary horizon. Every other horizon is an offset and a slope of its
log-odds (:mod:`training.model.horizons`). One model thus gives the cumulative incidence
P(expansion within h days), which is monotone in h, and TreeSHAP explains the displayed number.

A member is a booster and a regression fitted on the same account bootstrap. They are blended as
log-odds, so contributions add up. For rare outcomes the mean of log-odds underestimates the rate,
more so the more the members disagree. One constant added to every margin corrects this.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from data.config.settings import ModelConfig
from data.errors import SettingsError
from features.catalogue import FEATURES, FEATURES_BY_NAME
from training.dataset.training_set import (
    TrainingSet,
    build_labels,
    compute_out_of_bag_mean,
    draw_bootstrap_weights,
    sample_evenly_spaced_rows,
)
from training.labels import expansion_label
from training.model import horizons, logistic
from training.model.calibration import Calibration
from training.model.gbm import fit_boosters, predict_parallel
from training.model.horizons import HorizonLink
from training.model.logistic import BaggedLogistic
from training.model.prediction import HorizonModel, Prediction, Snapshots, select_columns

__all__ = ["INPUTS", "Propensity", "fit_propensity"]

# Logins, tickets and NPS correlate with expansion without causing it: never model inputs.
INPUTS: tuple[str, ...] = tuple(f.name for f in FEATURES if f.family != "controls")
_MAX_CORRECTION = 10.0  # largest correction, in log-odds

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Propensity(HorizonModel):
    """A fitted propensity model.

    Attributes
    ----------
    boosters : tuple of lightgbm.Booster
        One per member.
    logistic : training.model.logistic.BaggedLogistic
        One regression per member.
    inputs : tuple of str
        Feature columns.
    blend_weight : float
        Weight of the regressions in the margin, in [0, 1].
    correction : float
        Log-odds added to every margin.
    """

    boosters: tuple[lgb.Booster, ...]
    logistic: BaggedLogistic
    inputs: tuple[str, ...]
    blend_weight: float
    correction: float

    def __repr__(self) -> str:
        return (
            f"Propensity({len(self.boosters)} boosters of {self.boosters[0].num_trees()} trees,"
            f" {self.blend_weight:.0%} regression, on {len(self.inputs)} features;"
            f" horizons {list(self.horizons_days)} days;"
            f" {self.calibration})"
        )

    def compute_contributions(self, snapshots: Snapshots) -> tuple[Array, Array]:
        """Compute exact additive contributions to the margin: TreeSHAP and the regression terms.

        Returns
        -------
        contributions : numpy.ndarray, shape (n_snapshots, n_inputs)
            Mean over the members.
        base : numpy.ndarray, shape (n_snapshots,)
            Expected margin; base + contributions = margin.
        """
        matrix = select_columns(snapshots, self.inputs).to_numpy()
        total = np.zeros((len(matrix), len(self.inputs) + 1))
        for parts in predict_parallel(self.boosters, matrix, pred_contrib=True):
            total += parts
        mean = total / len(self.boosters)
        contributions = self._blend_margins(
            mean[:, :-1], self.logistic.compute_contributions(matrix)
        )
        intercepts = np.full(len(matrix), self.logistic.mean_intercept)
        return contributions, self._blend_margins(mean[:, -1], intercepts) + self.correction

    def _blend_margins(self, gbm: Array, logistic: Array) -> Array:
        return (1 - self.blend_weight) * gbm + self.blend_weight * logistic

    def _predict_margins(self, matrix: Array) -> tuple[Array, Array]:
        """Predict log-odds of each booster and regression, both (n_members, n_snapshots)."""
        gbm = np.stack(list(predict_parallel(self.boosters, matrix, raw_score=True)))
        return gbm + self.correction, self.logistic.predict_margins(matrix) + self.correction

    def _predict_horizons(
        self, snapshots: Snapshots, horizons_days: Sequence[int]
    ) -> Iterator[Prediction]:
        matrix = select_columns(snapshots, self.inputs).to_numpy()
        member_margins = self._predict_margins(matrix)
        margins = self._blend_margins(*member_margins)
        for days in horizons_days:
            gbm, logistic = (
                self.horizon_link.predict_logit(member, days).mean(axis=0)
                for member in member_margins
            )
            yield replace(
                self._build_prediction(margins, days), gbm_margin=gbm, logistic_margin=logistic
            )


def fit_propensity(
    training_set: TrainingSet,
    settings: ModelConfig,
    *,
    horizon_days: int,
    inputs: Sequence[str] = INPUTS,
    build_label: Callable[[int], pl.Expr] = expansion_label,
    blend_weight: float | None = None,
) -> Propensity:
    """Fit boosters and regressions on all complete windows.

    Parameters
    ----------
    horizon_days : int
        The primary horizon; always included.
    build_label : callable
        Maps a horizon in days to a label expression, null while unknown:
        :func:`training.labels.expansion_label` or :func:`training.labels.churn_label`.
    blend_weight : float, optional
        Weight of the regressions in the margin; by default
        :func:`training.model.logistic.compute_default_blend_weight`. The correction and the other
        horizons are fitted to margins blended with it.

    Returns
    -------
    Propensity
        Uncalibrated; the same data, settings and seed give the same bytes.

    Raises
    ------
    data.errors.HistoryError
        If no window of the primary horizon is complete, or one class is too rare.
    """
    labels = build_labels(training_set.outcomes, settings, horizon_days, build_label)
    snapshots = training_set.snapshots
    matrix, label = snapshots.select(inputs).to_numpy(), labels[horizon_days]
    bootstrap_weights = draw_bootstrap_weights(snapshots, label, settings)
    if blend_weight is None:
        blend_weight = logistic.compute_default_blend_weight(
            snapshots["account_id"], label, settings.blend_prior_accounts
        )
    expected_directions = _resolve_monotone_constraints(settings.monotone_features)
    constraints = [expected_directions.get(name, 0) for name in inputs]
    fitted = Propensity(
        boosters=fit_boosters(
            matrix,
            label,
            bootstrap_weights,
            feature_names=inputs,
            settings=settings,
            constraints=constraints,
        ),
        logistic=logistic.fit_bagged_logistic(
            matrix,
            label,
            bootstrap_weights,
            ridge_penalty=settings.ridge_penalty,
            constraints=constraints,
        ),
        inputs=tuple(inputs),
        horizon_link=HorizonLink(horizon_days, {horizon_days: (0.0, 1.0)}),
        residual_logit_sd=settings.residual_logit_sd,
        blend_weight=blend_weight,
        correction=0.0,
        calibration=Calibration(),
    )
    rows = sample_evenly_spaced_rows(len(matrix))
    margins = fitted._blend_margins(*fitted._predict_margins(matrix[rows]))
    margin = compute_out_of_bag_mean(margins, [weights[rows] for weights in bootstrap_weights])
    labels_by_horizon = {days: values[rows] for days, values in labels.items()}
    correction = _fit_mean_correction(margin, labels_by_horizon[horizon_days])
    fitted = replace(fitted, correction=correction)
    if len(labels) == 1:
        return fitted
    return replace(
        fitted,
        horizon_link=horizons.fit_horizon_link(
            margin + correction, labels_by_horizon, horizon_days
        ),
    )


def _fit_mean_correction(margin: Array, label: Array) -> float:
    """Find the constant that makes the mean out-of-bag probability equal the observed rate."""
    labelled = ~np.isnan(label)
    positives = float(label[labelled].sum())
    if not 0 < positives < labelled.sum():
        return 0.0  # the sampled rows contain a single class

    def compute_excess(correction: float) -> float:
        return float(expit(margin[labelled] + correction).sum()) - positives

    return float(brentq(compute_excess, -_MAX_CORRECTION, _MAX_CORRECTION))


def _resolve_monotone_constraints(feature_names: Sequence[str]) -> dict[str, int]:
    """Return the expected direction of each monotone feature."""
    undirected = sorted(
        name
        for name in feature_names
        if name not in FEATURES_BY_NAME or not FEATURES_BY_NAME[name].direction
    )
    if undirected:
        directed = ", ".join(feature.name for feature in FEATURES if feature.direction)
        raise SettingsError(
            f"model.monotone_features contains {', '.join(undirected)}, without an expected"
            f" direction in the catalogue. Choose from: {directed}."
        )
    return {name: FEATURES_BY_NAME[name].direction for name in feature_names}
