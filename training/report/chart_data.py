"""Data behind the charts of the evaluation report, each a small table.

Everything is computed on labelled predictions with the columns of
:class:`training.evaluation.result.EvaluationResult`. Intervals are 90 % cluster-bootstrap intervals
(:mod:`training.metrics.cluster_bootstrap`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics import summary
from training.metrics.cluster_bootstrap import compute_percentile_interval, ratio_metric

__all__ = [
    "compute_capacity_curve",
    "compute_net_benefit",
    "compute_precision_recall",
    "compute_reliability",
    "count_expansions_by_date",
    "group_event_dates",
]

_N_BINS: Final = 10
_NORMAL_90: Final = 1.645
_MIN_CONTACTED: Final = 20
_MIN_GROUP_SIZE: Final = 10

Array = NDArray[np.float64]


def compute_reliability(labelled: pl.DataFrame, *, resamples: int, seed: int) -> pl.DataFrame:
    """Compute expected and observed rate in deciles of the predicted probability.

    The columns are ``snapshots``, ``expected`` (mean predicted), ``observed``, ``low``, ``high``;
    one row per decile in ascending order. Equal probabilities share a row, so there may be fewer.
    """
    predicted = labelled["probability"].to_numpy()
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    bin_index = np.unique(np.searchsorted(edges, predicted, side="right"), return_inverse=True)[1]
    inside = np.eye(int(bin_index.max()) + 1)[bin_index]
    expanded = inside * labelled["expanded"].to_numpy()[:, None]
    observed, low, high = _estimate_ratios(
        labelled, expanded, inside, resamples=resamples, seed=seed
    )
    return pl.DataFrame(
        {
            "snapshots": inside.sum(axis=0).astype(np.int64),
            "expected": predicted @ inside / inside.sum(axis=0),
            "observed": observed,
            "low": low,
            "high": high,
        }
    )


def compute_capacity_curve(
    labelled: pl.DataFrame, score: str, contacted: Sequence[int]
) -> pl.DataFrame:
    """Compute precision and recall by number of accounts contacted per as-of, highest score first.

    The columns are ``contacted``, ``precision`` (mean over as-ofs) and ``recall`` (of all
    expansions).
    """
    counts = np.asarray(contacted, dtype=np.float64)
    precision, found_expansions = np.zeros(len(counts)), np.zeros(len(counts))
    parts = labelled.select("as_of", "expanded", score=score).partition_by("as_of")
    for part in parts:
        ends, found = _count_hits(part["score"].to_numpy(), part["expanded"].to_numpy())
        # Ties count by their average.
        hits = np.interp(counts, np.append(0, ends), np.append(0, found))
        precision += hits / np.minimum(counts, part.height) / len(parts)
        found_expansions += hits
    total = int(labelled["expanded"].to_numpy().sum())
    recall = found_expansions / total if total else np.full(len(counts), np.nan)
    return pl.DataFrame({"contacted": list(contacted), "precision": precision, "recall": recall})


def compute_precision_recall(labelled: pl.DataFrame, score: str) -> pl.DataFrame:
    """Compute the precision-recall curve of a ranking; at least one label must be positive.

    The columns are ``recall`` in hundredths, ascending, and ``precision`` where that recall is
    first reached.
    """
    contacted, hits = _count_hits(labelled[score].to_numpy(), labelled["expanded"].to_numpy())
    recall = np.arange(1, 101) / 100
    first = np.searchsorted(hits, np.ceil(recall * hits[-1] - 1e-9), side="left")
    return pl.DataFrame({"recall": recall, "precision": (hits / contacted)[first]})


def compute_net_benefit(
    labelled: pl.DataFrame, rules: Sequence[str], *, resamples: int, seed: int
) -> pl.DataFrame:
    """Compute the net benefit of acting on the model, by probability threshold.

    Acting from a threshold ``t`` upwards values one expansion at ``(1 - t) / t`` unnecessary
    contacts. Net benefit is true positives less weighted false positives, per snapshot [1]_.

    ``rules`` are columns above 0 where a rule recommends a contact. Rules without a probability
    recommend the same accounts at every threshold. The result has the columns ``threshold``,
    ``model``, ``low``, ``high``, ``everyone``, and one per rule.

    References
    ----------
    .. [1] A. Vickers and E. Elkin, "Decision Curve Analysis: A Novel Method for Evaluating
           Prediction Models", Medical Decision Making 2006.
    """
    predicted, expanded = labelled["probability"].to_numpy(), labelled["expanded"].to_numpy()
    min_contacted = min(_MIN_CONTACTED, len(predicted))
    highest = float(np.clip(np.partition(predicted, -min_contacted)[-min_contacted], 0.05, 0.9))
    threshold = np.linspace(0.01, highest, 40)
    weight = threshold / (1 - threshold)
    gain = np.where(expanded[:, None], 1.0, -weight)
    model_gain = np.where(predicted[:, None] >= threshold, gain, 0.0)
    benefit, low, high = _estimate_ratios(
        labelled, model_gain, np.ones_like(model_gain), resamples=resamples, seed=seed
    )
    return pl.DataFrame(
        {
            "threshold": threshold,
            "model": benefit,
            "low": low,
            "high": high,
            "everyone": gain.mean(axis=0),
            **{
                name: ((labelled[name].to_numpy() > 0)[:, None] * gain).mean(axis=0)
                for name in rules
            },
        }
    )


def count_expansions_by_date(labelled: pl.DataFrame) -> pl.DataFrame:
    """Count expected and observed expansions by as-of, which shows drift first.

    The columns are ``as_of``, ``snapshots``, ``expected`` with ``low`` and ``high``, the 90 % range
    of outcomes if the probabilities are exact, and ``observed``.
    """
    chance = pl.col("probability")
    spread = _NORMAL_90 * (chance * (1 - chance)).sum().sqrt()
    return (
        labelled.group_by("as_of")
        .agg(
            snapshots=pl.len(),
            expected=chance.sum(),
            low=(chance.sum() - spread).clip(0),
            high=chance.sum() + spread,
            observed=pl.col("expanded").sum().cast(pl.Int64),
        )
        .sort("as_of")
    )


def group_event_dates(evaluable: pl.DataFrame) -> pl.DataFrame:
    """Compare expected and observed event dates in groups of similar expected dates.

    See :mod:`training.metrics.dates` for the predictions whose date can be evaluated.

    The columns are ``expansions``; ``early``, ``median`` and ``late``, the means of the
    predictions; and the observed quantiles ``observed_10``, ``observed_50`` and ``observed_90``;
    all in days after the as-of, at most six rows, the earliest first.
    """
    groups = min(6, max(evaluable.height // _MIN_GROUP_SIZE, 1))
    # Equal expected dates stay together.
    group = ((pl.col("median_days").rank("min") - 1) * groups // pl.len()).cast(pl.Int64)
    observed = pl.col("days_to_expansion").cast(pl.Float64)
    return (
        evaluable.with_columns(group=group)
        .group_by("group")
        .agg(
            expansions=pl.len(),
            early=pl.col("early_days").mean(),
            median=pl.col("median_days").mean(),
            late=pl.col("late_days").mean(),
            **{
                f"observed_{share}": observed.quantile(share / 100, "linear")
                for share in (10, 50, 90)
            },
        )
        .sort("group")
        .drop("group")
    )


def _count_hits(score: Array, expanded: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Count the accounts, and the expansions among them, down to each distinct score."""
    order = np.argsort(-score.astype(np.float64), kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return ends + 1, np.cumsum(expanded[order])[ends]


def _estimate_ratios(
    labelled: pl.DataFrame, numerator: Array, denominator: Array, *, resamples: int, seed: int
) -> tuple[Array, Array, Array]:
    """Estimate the ratio of sums in each column, with interval limits.

    Where no replicate is defined, the limits are the estimate itself.
    """
    bootstrap = summary.label_outcomes(labelled).bootstrap(resamples=resamples, seed=seed)
    replicates = bootstrap.evaluate(ratio_metric(numerator, denominator))
    estimates = [compute_percentile_interval(column) for column in replicates.T]
    limits = [
        (estimate.value, estimate.value)
        if estimate.low is None or estimate.high is None
        else (estimate.low, estimate.high)
        for estimate in estimates
    ]
    low, high = np.array(limits, dtype=float).T
    return replicates[0], low, high
