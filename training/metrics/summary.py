"""All metrics of a ranking and of a probability, with bootstrap intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics import probability as truth
from training.metrics import ranking
from training.metrics.cluster_bootstrap import (
    Array,
    ClusterBootstrap,
    Codes,
    Metric,
    MetricEstimate,
    compute_percentile_interval,
    factorize_columns,
    ratio_metric,
)
from training.metrics.ranking import precision_at_capacity

__all__ = [
    "LabelledOutcomes",
    "MetricEstimate",
    "compute_metric_change",
    "compute_metrics",
    "compute_paired_differences",
    "compute_precision_gain",
    "label_outcomes",
    "precision_at_capacity",
]


@dataclass(frozen=True)
class LabelledOutcomes:
    """Outcomes of labelled snapshots; all arrays have one value per snapshot.

    Attributes
    ----------
    expanded : numpy.ndarray of bool
        True where the account expanded within the horizon.
    account, as_of : numpy.ndarray of int
        Codes of the account and of the as-of, from 0.
    cutoff : numpy.ndarray of int, optional
        Code of the cutoff of the predicting model, from 0; without it there is a single cutoff.
    arr_added : numpy.ndarray, optional
        Yearly revenue added by the expansion, 0 without one; None if no revenue is known.
    """

    expanded: NDArray[np.bool_]
    account: Codes
    as_of: Codes
    cutoff: Codes | None = None
    arr_added: Array | None = None

    def bootstrap(self, *, resamples: int, seed: int) -> ClusterBootstrap:
        """Resample accounts and cutoffs."""
        return ClusterBootstrap(self.account, self.cutoff, resamples=resamples, seed=seed)


def label_outcomes(labelled: pl.DataFrame) -> LabelledOutcomes:
    """Extract the outcomes of labelled predictions.

    Parameters
    ----------
    labelled : polars.DataFrame
        ``account_id``, ``as_of``, ``cutoff``, ``expanded``; no outcome is null. Optional is
        ``arr_added``; where it is null, it counts as 0.
    """
    account, as_of, cutoff = factorize_columns(*labelled["account_id", "as_of", "cutoff"])
    return LabelledOutcomes(
        labelled["expanded"].to_numpy(), account, as_of, cutoff, _extract_arr_added(labelled)
    )


def _extract_arr_added(labelled: pl.DataFrame) -> Array | None:
    """Return the added revenue, or None if it is unknown for every expansion."""
    if "arr_added" not in labelled.columns:
        return None
    amounts = labelled.filter("expanded")["arr_added"].drop_nulls()
    return None if amounts.is_empty() else labelled["arr_added"].fill_null(0.0).to_numpy()


def compute_metrics(
    score: Array,
    outcomes: LabelledOutcomes,
    *,
    capacity: int,
    resamples: int,
    seed: int,
    probability: Array | None = None,
    reference: Array | None = None,
) -> dict[str, MetricEstimate]:
    """Compute all metrics of a score, with 90 % intervals over accounts and cutoffs.

    Parameters
    ----------
    score : numpy.ndarray, shape (n,)
        Higher ranks first.
    outcomes : LabelledOutcomes
        Outcomes of the snapshots.
    capacity : int
        Accounts a team can contact per as-of.
    resamples : int
        Bootstrap resamples.
    seed : int
        Of the bootstrap; the same for every score, so that scores can be compared.
    probability, reference : numpy.ndarray, optional
        The score's probability and the running base rate, for calibration and skill.

    Returns
    -------
    dict of str to MetricEstimate
        ``auroc``, ``average_precision``, ``precision_at_capacity``, ``recall_at_capacity`` and,
        null where no revenue is known, ``arr_at_capacity``: yearly revenue added within the horizon
        by the accounts within capacity, mean over the as-ofs. With a probability also ``log_loss``,
        ``log_loss_skill``, ``brier``, ``brier_skill``, ``calibration_error``, ``calibration_slope``
        and ``observed_to_expected``.
    """
    resampled = _ResampledMetrics(outcomes, resamples, seed)
    metric_factories: dict[str, Callable[[], Metric]] = {
        "auroc": lambda: ranking.auroc(score, outcomes.expanded),
        "average_precision": lambda: ranking.average_precision(score, outcomes.expanded),
        "precision_at_capacity": lambda: _make_precision_metric(score, outcomes, capacity),
        "recall_at_capacity": lambda: ranking.recall_at_capacity(
            score, outcomes.expanded, outcomes.as_of, capacity
        ),
        "arr_at_capacity": lambda: _make_revenue_metric(score, outcomes, capacity),
    }
    if probability is not None and reference is not None:
        expanded = outcomes.expanded
        predicted = truth.clip_probability(probability)
        base_rate = truth.clip_probability(reference)
        metric_factories |= {
            "log_loss": lambda: truth.log_loss(predicted, expanded),
            "log_loss_skill": lambda: truth.log_loss_skill(predicted, base_rate, expanded),
            "brier": lambda: truth.brier_score(predicted, expanded),
            "brier_skill": lambda: truth.brier_skill_score(predicted, base_rate, expanded),
            "calibration_error": lambda: truth.calibration_error(predicted, expanded),
            "calibration_slope": lambda: truth.bootstrap_calibration_slope(predicted, expanded),
            "observed_to_expected": lambda: truth.observed_to_expected(predicted, expanded),
        }
    return {
        name: compute_percentile_interval(resampled.compute_values(make))
        for name, make in metric_factories.items()
    }


def compute_precision_gain(
    score: Array,
    baseline: Array,
    outcomes: LabelledOutcomes,
    *,
    capacity: int,
    resamples: int,
    seed: int,
) -> MetricEstimate:
    """Compute precision at capacity of a score minus that of a baseline, on the same replicates."""
    differences_by_metric = compute_paired_differences(
        score, baseline, outcomes, capacity=capacity, resamples=resamples, seed=seed
    )
    return compute_percentile_interval(differences_by_metric["precision_at_capacity"])


def compute_paired_differences(
    score: Array,
    baseline: Array,
    outcomes: LabelledOutcomes,
    *,
    capacity: int,
    resamples: int,
    seed: int,
) -> dict[str, Array]:
    """Compute the differences between a score and a baseline on each replicate.

    Returns
    -------
    dict of str to numpy.ndarray, shape (1 + resamples,)
        ``precision_at_capacity`` and ``auroc``, the original sample first; NaN where undefined.
    """
    resampled = _ResampledMetrics(outcomes, resamples, seed)
    metric_factories: dict[str, Callable[[Array], Metric]] = {
        "precision_at_capacity": lambda s: _make_precision_metric(s, outcomes, capacity),
        "auroc": lambda s: ranking.auroc(s, outcomes.expanded),
    }

    def evaluate_metric(metric: Callable[[Array], Metric], values: Array) -> Array:
        return resampled.compute_values(lambda: metric(values))

    return {
        name: evaluate_metric(metric, score) - evaluate_metric(metric, baseline)
        for name, metric in metric_factories.items()
    }


def compute_metric_change(
    before: Array, after: Array, outcomes: LabelledOutcomes, *, resamples: int, seed: int
) -> dict[str, MetricEstimate]:
    """Compute the change of metrics between two probabilities, on the same replicates.

    Parameters
    ----------
    before, after : numpy.ndarray, shape (n,)
        Probabilities of the same snapshots.
    outcomes : LabelledOutcomes
        Outcomes of the snapshots.
    resamples : int
        Bootstrap resamples.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to MetricEstimate
        ``auroc``, ``average_precision`` and ``log_loss``: after minus before.
    """
    resampled = _ResampledMetrics(outcomes, resamples, seed)
    expanded = outcomes.expanded
    metric_factories = {
        "auroc": ranking.auroc,
        "average_precision": ranking.average_precision,
        "log_loss": truth.log_loss,
    }

    def evaluate_metric(
        metric: Callable[[Array, NDArray[np.bool_]], Metric], probability: Array
    ) -> Array:
        return resampled.compute_values(lambda: metric(probability, expanded))

    return {
        name: compute_percentile_interval(evaluate_metric(m, after) - evaluate_metric(m, before))
        for name, m in metric_factories.items()
    }


def _make_precision_metric(score: Array, outcomes: LabelledOutcomes, capacity: int) -> Metric:
    return ranking.mean_precision_at_capacity(score, outcomes.expanded, outcomes.as_of, capacity)


def _make_revenue_metric(score: Array, outcomes: LabelledOutcomes, capacity: int) -> Metric:
    if outcomes.arr_added is None:
        return lambda weights: np.full(len(weights.cutoff), np.nan)
    return ranking.mean_gain_at_capacity(score, outcomes.arr_added, outcomes.as_of, capacity)


class _ResampledMetrics:
    """Bootstrap replicates, with NaN where a replicate contains only one class."""

    def __init__(self, outcomes: LabelledOutcomes, resamples: int, seed: int) -> None:
        self._bootstrap = outcomes.bootstrap(resamples=resamples, seed=seed)
        outcome = outcomes.expanded.astype(np.float64)
        rate = self._bootstrap.evaluate(ratio_metric(outcome, np.ones(len(outcome))))
        self._both_classes = (rate > 0) & (rate < 1)

    def compute_values(self, make_metric: Callable[[], Metric]) -> Array:
        """Compute a metric on all replicates; skipped where the sample has only one class."""
        if not self._both_classes[0]:
            return np.full(len(self._both_classes), np.nan)
        return np.where(self._both_classes, self._bootstrap.evaluate(make_metric()), np.nan)
