"""The numbers behind the charts of the evaluation page, each a small table.

All are computed on predictions whose outcome is known, with the columns of
:class:`training.evaluation.evaluate.Evaluation`; intervals hold 90 % and draw as
:mod:`training.metrics.cluster_bootstrap` does.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics import summary
from training.metrics.cluster_bootstrap import (
    ClusterBootstrap,
    compute_percentile_interval,
    factorize_columns,
    safe_divide,
)

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
    """Compare stated and observed in tenths of the snapshots by stated probability.

    Parameters
    ----------
    labelled : polars.DataFrame
        Predictions with a known outcome; at least one.
    resamples, seed : int
        Draws, and where they start.

    Returns
    -------
    polars.DataFrame
        ``snapshots``, ``expected`` (mean stated), ``observed``, ``low``, ``high``; a row per tenth
        from the lowest. Equal probabilities share a row, so there may be fewer.
    """
    predicted = labelled["probability"].to_numpy()
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    bin_index = np.unique(np.searchsorted(edges, predicted, side="right"), return_inverse=True)[1]
    return _compute_bin_rates(labelled, bin_index, resamples=resamples, seed=seed)


def compute_capacity_curve(
    labelled: pl.DataFrame, score: str, contacted: Sequence[int]
) -> pl.DataFrame:
    """Tell what a team finds that works so many accounts per as-of, from the top of a ranking.

    Parameters
    ----------
    labelled : polars.DataFrame
        Predictions with a known outcome; at least one.
    score : str
        Column; higher comes first.
    contacted : sequence of int
        Accounts per as-of.

    Returns
    -------
    polars.DataFrame
        ``contacted``, ``precision`` (mean over as-ofs) and ``recall`` (of all expansions).
    """
    counts = np.asarray(contacted, dtype=np.float64)
    precision, found_expansions = np.zeros(len(counts)), np.zeros(len(counts))
    parts = labelled.select("as_of", "expanded", score=score).partition_by("as_of")
    for part in parts:
        hits = _compute_expected_hits(part["score"].to_numpy(), part["expanded"].to_numpy(), counts)
        precision += hits / np.minimum(counts, part.height) / len(parts)
        found_expansions += hits
    total = int(labelled["expanded"].to_numpy().sum())
    recall = found_expansions / total if total else np.full(len(counts), np.nan)
    return pl.DataFrame({"worked": list(contacted), "precision": precision, "recall": recall})


def compute_precision_recall(labelled: pl.DataFrame, score: str) -> pl.DataFrame:
    """Follow a ranking down: how many of the expansions are found, and what share of the found.

    Parameters
    ----------
    labelled : polars.DataFrame
        Predictions with a known outcome, at least one of them expanded.
    score : str
        Column; higher comes first, equal ones together.

    Returns
    -------
    polars.DataFrame
        ``recall`` in hundredths, rising, and ``precision`` where so much is first found.
    """
    values, expanded = (
        labelled[score].to_numpy().astype(np.float64),
        labelled["expanded"].to_numpy(),
    )
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    true_positives = np.cumsum(expanded[order])[ends]
    recall = np.arange(1, 101) / 100
    first = np.searchsorted(
        true_positives, np.ceil(recall * true_positives[-1] - 1e-9), side="left"
    )
    return pl.DataFrame({"recall": recall, "precision": (true_positives / (ends + 1))[first]})


def compute_net_benefit(
    labelled: pl.DataFrame, rules: Mapping[str, str], *, resamples: int, seed: int
) -> pl.DataFrame:
    """Weigh expansions found against needless contacts, by how little chance is worth a contact.

    Who acts from a chance of ``t`` upwards holds one expansion to be worth ``(1 - t) / t`` needless
    contacts. Net benefit is found less needless at that rate, per snapshot [1]_.

    Parameters
    ----------
    labelled : polars.DataFrame
        Predictions with a known outcome; at least one.
    rules : mapping of str to str
        Name → column that is above 0 where a rule says to act: rules that state no probability act
        on the same accounts at every threshold.
    resamples, seed : int
        Draws, and where they start.

    Returns
    -------
    polars.DataFrame
        ``threshold``, ``model``, ``low``, ``high``, ``everyone``, and a column per rule.

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
    bootstrap = summary.label_outcomes(labelled).bootstrap(resamples=resamples, seed=seed)
    replicates = bootstrap.evaluate(
        lambda weights: safe_divide(
            weights.row @ model_gain, _repeat_totals(weights.row, model_gain)
        )
    )
    low, high = _compute_limits(replicates)
    rule_flags = {name: labelled[column].to_numpy() > 0 for name, column in rules.items()}
    return pl.DataFrame(
        {
            "threshold": threshold,
            "model": replicates[0],
            "low": low,
            "high": high,
            "everyone": gain.mean(axis=0),
            **{name: (rule[:, None] * gain).mean(axis=0) for name, rule in rule_flags.items()},
        }
    )


def count_expansions_by_date(labelled: pl.DataFrame) -> pl.DataFrame:
    """Count expansions as stated and as they happened, as-of by as-of: drift shows here first.

    Returns
    -------
    polars.DataFrame
        ``as_of``, ``snapshots``, ``expected`` with ``low`` and ``high``, between which 90 % of
        outcomes lie if the probabilities are exact, and ``observed``.
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
    """Compare expected dates with those on which it happened, in groups of like expected dates.

    Parameters
    ----------
    evaluable : polars.DataFrame
        :func:`training.metrics.dates.select_evaluable_rows`.

    Returns
    -------
    polars.DataFrame
        ``expansions``; ``early``, ``median`` and ``late``, the means of what was stated; and the
        quantiles ``came_10``, ``came_50`` and ``came_90`` of what happened; all in days after the
        as-of, at most six rows, from the soonest.
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
            **{f"came_{share}": observed.quantile(share / 100, "linear") for share in (10, 50, 90)},
        )
        .sort("group")
        .drop("group")
    )


def _compute_expected_hits(score: Array, expanded: NDArray[np.bool_], contacted: Array) -> Array:
    """How many of the first so many expanded; equal scores at the cut count by their average."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(expanded[order])[ends]
    return np.asarray(np.interp(contacted, np.append(0, ends + 1), np.append(0, hits)))


def _compute_bin_rates(
    labelled: pl.DataFrame, bin_index: NDArray[np.int64], *, resamples: int, seed: int
) -> pl.DataFrame:
    """Stated and observed rate of each place, from 0, with limits of the observed."""
    inside = np.eye(int(bin_index.max()) + 1)[bin_index]
    expanded = inside * labelled["expanded"].to_numpy()[:, None]
    bootstrap = ClusterBootstrap(
        *factorize_columns(*labelled["account_id", "cut"]), resamples=resamples, seed=seed
    )
    replicates = bootstrap.evaluate(
        lambda weights: safe_divide(weights.row @ expanded, weights.row @ inside)
    )
    low, high = _compute_limits(replicates)
    predicted = labelled["probability"].to_numpy() @ inside
    return pl.DataFrame(
        {
            "snapshots": inside.sum(axis=0).astype(np.int64),
            "expected": predicted / inside.sum(axis=0),
            "observed": replicates[0],
            "low": np.minimum(low, replicates[0]),
            "high": np.maximum(high, replicates[0]),
        }
    )


def _compute_limits(replicates: Array) -> tuple[Array, Array]:
    """Limits of each column of draws, the history as it was first; that where there are none."""
    estimates = [compute_percentile_interval(column) for column in replicates.T]
    ends = [
        (f.value if f.low is None else f.low, f.value if f.high is None else f.high)
        for f in estimates
    ]
    low, high = np.array(ends, dtype=float).T
    return low, high


def _repeat_totals(row: Array, like: Array) -> Array:
    return np.repeat(row.sum(axis=1, keepdims=True), like.shape[1], axis=1)
