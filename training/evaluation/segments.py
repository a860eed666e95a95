"""Metrics by segment: size, plan, tenure, and the CRM segment.

The CRM segment of an account is its present value. It is used only if the settings declare it
time-invariant: ``tables.time_invariant_attributes = ["segment"]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from data.config.settings import Settings, TablesConfig
from training.metrics import probability as truth
from training.metrics import ranking, summary
from training.metrics.cluster_bootstrap import (
    Metric,
    MetricEstimate,
    estimate_metrics,
    factorize_columns,
    mean_metric,
    ratio_metric,
)

__all__ = ["SEGMENTATIONS", "SegmentMetrics", "assign_segments", "compute_segment_metrics"]

SEGMENTATIONS: Final = ("size", "plan", "tenure", "segment")
UNKNOWN: Final = "unknown"
_SIZES: Final = {10: "1 to 10", 50: "11 to 50", 200: "51 to 200"}
_LARGEST: Final = "201 and more"
_TENURES: Final = {365: "first year", 730: "second year"}
_LONGEST: Final = "after two years"
_TWO_CLASS_METRICS: Final = (
    "auroc",
    "average_precision",
    "log_loss_skill",
    "brier_skill",
    "calibration_error",
    "calibration_slope",
)


@dataclass(frozen=True)
class SegmentMetrics:
    """Metrics of the model on one segment, over its snapshots with a known outcome.

    ``within_capacity`` counts those within the team's capacity over all accounts of the as-of. The
    metrics are those of :func:`training.metrics.summary.compute_metrics`, except that
    ``precision_at_capacity`` is the share that expanded among those within capacity. Metrics that
    need both classes are null where only one occurs.
    """

    snapshots: int
    expanded: int
    within_capacity: float
    metrics: Mapping[str, MetricEstimate]


def assign_segments(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    tables: TablesConfig,
    accounts: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Assign each snapshot to its segments as of that day.

    The contracts, the subscription timeline, give the names of the plans; ``tables`` declares the
    time-invariant columns of the accounts table.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``as_of``, ``size`` (licensed seats, else people of 90 days), ``plan``,
        ``tenure``, and ``segment`` where it is time-invariant; missing values are "unknown".
    """
    seats = pl.coalesce(pl.when(pl.col("licensed_seats") > 0).then("licensed_seats"), "people_90d")
    segments = snapshots.select(
        "account_id",
        "as_of",
        size=_label_band(seats, _SIZES, _LARGEST),
        plan=_label_plan(contracts),
        tenure=_label_band(pl.col("tenure_days") + 1, _TENURES, _LONGEST),
    )
    if accounts is not None and "segment" in tables.time_invariant_attributes:
        segment_names = accounts.select("account_id", "segment").unique("account_id", keep="last")
        segments = segments.join(segment_names, on="account_id", how="left", maintain_order="left")
    return segments.with_columns(pl.exclude("account_id", "as_of").fill_null(UNKNOWN))


def compute_segment_metrics(
    predictions: pl.DataFrame, settings: Settings
) -> dict[str, dict[str, SegmentMetrics]]:
    """Compute the model's metrics for every segment, with 90 % intervals.

    The predictions are those of :class:`training.evaluation.result.EvaluationResult`, with the
    columns of :func:`assign_segments`. The result maps segmentation → segment → its metrics.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    (as_of,) = factorize_columns(labelled["as_of"])
    score, capacity = labelled["probability"].to_numpy(), settings.evaluation.capacity
    rows = labelled.with_columns(
        within_capacity=ranking.compute_capacity_share(score, as_of, capacity)
    )
    return {
        segmentation: {
            name: _compute_segment(rows.filter(pl.col(segmentation) == name), settings)
            for name in _sort_segment_names(labelled[segmentation])
        }
        for segmentation in SEGMENTATIONS
        if segmentation in labelled.columns
    }


def _compute_segment(rows: pl.DataFrame, settings: Settings) -> SegmentMetrics:
    probability, base_rate = rows["probability"].to_numpy(), rows["base_rate"].to_numpy()
    expanded = rows["expanded"].to_numpy()
    within_capacity = rows["within_capacity"].to_numpy()
    resamples, seed = settings.evaluation.n_bootstrap, settings.model.seed
    two_class_metrics = summary.compute_metrics(
        probability,
        summary.label_outcomes(rows),
        capacity=settings.evaluation.capacity,
        resamples=resamples,
        seed=seed,
        base_rate=base_rate,
    )
    clipped = truth.clip_probability(probability)
    single_class_metrics: dict[str, Metric] = {
        "log_loss": truth.log_loss(clipped, expanded),
        "brier": truth.brier_score(clipped, expanded),
        "observed_to_expected": truth.observed_to_expected(clipped, expanded),
        "rate": mean_metric(expanded),
        "precision_at_capacity": ratio_metric(within_capacity * expanded, within_capacity),
    }
    units = factorize_columns(rows["account_id"], rows["cutoff"])
    intervals_by_name = estimate_metrics(
        single_class_metrics, *units, resamples=resamples, seed=seed
    )
    metrics_by_name = {
        name: two_class_metrics[name] for name in _TWO_CLASS_METRICS
    } | intervals_by_name
    return SegmentMetrics(
        rows.height, int(expanded.sum()), float(within_capacity.sum()), metrics_by_name
    )


def _label_band(value: pl.Expr, upper_bounds: Mapping[int, str], last_band: str) -> pl.Expr:
    """Return the band of a value; the upper bound of each band is inclusive."""
    below = (pl.when(value <= top).then(pl.lit(name)) for top, name in upper_bounds.items())
    return pl.coalesce(*below, pl.when(value.is_not_null()).then(pl.lit(last_band)))


def _label_plan(contracts: pl.DataFrame) -> pl.Expr:
    """Return the plan's name by its rank, or its number where a rank has had several names."""
    names = (
        contracts.select("plan_rank", "plan")
        .drop_nulls()
        .unique()
        .group_by("plan_rank")
        .agg(pl.col("plan").first(), pl.len())
    )
    plan_names = {
        rank: plan if many == 1 else f"plan {rank + 1:.0f}"
        for rank, plan, many in names.iter_rows()
    }
    rank = pl.col("plan_rank")
    number = pl.format("plan {}", (rank + 1).cast(pl.Int64))
    return rank.replace_strict(plan_names, default=None, return_dtype=pl.String).fill_null(
        pl.when(rank.is_not_null()).then(number)
    )


def _sort_segment_names(names: pl.Series) -> list[str]:
    """Sort bands in their own order, other names alphabetically, and "unknown" last."""
    bands = [*_SIZES.values(), _LARGEST, *_TENURES.values(), _LONGEST]
    sort_order = {name: number for number, name in enumerate(bands)} | {UNKNOWN: np.inf}
    return sorted(names.unique(), key=lambda name: (sort_order.get(name, 0), name))
