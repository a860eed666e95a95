"""Charts of SHAP attributions: signals that raise and lower the score, and features by account."""

from typing import Any, Final

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from features.catalogue import FEATURES_BY_NAME
from training.model.propensity import Propensity
from training.report import svg
from training.report.charts import plot_helpers
from training.report.html_page import ReportChart

__all__ = ["draw_contributions", "draw_feature_importance", "summarize_attributions"]

_MIN_RANK_CORRELATION: Final = 0.3
_MAX_FEATURES: Final = 15
_MAX_ACCOUNTS: Final = 300  # in the chart of single accounts
_COLORS: Final = matplotlib.colormaps["coolwarm"]


def summarize_attributions(model: Propensity, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Compute the mean SHAP contribution of each signal group over at least one snapshot.

    The columns are ``signal``; ``size``, the mean absolute contribution to the log-odds, ``up`` and
    ``down``, its parts by sign (``down`` is below 0); ``feature``, the group's most important
    feature; ``direction``, the effect of a higher value of that feature; largest first.
    """
    contributions, _ = model.compute_contributions(snapshots)
    mean_magnitude = np.abs(contributions).mean(axis=0)
    signal_groups = [FEATURES_BY_NAME[name].signal_group for name in model.inputs]
    rows = []
    for signal_group in dict.fromkeys(signal_groups):
        columns = [at for at, name in enumerate(signal_groups) if name == signal_group]
        total = contributions[:, columns].sum(axis=1)
        leading_column = max(columns, key=lambda at: (mean_magnitude[at], -at))
        feature = model.inputs[leading_column]
        rows.append(
            {
                "signal": signal_group.replace("_", " "),
                "size": float(np.abs(total).mean()),
                "up": float(total.clip(min=0).mean()),
                "down": float(total.clip(max=0).mean()),
                "feature": feature,
                "direction": _describe_direction(
                    snapshots[feature], contributions[:, leading_column]
                ),
            }
        )
    return pl.DataFrame(rows).sort("size", "signal", descending=[True, False])


def _describe_direction(values: pl.Series, contributions: np.ndarray) -> str:
    """Return the direction of a feature's effect, from the Spearman correlation."""
    pairs = pl.DataFrame({"value": values.fill_nan(None), "contribution": contributions})
    known = pairs.drop_nulls("value")
    if known["value"].n_unique() < 2 or known["contribution"].n_unique() < 2:
        return "none"
    correlation = known.select(pl.corr("value", "contribution", method="spearman")).item()
    if abs(correlation) < _MIN_RANK_CORRELATION:
        return "mixed"
    return "raises" if correlation > 0 else "lowers"


@svg.with_chart_style
def draw_contributions(contributions: pl.DataFrame) -> ReportChart:
    """Draw mean positive and negative contribution of each signal group."""
    figure, axes = svg.create_axes(
        "mean contribution to the log-odds", "", height_pt=64 + 22 * contributions.height
    )
    positions = np.arange(contributions.height)
    axes.barh(positions, contributions["up"], color=plot_helpers.MODEL, height=0.62, label="up")
    axes.barh(
        positions,
        contributions["down"],
        color=svg.LIGHT["baseline-1"],
        height=0.62,
        alpha=0.85,
        label="down",
    )
    axes.axvline(0, color=plot_helpers.MUTED, linewidth=0.8)
    plot_helpers.label_rows(axes, contributions["signal"].to_list())
    plot_helpers.draw_legend(figure, columns=2)
    return plot_helpers.build_chart(figure, "drivers")


@svg.with_chart_style
def draw_feature_importance(model: Propensity, snapshots: pl.DataFrame) -> ReportChart:
    """Draw a SHAP summary of a regular sample of accounts, for the most important features.

    There is one dot per account and feature; the file's size limits the sample.
    """
    sample = snapshots.gather_every(-(-snapshots.height // _MAX_ACCOUNTS))
    contributions, _ = model.compute_contributions(sample)
    mean_magnitude = np.abs(contributions).mean(axis=0)
    order = np.argsort(-mean_magnitude, kind="stable")[:_MAX_FEATURES]
    figure, axes = svg.create_axes(
        "contribution to the log-odds", "", height_pt=90 + 24 * len(order)
    )
    axes.axvline(0, color=plot_helpers.MUTED, linewidth=0.8)
    for row, column in enumerate(order):
        values = sample[model.inputs[column]].fill_nan(None)
        _draw_dots(axes, row, contributions[:, column], values)
    plot_helpers.label_rows(axes, [model.inputs[column] for column in order])
    for label, color in (
        ("lowest value", _COLORS(0.0)),
        ("highest value", _COLORS(1.0)),
        ("missing", plot_helpers.FAINT),
    ):
        axes.scatter([], [], s=20, color=color, label=label)
    plot_helpers.draw_legend(figure, columns=3)
    share = mean_magnitude[order].sum() / max(mean_magnitude.sum(), 1e-12)
    return plot_helpers.build_chart(
        figure,
        "feature-importance",
        values={"shown": len(order), "total": len(mean_magnitude), "share": share},
    )


def _draw_dots(axes: Axes, row: int, contributions: NDArray[np.float64], values: pl.Series) -> None:
    """Draw one feature's dots, with vertical jitter where they would overlap."""
    bins = np.digitize(contributions, np.histogram_bin_edges(contributions, bins=60))
    position = pl.int_range(pl.len()).over("bin")
    offset = (position + 1) // 2 * (1 - 2 * (position % 2))
    jitter = pl.DataFrame({"bin": bins}).select(offset=offset, crowd=pl.len().over("bin"))
    height = row + jitter["offset"].to_numpy() * min(0.08, 0.8 / jitter["crowd"].to_numpy().max())
    known = values.is_not_null().to_numpy()
    rank = values.drop_nulls().rank("average").to_numpy()
    shade = (rank - 1) / max(len(rank) - 1, 1)
    dots: dict[str, Any] = {"s": 8, "linewidths": 0}
    axes.scatter(contributions[~known], height[~known], color=plot_helpers.FAINT, **dots)
    axes.scatter(contributions[known], height[known], c=shade, cmap=_COLORS, vmin=0, vmax=1, **dots)
