"""The numbers behind the charts of the evaluation page, each a small table.

All are computed on predictions whose outcome is known, with the columns of
:class:`training.evaluate.Evaluation`; intervals hold 90 % and draw as
:mod:`training.resampling` does.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import metrics
from training.resampling import Draws, codes, interval, over

__all__ = [
    "capacity",
    "dates",
    "months",
    "net_benefit",
    "precision_recall",
    "reliability",
]

_TENTHS: Final = 10
_NORMAL_90: Final = 1.645
_LEAST_ACTED_ON: Final = 20
_DATED_AT_ONCE: Final = 10

Array = NDArray[np.float64]


def reliability(known: pl.DataFrame, *, resamples: int, seed: int) -> pl.DataFrame:
    """Compare stated and observed in tenths of the snapshots by stated probability.

    Parameters
    ----------
    known : polars.DataFrame
        Predictions with a known outcome; at least one.
    resamples, seed : int
        Draws, and where they start.

    Returns
    -------
    polars.DataFrame
        ``snapshots``, ``expected`` (mean stated), ``observed``, ``low``, ``high``; a row per tenth
        from the lowest. Equal probabilities share a row, so there may be fewer.
    """
    stated = known["probability"].to_numpy()
    edges = np.unique(np.quantile(stated, np.linspace(0, 1, _TENTHS + 1)[1:-1]))
    place = np.unique(np.searchsorted(edges, stated, side="right"), return_inverse=True)[1]
    return _rates(known, place, resamples=resamples, seed=seed)


def capacity(known: pl.DataFrame, score: str, worked: Sequence[int]) -> pl.DataFrame:
    """Tell what a team finds that works so many accounts per as-of, from the top of a ranking.

    Parameters
    ----------
    known : polars.DataFrame
        Predictions with a known outcome; at least one.
    score : str
        Column; higher comes first.
    worked : sequence of int
        Accounts per as-of.

    Returns
    -------
    polars.DataFrame
        ``worked``, ``precision`` (mean over as-ofs) and ``recall`` (of all expansions).
    """
    wanted = np.asarray(worked, dtype=np.float64)
    precision, found = np.zeros(len(wanted)), np.zeros(len(wanted))
    parts = known.select("as_of", "expanded", score=score).partition_by("as_of")
    for part in parts:
        hits = _expected_hits(part["score"].to_numpy(), part["expanded"].to_numpy(), wanted)
        precision += hits / np.minimum(wanted, part.height) / len(parts)
        found += hits
    every = int(known["expanded"].to_numpy().sum())
    recall = found / every if every else np.full(len(wanted), np.nan)
    return pl.DataFrame({"worked": list(worked), "precision": precision, "recall": recall})


def precision_recall(known: pl.DataFrame, score: str) -> pl.DataFrame:
    """Follow a ranking down: how many of the expansions are found, and what share of the found.

    Parameters
    ----------
    known : polars.DataFrame
        Predictions with a known outcome, at least one of them expanded.
    score : str
        Column; higher comes first, equal ones together.

    Returns
    -------
    polars.DataFrame
        ``recall`` in hundredths, rising, and ``precision`` where so much is first found.
    """
    values, expanded = known[score].to_numpy().astype(np.float64), known["expanded"].to_numpy()
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    found = np.cumsum(expanded[order])[ends]
    recall = np.arange(1, 101) / 100
    first = np.searchsorted(found, np.ceil(recall * found[-1] - 1e-9), side="left")
    return pl.DataFrame({"recall": recall, "precision": (found / (ends + 1))[first]})


def net_benefit(
    known: pl.DataFrame, rules: Mapping[str, str], *, resamples: int, seed: int
) -> pl.DataFrame:
    """Weigh expansions found against needless contacts, by how little chance is worth a contact.

    Who acts from a chance of ``t`` upwards holds one expansion to be worth ``(1 - t) / t`` needless
    contacts. Net benefit is found less needless at that rate, per snapshot [1]_.

    Parameters
    ----------
    known : polars.DataFrame
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
    stated, expanded = known["probability"].to_numpy(), known["expanded"].to_numpy()
    few = min(_LEAST_ACTED_ON, len(stated))
    highest = float(np.clip(np.partition(stated, -few)[-few], 0.05, 0.9))
    threshold = np.linspace(0.01, highest, 40)
    weight = threshold / (1 - threshold)
    gain = np.where(expanded[:, None], 1.0, -weight)
    acted = np.where(stated[:, None] >= threshold, gain, 0.0)
    draws = metrics.judged(known).draws(resamples=resamples, seed=seed)
    drawn = draws.of(lambda weights: over(weights.row @ acted, _totals(weights.row, acted)))
    low, high = _limits(drawn)
    acting = {name: known[column].to_numpy() > 0 for name, column in rules.items()}
    return pl.DataFrame(
        {
            "threshold": threshold,
            "model": drawn[0],
            "low": low,
            "high": high,
            "everyone": gain.mean(axis=0),
            **{name: (rule[:, None] * gain).mean(axis=0) for name, rule in acting.items()},
        }
    )


def months(known: pl.DataFrame) -> pl.DataFrame:
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
        known.group_by("as_of")
        .agg(
            snapshots=pl.len(),
            expected=chance.sum(),
            low=(chance.sum() - spread).clip(0),
            high=chance.sum() + spread,
            observed=pl.col("expanded").sum().cast(pl.Int64),
        )
        .sort("as_of")
    )


def dates(dated: pl.DataFrame) -> pl.DataFrame:
    """Compare expected dates with those on which it happened, in groups of like expected dates.

    Parameters
    ----------
    dated : polars.DataFrame
        :func:`training.date_metrics.judged`.

    Returns
    -------
    polars.DataFrame
        ``expansions``; ``early``, ``median`` and ``late``, the means of what was stated; and the
        quantiles ``came_10``, ``came_50`` and ``came_90`` of what happened; all in days after the
        as-of, at most six rows, from the soonest.
    """
    groups = min(6, max(dated.height // _DATED_AT_ONCE, 1))
    # Equal expected dates stay together.
    place = ((pl.col("median_days").rank("min") - 1) * groups // pl.len()).cast(pl.Int64)
    came = pl.col("days_to_expansion").cast(pl.Float64)
    return (
        dated.with_columns(group=place)
        .group_by("group")
        .agg(
            expansions=pl.len(),
            early=pl.col("early_days").mean(),
            median=pl.col("median_days").mean(),
            late=pl.col("late_days").mean(),
            **{f"came_{share}": came.quantile(share / 100, "linear") for share in (10, 50, 90)},
        )
        .sort("group")
        .drop("group")
    )


def _expected_hits(score: Array, expanded: NDArray[np.bool_], worked: Array) -> Array:
    """How many of the first so many expanded; equal scores at the cut count by their average."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(expanded[order])[ends]
    return np.asarray(np.interp(worked, np.append(0, ends + 1), np.append(0, hits)))


def _rates(
    known: pl.DataFrame, place: NDArray[np.int64], *, resamples: int, seed: int
) -> pl.DataFrame:
    """Stated and observed rate of each place, from 0, with limits of the observed."""
    inside = np.eye(int(place.max()) + 1)[place]
    expanded = inside * known["expanded"].to_numpy()[:, None]
    draws = Draws(*codes(*known["account_id", "cut"]), resamples=resamples, seed=seed)
    drawn = draws.of(lambda weights: over(weights.row @ expanded, weights.row @ inside))
    low, high = _limits(drawn)
    stated = known["probability"].to_numpy() @ inside
    return pl.DataFrame(
        {
            "snapshots": inside.sum(axis=0).astype(np.int64),
            "expected": stated / inside.sum(axis=0),
            "observed": drawn[0],
            "low": np.minimum(low, drawn[0]),
            "high": np.maximum(high, drawn[0]),
        }
    )


def _limits(drawn: Array) -> tuple[Array, Array]:
    """Limits of each column of draws, the history as it was first; that where there are none."""
    found = [interval(column) for column in drawn.T]
    ends = [
        (f.value if f.low is None else f.low, f.value if f.high is None else f.high) for f in found
    ]
    low, high = np.array(ends, dtype=float).T
    return low, high


def _totals(row: Array, like: Array) -> Array:
    return np.repeat(row.sum(axis=1, keepdims=True), like.shape[1], axis=1)
