"""Cross-validated loss of a hyper-parameter setting, per account, so that settings can be compared.

Inner folds walk forward through the data known at an end: each trains on what was known at its
cutoff and is tested on what was known at the end. Losses are summed per account, because snapshots
of one account are correlated; this gives differences an honest standard error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import ModelConfig, OutcomeConfig
from data.errors import HistoryError
from training import labels
from training.evaluation import splits
from training.model import propensity
from training.model.propensity import Propensity

__all__ = ["InnerCV", "InnerFold", "build_inner_cv", "compute_account_losses", "predict_curve"]

_N_FOLDS = 3
_MIN_CLASS_COUNT = 10  # positives and negatives needed for training and for testing
_EPSILON = 1e-6

Array = NDArray[np.float64]
Labels = Mapping[int, Array]


@dataclass(frozen=True)
class InnerFold:
    """One inner fold: its training set, and the outcomes of its test snapshots.

    Attributes
    ----------
    account : numpy.ndarray of int, shape (n_test,)
        Codes shared by all folds.
    labels : mapping of int to numpy.ndarray, shape (n_test,)
        Horizon in days → 1 where the account expanded within it, 0 where not, NaN while unknown.
    base_rates : mapping of int to float
        Horizon in days → rate in the training set, which normalises both losses.
    """

    cutoff: date
    training_set: splits.TrainingSet
    test_snapshots: pl.DataFrame
    account: NDArray[np.int64]
    labels: Labels
    base_rates: Mapping[int, float]

    def __repr__(self) -> str:
        return (
            f"InnerFold(cutoff {self.cutoff}:"
            f" {self.training_set.snapshots.height:,} training snapshots,"
            f" {self.test_snapshots.height:,} test snapshots at {list(self.labels)} days)"
        )


@dataclass(frozen=True)
class InnerCV:
    """Inner folds shared by all settings: at least one, in ascending order.

    ``skipped`` holds the cutoffs that form no fold, with the reason; ``accounts`` is the number of
    test accounts in all folds together.
    """

    folds: tuple[InnerFold, ...]
    skipped: Mapping[date, str]
    accounts: int
    horizon_days: int

    def __repr__(self) -> str:
        skipped = f"; skipped {[str(cutoff) for cutoff in self.skipped]}" if self.skipped else ""
        return f"InnerCV({self.accounts:,} accounts; {list(self.folds)}{skipped})"


def build_inner_cv(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    *,
    end: datetime,
    rules: OutcomeConfig,
    horizons_days: Sequence[int],
) -> InnerCV:
    """Split the second half of the data known by `end` into three walk-forward folds.

    Three at most, so that a trial costs less than three trainings at the end, however long the
    history is. Only what was known before ``end``, UTC, is used. The primary horizon is added to
    the horizons of the cumulative incidence.

    Raises
    ------
    data.errors.HistoryError
        If no fold has enough of both classes to train on and to test on.
    """
    horizons = sorted({*horizons_days, rules.horizon_days})
    labelled_set = splits.build_training_set(snapshots, contracts, end, rules)
    blocks = _split_as_ofs(labelled_set, rules.horizon_days)
    days = [day for block in blocks for day in block]
    account_ids = (
        labelled_set.snapshots.filter(pl.col("as_of").is_in(days))["account_id"].unique().sort()
    )
    folds: list[InnerFold] = []
    skipped: dict[date, str] = {}
    for block in blocks:
        training_set = splits.build_training_set(
            snapshots, contracts, splits.to_utc_midnight(block[0]), rules
        )
        fold = _build_fold(block, training_set, labelled_set, account_ids, horizons)
        missing = _find_missing_classes(training_set, fold, rules.horizon_days)
        if missing is None:
            folds.append(fold)
        else:
            skipped[fold.cutoff] = missing
    if not folds:
        reason = next(iter(skipped.values()), "no window is complete yet")
        raise HistoryError(
            f"too little was known before {end:%Y-%m-%d} to compare settings: {reason}."
        )
    return InnerCV(tuple(folds), skipped, len(account_ids), rules.horizon_days)


def compute_account_losses(fold: InnerFold, inner_cv: InnerCV, settings: ModelConfig) -> Array:
    """Train at a fold's cutoff and compute each account's contribution to the loss.

    The loss is the mean of two: log loss at the primary horizon, and the Brier score integrated
    over the horizons from day 0 [1]_. Each is divided by the loss of the base rate known at the
    cutoff. So both have one scale, 1 is no better than the base rate, and folds can be averaged.
    Predictions are uncalibrated; a model with one horizon has a constant hazard. The result,
    shape (n_accounts,), sums to the loss of the fold.

    Raises
    ------
    data.errors.HistoryError
        If no model can be trained at the cutoff.

    References
    ----------
    .. [1] E. Graf et al., "Assessment and Comparison of Prognostic Classification Schemes for
           Survival Data", Statistics in Medicine 1999.
    """
    horizon_days = inner_cv.horizon_days
    fitted = propensity.fit_propensity(fold.training_set, settings, horizon_days=horizon_days)
    curve, label = predict_curve(fitted, fold), fold.labels[horizon_days]
    base_curve = {h: np.full(len(label), rate) for h, rate in fold.base_rates.items()}
    log_loss = (
        _compute_log_losses(curve[horizon_days], label)
        / _compute_log_losses(base_curve[horizon_days], label).sum()
    )
    brier = (
        _compute_integrated_brier(curve, fold.labels)
        / _compute_integrated_brier(base_curve, fold.labels).sum()
    )
    row_losses = (log_loss + brier) / 2
    return np.bincount(fold.account, row_losses, inner_cv.accounts).astype(np.float64)


def _split_as_ofs(labelled_set: splits.TrainingSet, horizon_days: int) -> list[list[date]]:
    """Split the second half of the as-ofs with matured labels into three blocks."""
    matured = labelled_set.outcomes.filter(labels.expansion_label(horizon_days).is_not_null())
    days = matured["as_of"].unique().sort().to_list()
    later = days[len(days) // 2 :]
    edges = [round(len(later) * part / _N_FOLDS) for part in range(_N_FOLDS + 1)]
    blocks = [later[start:stop] for start, stop in pairwise(edges)]
    return [block for block in blocks if block]


def _build_fold(
    block: list[date],
    training_set: splits.TrainingSet,
    labelled_set: splits.TrainingSet,
    account_ids: pl.Series,
    horizons: Sequence[int],
) -> InnerFold:
    inside = pl.col("as_of").is_in(block)
    test_snapshots = labelled_set.snapshots.filter(inside)
    train_labels = _build_labels(training_set.outcomes, horizons)
    test_labels = _build_labels(labelled_set.outcomes.filter(inside), horizons)
    usable = [
        h
        for h in horizons
        if not any(np.isnan(label[h]).all() for label in (train_labels, test_labels))
    ]
    return InnerFold(
        block[0],
        training_set,
        test_snapshots,
        account_ids.search_sorted(test_snapshots["account_id"]).to_numpy().astype(np.int64),
        {h: test_labels[h] for h in usable},
        {h: float(np.nanmean(train_labels[h])) for h in usable},
    )


def _find_missing_classes(
    training_set: splits.TrainingSet, fold: InnerFold, horizon_days: int
) -> str | None:
    """Return the reason a fold has too few of a class, or None."""
    is_expanded = labels.expansion_label(horizon_days)
    labels_by_part = {
        "in its training set": labels.evaluate_label(training_set.outcomes, is_expanded),
        "in its test months": fold.labels.get(horizon_days, np.empty(0)),
    }
    for part, label in labels_by_part.items():
        positives, negatives = int((label == 1).sum()), int((label == 0).sum())
        if min(positives, negatives) < _MIN_CLASS_COUNT:
            return (
                f"of the windows of {horizon_days} days {part}, {positives:,} contain an expansion"
                f" and {negatives:,} none; {_MIN_CLASS_COUNT} of each are needed"
            )
    return None


def _build_labels(outcome_frame: pl.DataFrame, horizons: Sequence[int]) -> Labels:
    return {h: labels.evaluate_label(outcome_frame, labels.expansion_label(h)) for h in horizons}


def predict_curve(fitted: Propensity, fold: InnerFold) -> dict[int, Array]:
    """Predict P(expansion within h days) at each horizon of the fold."""
    if len(fitted.horizons_days) > 1:
        predictions = fitted.predict_all_horizons(fold.test_snapshots)
        return {h: predictions[h].probability for h in fold.labels}
    survival = np.log1p(-fitted.predict(fold.test_snapshots).probability)
    return {h: -np.expm1(survival * h / fitted.horizon_days) for h in fold.labels}


def _compute_log_losses(probability: Array, label: Array) -> Array:
    clipped = probability.clip(_EPSILON, 1 - _EPSILON)
    losses = -np.where(label > 0, np.log(clipped), np.log1p(-clipped))
    return _normalize_observed(np.where(np.isnan(label), np.nan, losses))


def _compute_integrated_brier(curve: Labels, labels: Labels) -> Array:
    """Compute each row's Brier score integrated from day 0, where it is 0 (trapezoidal rule)."""
    days = np.array([0, *labels])
    width = (np.append(days[2:], days[-1]) - days[:-1]) / 2
    scores = [_normalize_observed((curve[h] - label) ** 2) for h, label in labels.items()]
    return np.asarray(np.tensordot(width, scores, axes=1))


def _normalize_observed(values: Array) -> Array:
    """Compute each row's contribution to the mean over the known values."""
    return np.asarray(np.nan_to_num(values) / (~np.isnan(values)).sum(), dtype=np.float64)
