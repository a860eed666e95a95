"""SHAP summary (beeswarm) plot of a model's features."""

from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.model.propensity import Propensity
from training.report import run_plots

__all__ = ["plot_feature_importance"]

_MAX_FEATURES: Final = 15

Array = NDArray[np.float64]


def plot_feature_importance(model: Propensity, snapshots: pl.DataFrame) -> Figure:
    """Plot a SHAP summary: each account's contribution, for the most important features.

    Parameters
    ----------
    model : Propensity
        The model to explain.
    snapshots : polars.DataFrame
        Accounts to explain it on, such as those of the latest as-of.

    Returns
    -------
    matplotlib.figure.Figure
        One dot per account and feature, coloured by the feature's rank among the accounts.
    """
    contributions, _ = model.compute_contributions(snapshots)
    mean_magnitude = np.abs(contributions).mean(axis=0)
    order = np.argsort(-mean_magnitude, kind="stable")[:_MAX_FEATURES]
    figure = Figure(figsize=(9, 0.38 * len(order) + 1.8), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.55", linewidth=1)
    for row, column in enumerate(order):
        points = _draw_points(axes, row, contributions[:, column], snapshots[model.inputs[column]])
    names = [f"{model.inputs[column]}   {mean_magnitude[column]:.2f}" for column in order]
    axes.set_yticks(range(len(order)), names)
    axes.invert_yaxis()
    share = mean_magnitude[order].sum() / max(mean_magnitude.sum(), 1e-12)
    run_plots.style_axes(
        axes,
        f"Feature importance (SHAP): top {len(order)} of {len(mean_magnitude)} features,"
        f" {share:.0%} of the total attribution",
        "contribution to the log-odds, before calibration",
        "feature, mean absolute contribution",
    )
    bar = figure.colorbar(points, ax=axes, aspect=40, pad=0.01, ticks=[0, 1])
    bar.ax.set_yticklabels(["lowest", "highest"])
    bar.set_label("feature value, ranked; grey: missing", labelpad=-20)
    bar.outline.set_visible(False)
    return figure


def _draw_points(axes: Axes, row: int, contributions: Array, values: pl.Series) -> Any:  # noqa: ANN401
    """Draw one feature's dots with vertical jitter where they would overlap."""
    edges = np.histogram_bin_edges(contributions, bins=60)
    bins = np.digitize(contributions, edges)
    jitter = (
        pl.Series(bins)
        .to_frame("bin")
        .select(
            offset=(pl.int_range(pl.len()).over("bin") + 1)
            // 2
            * (1 - 2 * (pl.int_range(pl.len()).over("bin") % 2)),
            crowd=pl.len().over("bin"),
        )
    )
    crowd = jitter["crowd"].to_numpy().max()
    height = row + jitter["offset"].to_numpy() * min(0.08, 0.8 / crowd)
    present = values.is_not_null() & values.is_not_nan().fill_null(value=False)
    has_value = present.to_numpy()
    axes.scatter(contributions[~has_value], height[~has_value], s=6, color="0.75", linewidths=0)
    ranked = values.filter(present).rank("average").to_numpy()
    shade = (ranked - 1) / max(len(ranked) - 1, 1)
    return axes.scatter(
        contributions[has_value],
        height[has_value],
        s=7,
        c=shade,
        cmap="coolwarm",
        vmin=0,
        vmax=1,
        linewidths=0,
    )
