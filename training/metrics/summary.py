"""All metrics of a ranking and of a probability, with bootstrap intervals."""

from collections.abc import Callable, Mapping
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
    mean_metric,
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

MakeMetric = Callable[[], Metric]


@dataclass(frozen=True)
class LabelledOutcomes:
    """Outcomes of labelled snapshots; all arrays have one value per snapshot.

    Account, as-of and cutoff (of the predicting model) are codes from 0; without cutoffs there is a
    single one. ``arr_added`` is the yearly revenue added by the expansion, 0 without one; None if
    no revenue is known.
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
    """Extract the outcomes of labelled predictions: ``expanded`` is never null.

    ``arr_added`` is optional; where it is null, it counts as 0.
    """
    account, as_of, cutoff = factorize_columns(*labelled["account_id", "as_of", "cutoff"])
    arr_added = None
    if "arr_added" in labelled and labelled.filter("expanded")["arr_added"].count():
        arr_added = labelled["arr_added"].fill_null(0.0).to_numpy()
    return LabelledOutcomes(labelled["expanded"].to_numpy(), account, as_of, cutoff, arr_added)


def compute_metrics(
    score: Array,
    outcomes: LabelledOutcomes,
    *,
    capacity: int,
    resamples: int,
    seed: int,
    base_rate: Array | None = None,
) -> dict[str, MetricEstimate]:
    """Compute all metrics of a score, with 90 % intervals over accounts and cutoffs.

    Parameters
    ----------
    score : numpy.ndarray, shape (n,)
        Higher ranks first; a probability if a base rate is given.
    resamples, seed : int
        Of the bootstrap; the same for every score, so that scores can be compared.
    base_rate : numpy.ndarray, shape (n,), optional
        The running base rate, the reference of skill.

    Returns
    -------
    dict of str to MetricEstimate
        ``auroc``, ``average_precision``, ``precision_at_capacity``, ``recall_at_capacity`` and,
        null where no revenue is known, ``arr_at_capacity``: yearly revenue added within the horizon
        by the accounts within capacity, mean over the as-ofs. With a base rate also ``log_loss``,
        ``log_loss_skill``, ``brier``, ``brier_skill``, ``calibration_error``, ``calibration_slope``
        and ``observed_to_expected``. All are null where only one class occurs.
    """
    expanded, as_of = outcomes.expanded, outcomes.as_of
    metrics: dict[str, MakeMetric] = {
        "auroc": lambda: ranking.auroc(score, expanded),
        "average_precision": lambda: ranking.average_precision(score, expanded),
        "precision_at_capacity": lambda: ranking.mean_precision_at_capacity(
            score, expanded, as_of, capacity
        ),
        "recall_at_capacity": lambda: ranking.recall_at_capacity(score, expanded, as_of, capacity),
        "arr_at_capacity": lambda: _make_revenue_metric(score, outcomes, capacity),
    }
    if base_rate is not None:
        predicted, base = truth.clip_probability(score), truth.clip_probability(base_rate)
        metrics |= {
            "log_loss": lambda: truth.log_loss(predicted, expanded),
            "log_loss_skill": lambda: truth.log_loss_skill(predicted, base, expanded),
            "brier": lambda: truth.brier_score(predicted, expanded),
            "brier_skill": lambda: truth.brier_skill_score(predicted, base, expanded),
            "calibration_error": lambda: truth.calibration_error(predicted, expanded),
            "calibration_slope": lambda: truth.bootstrap_calibration_slope(predicted, expanded),
            "observed_to_expected": lambda: truth.observed_to_expected(predicted, expanded),
        }
    replicates = _compute_two_class_replicates(metrics, outcomes, resamples=resamples, seed=seed)
    return {name: compute_percentile_interval(values) for name, values in replicates.items()}


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

    The arrays ``precision_at_capacity`` and ``auroc``, shape (1 + resamples,), hold the original
    sample first; NaN where undefined.
    """
    expanded, as_of = outcomes.expanded, outcomes.as_of

    def compute_replicates(ranked: Array) -> dict[str, Array]:
        metrics: dict[str, MakeMetric] = {
            "precision_at_capacity": lambda: ranking.mean_precision_at_capacity(
                ranked, expanded, as_of, capacity
            ),
            "auroc": lambda: ranking.auroc(ranked, expanded),
        }
        return _compute_two_class_replicates(metrics, outcomes, resamples=resamples, seed=seed)

    return _subtract(compute_replicates(score), compute_replicates(baseline))


def compute_metric_change(
    before: Array, after: Array, outcomes: LabelledOutcomes, *, resamples: int, seed: int
) -> dict[str, MetricEstimate]:
    """Compute the change of metrics between two probabilities, on the same replicates.

    It is that of ``auroc``, ``average_precision`` and ``log_loss``: after minus before.
    """
    expanded = outcomes.expanded

    def compute_replicates(probability: Array) -> dict[str, Array]:
        metrics: dict[str, MakeMetric] = {
            "auroc": lambda: ranking.auroc(probability, expanded),
            "average_precision": lambda: ranking.average_precision(probability, expanded),
            "log_loss": lambda: truth.log_loss(probability, expanded),
        }
        return _compute_two_class_replicates(metrics, outcomes, resamples=resamples, seed=seed)

    change = _subtract(compute_replicates(after), compute_replicates(before))
    return {name: compute_percentile_interval(values) for name, values in change.items()}


def _subtract(one: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Array]:
    return {name: values - other[name] for name, values in one.items()}


def _make_revenue_metric(score: Array, outcomes: LabelledOutcomes, capacity: int) -> Metric:
    if outcomes.arr_added is None:
        return lambda weights: np.full(len(weights.cutoff), np.nan)
    return ranking.mean_gain_at_capacity(score, outcomes.arr_added, outcomes.as_of, capacity)


def _compute_two_class_replicates(
    metrics: Mapping[str, MakeMetric], outcomes: LabelledOutcomes, *, resamples: int, seed: int
) -> dict[str, Array]:
    """Compute metrics on each replicate; NaN where it, or the sample itself, has a single class.

    A metric is built only if the sample has both classes.
    """
    bootstrap = outcomes.bootstrap(resamples=resamples, seed=seed)
    rate = bootstrap.evaluate(mean_metric(outcomes.expanded))
    both_classes = (rate > 0) & (rate < 1)
    if not both_classes[0]:
        return {name: np.full(len(rate), np.nan) for name in metrics}
    return {
        name: np.where(both_classes, bootstrap.evaluate(make()), np.nan)
        for name, make in metrics.items()
    }
