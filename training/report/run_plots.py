"""Evaluation plots of an MLflow run: reliability, precision by capacity, skill by cutoff."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from training.evaluation import baselines
from training.evaluation.evaluate import MODEL
from training.metrics import summary

__all__ = ["PLOTTED_BASELINES", "plot_metrics_by_cutoff", "plot_predictions", "style_axes"]

_MODEL_COLOR: Final = "#1f4e9c"
_REFERENCE_COLOR: Final = "0.55"
# One baseline of each kind, so that the lines can be distinguished.
PLOTTED_BASELINES: Final = (
    "seat utilization",
    "days to limit",
    "rule: tier 1",
    "health score",
    "most active users",
)
# Colour and dash both differ, for print and colour-blind readers.
_BASELINE_COLORS: Final = ("#d1711f", "#3a8f5c", "#8d5a97", "#b5a12d", "#7f8c8d")
_BASELINE_DASHES: Final = ("--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_BINS: Final = 10

Array = NDArray[np.float64]
MetricsByRanking = Mapping[str, Mapping[str, summary.MetricEstimate]]


def plot_predictions(predictions: pl.DataFrame, *, capacity: int) -> dict[str, Figure]:
    """Plot the quality of walk-forward predictions.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.result.EvaluationResult`.
    capacity : int
        Accounts a team can contact per as-of.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name; empty if the labels contain a single class.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    if labelled["expanded"].n_unique() < 2:
        return {}
    return {
        "reliability.png": _plot_reliability(labelled),
        "precision_by_capacity.png": _plot_precision_by_capacity(labelled, capacity),
        "precision_recall.png": _plot_precision_recall(labelled),
        "expected_and_observed.png": _plot_expected_and_observed(labelled),
    }


def plot_metrics_by_cutoff(metrics_by_cutoff: Mapping[date, MetricsByRanking]) -> dict[str, Figure]:
    """Plot log-loss skill and precision at capacity of each cutoff's model on its test snapshots.

    Parameters
    ----------
    metrics_by_cutoff : mapping of datetime.date to metrics
        Metrics per ranking for each cutoff.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name; empty without a cutoff.
    """
    if not metrics_by_cutoff:
        return {}
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    best_baseline = _select_best_baseline(metrics_by_cutoff)
    styles = _assign_styles((best_baseline,))
    _draw_metric_by_cutoff(above, metrics_by_cutoff, MODEL, "log_loss_skill", styles[MODEL])
    above.axhline(0, color=_REFERENCE_COLOR, linewidth=1)
    style_axes(above, "Skill of each cutoff's model on its test snapshots", "", "log-loss skill")
    _draw_metric_by_cutoff(below, metrics_by_cutoff, MODEL, "precision_at_capacity", styles[MODEL])
    _draw_metric_by_cutoff(
        below, metrics_by_cutoff, best_baseline, "precision_at_capacity", styles[best_baseline]
    )
    style_axes(below, "", "cutoff: end of the training data", "precision at capacity")
    below.legend(frameon=False)
    below.set_ylim(bottom=0)
    below.set_xticks(
        [np.datetime64(cutoff) for cutoff in metrics_by_cutoff],
        [f"{cutoff:%Y-%m-%d}" for cutoff in metrics_by_cutoff],
    )
    if len(metrics_by_cutoff) > 6:
        below.tick_params(axis="x", rotation=90)
    return {"skill_by_cutoff.png": figure}


def _plot_reliability(labelled: pl.DataFrame) -> Figure:
    predicted = labelled["probability"].to_numpy()
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bin_index = np.searchsorted(edges, predicted, side="right")
    occupied, bins = np.unique(bin_index, return_inverse=True)  # ties can leave bins empty
    expected, observed, low, high = _bin_rates(labelled, predicted, bins, len(occupied))
    figure = Figure(figsize=(6.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    axis_max = float(max(high.max(), expected.max())) * 1.05
    above.plot(
        [0, axis_max],
        [0, axis_max],
        color=_REFERENCE_COLOR,
        linestyle="--",
        linewidth=1,
        label="perfect calibration",
    )
    above.errorbar(
        expected,
        observed,
        yerr=[observed - low, high - observed],
        color=_MODEL_COLOR,
        marker="o",
        capsize=3,
        elinewidth=1,
        label="deciles of the snapshots, with 90 % intervals",
    )
    style_axes(above, "Reliability diagram", "", "share that expanded")
    above.set(xlim=(0, axis_max), ylim=(0, axis_max))
    above.legend(frameon=False, loc="upper left")
    below.hist(
        predicted.clip(max=axis_max), bins=40, range=(0, axis_max), color=_MODEL_COLOR, alpha=0.6
    )
    below.set_yscale("log")
    style_axes(below, "", "predicted probability; last bar: and above", "snapshots")
    return figure


def _bin_rates(
    labelled: pl.DataFrame, predicted: Array, bins: NDArray[np.int64], count: int
) -> tuple[Array, Array, Array, Array]:
    """Return expected and observed rate per bin, with a 90 % interval by account bootstrap."""
    account = labelled["account_id"].rank("dense").to_numpy() - 1
    shape = (int(account.max()) + 1, count)
    rows, events = np.zeros(shape), np.zeros(shape)
    np.add.at(rows, (account, bins), 1)
    np.add.at(events, (account, bins), labelled["expanded"].to_numpy())
    resample_counts = np.random.default_rng(0).multinomial(
        shape[0], np.full(shape[0], 1 / shape[0]), 400
    )
    rates = (resample_counts @ events) / np.maximum(resample_counts @ rows, 1)
    low, high = np.quantile(rates, [0.05, 0.95], axis=0)
    total = rows.sum(axis=0)
    observed = events.sum(axis=0) / total
    expected = np.bincount(bins, weights=predicted, minlength=count) / total
    return expected, observed, np.minimum(low, observed), np.maximum(high, observed)


def _plot_precision_by_capacity(labelled: pl.DataFrame, capacity: int) -> Figure:
    snapshots_by_date = labelled.partition_by("as_of")
    max_contacted = min(max(4 * capacity, 20), *(part.height for part in snapshots_by_date))
    contacted = np.union1d(
        np.geomspace(1, max_contacted, 30).astype(int), min(capacity, max_contacted)
    )
    figure, axes = _create_figure((8, 5))
    for name, style in _assign_styles().items():
        curve = [
            np.mean([_compute_precision(part, name, count) for part in snapshots_by_date])
            for count in contacted
        ]
        axes.plot(contacted, curve, label=name, **style)
    rate = float(labelled["expanded"].mean())  # type: ignore[arg-type]
    axes.axhline(rate, color=_REFERENCE_COLOR, linewidth=1, label="random order")
    if capacity <= max_contacted:
        axes.axvline(capacity, color="0.8", linewidth=6, zorder=0)
        axes.annotate(
            f" capacity: {capacity}", (capacity, 1), xycoords=("data", "axes fraction"), va="top"
        )
    style_axes(
        axes,
        "Precision by capacity",
        "accounts contacted per as-of date, from the top of the list",
        "share that expanded, mean over as-ofs",
    )
    axes.set(xlim=(1, max_contacted), ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    return figure


def _compute_precision(snapshots: pl.DataFrame, ranking: str, contacted: int) -> float:
    score, expanded = (
        snapshots[_get_score_column(ranking)].to_numpy(),
        snapshots["expanded"].to_numpy(),
    )
    return summary.precision_at_capacity(score, expanded, contacted)


def _plot_precision_recall(labelled: pl.DataFrame) -> Figure:
    figure, axes = _create_figure((8, 5))
    expanded = labelled["expanded"].to_numpy()
    for name, style in _assign_styles().items():
        precision, recall, _ = precision_recall_curve(
            expanded, labelled[_get_score_column(name)].to_numpy()
        )
        axes.step(recall[:-1], precision[:-1], where="post", label=name, **style)
    axes.axhline(expanded.mean(), color=_REFERENCE_COLOR, linewidth=1, label="random order")
    style_axes(
        axes,
        "Precision-recall curve, all as-ofs pooled",
        "recall",
        "precision",
    )
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    return figure


def _plot_expected_and_observed(labelled: pl.DataFrame) -> Figure:
    """Plot expected and observed expansions by as-of, which shows drift first."""
    counts = labelled.group_by("as_of", "cutoff").agg(
        pl.col("expanded").sum(),
        pl.col("probability").sum(),
        spread=(pl.col("probability") * (1 - pl.col("probability"))).sum().sqrt(),
    )
    counts = counts.sort("as_of")
    as_ofs, expected = counts["as_of"].to_list(), counts["probability"].to_numpy()
    spread = 1.645 * counts["spread"].to_numpy()
    figure, axes = _create_figure((8, 4.5))
    axes.fill_between(
        as_ofs,
        (expected - spread).clip(min=0),
        expected + spread,
        color=_MODEL_COLOR,
        alpha=0.15,
        linewidth=0,
        label="90 % of outcomes if the probabilities are exact",
    )
    axes.plot(as_ofs, expected, color=_MODEL_COLOR, marker=".", label="expected")
    axes.plot(as_ofs, counts["expanded"], color=_BASELINE_COLORS[0], marker="o", label="observed")
    for cutoff in counts["cutoff"].unique():
        axes.axvline(cutoff, color="0.8", linewidth=1, zorder=0)
    style_axes(axes, "Expected and observed expansions", "as-of; grey lines: cutoffs", "accounts")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", integer=True)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _draw_metric_by_cutoff(
    axes: Axes,
    metrics_by_cutoff: Mapping[date, MetricsByRanking],
    ranking: str,
    metric: str,
    style: dict[str, Any],
) -> None:
    estimates = {
        cutoff: rankings[ranking][metric] for cutoff, rankings in metrics_by_cutoff.items()
    }
    known_estimates = {
        cutoff: estimate for cutoff, estimate in estimates.items() if estimate.value is not None
    }
    values = np.array([estimate.value for estimate in known_estimates.values()], dtype=float)
    ends = [
        (estimate.low, estimate.high)
        if estimate.low is not None
        else (estimate.value, estimate.value)
        for estimate in known_estimates.values()
    ]
    low, high = np.array(ends, dtype=float).reshape(-1, 2).T
    error = [np.maximum(values - low, 0), np.maximum(high - values, 0)]
    days = [np.datetime64(cutoff) for cutoff in known_estimates]
    axes.errorbar(
        days, values, yerr=error, marker="o", capsize=3, elinewidth=1, label=ranking, **style
    )


def _select_best_baseline(metrics_by_cutoff: Mapping[date, MetricsByRanking]) -> str:
    """Return the baseline with the highest mean precision at capacity over all cutoffs."""
    means = {
        name: np.mean(
            [
                rankings[name]["precision_at_capacity"].value or 0
                for rankings in metrics_by_cutoff.values()
            ]
        )
        for name in baselines.BASELINES
    }
    return max(means, key=lambda name: float(means[name]))


def _assign_styles(rankings: Sequence[str] = PLOTTED_BASELINES) -> dict[str, dict[str, Any]]:
    """Assign each ranking its line style; the model comes last so that it is drawn on top."""
    styles = {
        name: {"color": color, "linestyle": dash, "linewidth": 1.3}
        for name, color, dash in zip(rankings, _BASELINE_COLORS, _BASELINE_DASHES, strict=False)
    }
    return styles | {MODEL: {"color": _MODEL_COLOR, "linewidth": 2.4}}


def _get_score_column(ranking: str) -> str:
    return "probability" if ranking == MODEL else ranking


def _create_figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def style_axes(axes: Axes, title: str, x: str, y: str) -> None:
    """Set title, labels and a light grid, the same for all plots of a run."""
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
