"""The same figures by kind of account: by size, plan, tenure, and the segment that the CRM names.

An account's segment is today's word for it. It takes part only where the settings say that it never
changes: ``tables.stable = ["segment"]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from data.settings import Settings
from training import metrics
from training import probability_metrics as truth
from training import ranking_metrics as ranking
from training.resampling import Figure, Metric, codes, intervals, mean, ratio

__all__ = ["KINDS", "Segment", "figures", "of"]

KINDS: Final = ("size", "plan", "tenure", "segment")
UNKNOWN: Final = "unknown"
_SIZES: Final = {10: "1 to 10", 50: "11 to 50", 200: "51 to 200"}
_LARGEST: Final = "201 and more"
_TENURES: Final = {365: "first year", 730: "second year"}
_LONGEST: Final = "after two years"
_NEEDS_BOTH: Final = (
    "auroc",
    "average_precision",
    "log_loss_skill",
    "brier_skill",
    "calibration_error",
    "calibration_slope",
)


@dataclass(frozen=True)
class Segment:
    """What the model was worth for one kind of account.

    Attributes
    ----------
    snapshots, expanded : int
        With a known outcome, and of these with an expansion.
    worked : float
        Snapshots of it within the team's capacity, of all accounts of the as-of.
    figures : mapping of str to training.metrics.Figure
        As of :func:`training.metrics.figures`, but ``precision_at_capacity`` is the share that
        expanded among those ``worked``; what needs both outcomes is null where there is one.
    """

    snapshots: int
    expanded: int
    worked: float
    figures: Mapping[str, Figure]

    def __repr__(self) -> str:
        return f"Segment({self.snapshots:,} snapshots, {self.expanded:,} expanded)"


def of(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    accounts: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Say of what kind each snapshot's account was, as of the day.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`, for the names of the plans.
    settings : data.settings.Settings
        Which columns are stable.
    accounts : polars.DataFrame, optional
        The accounts table.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``as_of``, ``size`` (licensed seats, else people of 90 days), ``plan``,
        ``tenure``, and ``segment`` where it is stable and told; what is not known is "unknown".
    """
    seats = pl.coalesce(pl.when(pl.col("licensed_seats") > 0).then("licensed_seats"), "people_90d")
    found = snapshots.select(
        "account_id",
        "as_of",
        size=_band(seats, _SIZES, _LARGEST),
        plan=_plan(contracts),
        tenure=_band(pl.col("tenure_days") + 1, _TENURES, _LONGEST),
    )
    if accounts is not None and "segment" in settings.tables.stable:
        named = accounts.select("account_id", "segment").unique("account_id", keep="last")
        found = found.join(named, on="account_id", how="left", maintain_order="left")
    return found.with_columns(pl.exclude("account_id", "as_of").fill_null(UNKNOWN))


def figures(predictions: pl.DataFrame, settings: Settings) -> dict[str, dict[str, Segment]]:
    """Compute the model's figures for every kind of account, with 90 % intervals.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.Evaluation`, with the columns of :func:`of`.
    settings : data.settings.Settings
        Capacity, draws and seed.

    Returns
    -------
    dict of str to dict of str to Segment
        ``size``, ``plan``, ``tenure`` and ``segment``, as far as told → the kind's name, in the
        order of size, or of first appearance → its figures.
    """
    known = predictions.filter(pl.col("expanded").is_not_null())
    (as_of,) = codes(known["as_of"])
    score, capacity = known["probability"].to_numpy(), settings.evaluation.capacity
    worked = known.with_columns(worked=ranking.within_capacity(score, as_of, capacity))
    return {
        kind: {
            name: _segment(worked.filter(pl.col(kind) == name), settings)
            for name in _ordered(known[kind])
        }
        for kind in KINDS
        if kind in known.columns
    }


def _segment(rows: pl.DataFrame, settings: Settings) -> Segment:
    stated, base = rows["probability"].to_numpy(), rows["base_rate"].to_numpy()
    expanded, worked = rows["expanded"].to_numpy(), rows["worked"].to_numpy()
    resamples, seed = settings.evaluation.resamples, settings.model.seed
    both = metrics.figures(
        stated,
        metrics.judged(rows),
        capacity=settings.evaluation.capacity,
        resamples=resamples,
        seed=seed,
        probability=stated,
        reference=base,
    )
    clipped = truth.clipped(stated)
    any_outcome: dict[str, Metric] = {
        "log_loss": truth.log_loss(clipped, expanded),
        "brier": truth.brier(clipped, expanded),
        "observed_to_expected": truth.observed_to_expected(clipped, expanded),
        "rate": mean(expanded),
        "precision_at_capacity": ratio(worked * expanded, worked),
    }
    units = codes(rows["account_id"], rows["cut"])
    plain = intervals(any_outcome, *units, resamples=resamples, seed=seed)
    found = {name: both[name] for name in _NEEDS_BOTH} | plain
    return Segment(rows.height, int(expanded.sum()), float(worked.sum()), found)


def _band(value: pl.Expr, tops: Mapping[int, str], above: str) -> pl.Expr:
    """Name the band of a value; the top of each belongs to it."""
    below = (pl.when(value <= top).then(pl.lit(name)) for top, name in tops.items())
    return pl.coalesce(*below, pl.when(value.is_not_null()).then(pl.lit(above)))


def _plan(contracts: pl.DataFrame) -> pl.Expr:
    """Name the plan by its place; by number where a place has had several names."""
    names = (
        contracts.select("plan_rank", "plan")
        .drop_nulls()
        .unique()
        .group_by("plan_rank")
        .agg(pl.col("plan").first(), pl.len())
    )
    told = {
        rank: plan if many == 1 else f"plan {rank + 1:.0f}"
        for rank, plan, many in names.iter_rows()
    }
    rank = pl.col("plan_rank")
    number = pl.format("plan {}", (rank + 1).cast(pl.Int64))
    return rank.replace_strict(told, default=None, return_dtype=pl.String).fill_null(
        pl.when(rank.is_not_null()).then(number)
    )


def _ordered(names: pl.Series) -> list[str]:
    """The bands in their own order, other names in the alphabet's, the unknown last."""
    bands = [*_SIZES.values(), _LARGEST, *_TENURES.values(), _LONGEST]
    place = {name: number for number, name in enumerate(bands)} | {UNKNOWN: np.inf}
    return sorted(names.unique(), key=lambda name: (place.get(name, 0), name))
