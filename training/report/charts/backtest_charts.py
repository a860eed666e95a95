"""Charts of a backtest: detection rate, lead time and cost of each strategy."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from training.backtest import StrategyResult
from training.backtest.strategy_set import WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS
from training.report import svg
from training.report.charts import plot_helpers
from training.report.html_page import ReportChart

__all__ = ["draw_cost_scatter", "draw_lead_times", "uses_model"]

_LETTER_WIDTH_PT: Final = 6.2  # mean letter width at 11.5 points
_LINE_HEIGHT_PT: Final = 13.0
# Candidate label positions: x and y offset, and horizontal alignment.
_LABEL_OFFSETS: Final = (
    (7, 10, "left"),
    (-7, 10, "right"),
    (7, -10, "left"),
    (-7, -10, "right"),
    (9, 0, "left"),
    (-9, 0, "right"),
    (7, 22, "left"),
    (7, -22, "left"),
    (-7, 22, "right"),
    (-7, -22, "right"),
)


def uses_model(strategy: StrategyResult) -> bool:
    """Return whether a strategy uses the model."""
    return strategy.name in {WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS}


@svg.with_chart_style
def draw_cost_scatter(strategies: Sequence[StrategyResult]) -> ReportChart:
    """Draw detection rate against false alarms, each strategy with its label and intervals.

    Strategies without either metric are left out.
    """
    drawn = [
        strategy
        for strategy in strategies
        if None not in {_get_value(strategy, name) for name in ("false_alarms", "detection_rate")}
    ]
    figure, axes = svg.create_axes(
        "false alarms per quarter and CSM", "detection rate", height_pt=360
    )
    for strategy in drawn:
        across, up = strategy.metrics["false_alarms"], strategy.metrics["detection_rate"]
        color = plot_helpers.MODEL if uses_model(strategy) else plot_helpers.MUTED
        if across.low is not None:
            axes.hlines(up.value, across.low, across.high, color=color, linewidth=1, alpha=0.55)
        if up.low is not None:
            axes.vlines(across.value, up.low, up.high, color=color, linewidth=1, alpha=0.55)
        marker = "D" if uses_model(strategy) else "o"
        axes.plot(
            across.value, up.value, marker=marker, markersize=6.5, color=color, linestyle="none"
        )
    rightmost, top = (
        max([end for strategy in drawn for end in _get_ends(strategy, name)] or [1.0])
        for name in ("false_alarms", "detection_rate")
    )
    axes.set_xlim(0, max(rightmost * 1.06, 1e-9))
    svg.set_upper_limit(axes, top=top)
    svg.format_percent_axis(axes.yaxis, highest=top)
    figure.draw_without_rendering()  # computes the layout that labels are placed in
    _label_points(axes, drawn)
    return plot_helpers.build_chart(figure, "false-alarms")


@svg.with_chart_style
def draw_lead_times(strategies: Sequence[StrategyResult]) -> ReportChart:
    """Draw each strategy's detected expansions by lead time, as a stacked bar."""
    figure, axes = svg.create_axes(
        "share of the expansions", "", height_pt=84 + 24 * len(strategies)
    )
    month, fortnight, any_time = (
        np.array([_get_value(strategy, name) or 0.0 for strategy in strategies])
        for name in ("detection_rate_30d", "detection_rate_14d", "detection_rate")
    )
    left = np.zeros(len(strategies))
    for label, width, alpha in (
        ("30 days before", month, 1.0),
        ("14 to 29", fortnight - month, 0.6),
        ("later", any_time - fortnight, 0.2),
    ):
        axes.barh(
            np.arange(len(strategies)),
            width,
            left=left,
            height=0.64,
            facecolor=(plot_helpers.MODEL, alpha),
            edgecolor=plot_helpers.MODEL,
            label=label,
            linewidth=0.8,
        )
        left = left + width
    plot_helpers.label_rows(axes, [strategy.name for strategy in strategies])
    axes.set_xlim(0, max(float(any_time.max()) * 1.08, 1e-9))
    svg.format_percent_axis(axes.xaxis, highest=float(any_time.max()))
    plot_helpers.draw_legend(figure, columns=3)
    return plot_helpers.build_chart(figure, "lead-times")


def _label_points(axes: Axes, strategies: Sequence[StrategyResult]) -> None:
    """Label each strategy's point at the offset that overlaps other labels and points least."""
    centers = [
        (
            strategy.metrics["false_alarms"].value or 0.0,
            strategy.metrics["detection_rate"].value or 0.0,
        )
        for strategy in strategies
    ]
    marks = [axes.transData.transform(center) for center in centers]
    occupied = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    for strategy, center in zip(strategies, centers, strict=True):
        occupied += _compute_interval_boxes(axes, strategy, center)
    frame = axes.get_window_extent()
    for strategy, center, (x, y) in zip(strategies, centers, marks, strict=True):
        text = svg.to_single_line(strategy.name, 34)
        boxes = [
            _make_label_box(x + dx, y + dy, _LETTER_WIDTH_PT * len(text), side)
            for dx, dy, side in _LABEL_OFFSETS
        ]
        costs = [
            sum(_compute_overlap(box, other) for other in occupied)
            + 2 * (box.width * box.height - _compute_overlap(box, frame))  # outside of the chart
            for box in boxes
        ]
        best = int(np.argmin(costs))
        occupied.append(boxes[best])
        axes.annotate(
            text,
            center,
            xytext=_LABEL_OFFSETS[best][:2],
            textcoords="offset points",
            ha=_LABEL_OFFSETS[best][2],
            va="center",
            fontsize=11.5,
            fontweight="bold" if uses_model(strategy) else "normal",
            color=plot_helpers.MODEL if uses_model(strategy) else svg.LIGHT["ink"],
            annotation_clip=False,
        ).set_in_layout(False)


def _compute_interval_boxes(
    axes: Axes, strategy: StrategyResult, center: tuple[float, float]
) -> list[Bbox]:
    """Return the boxes of a strategy's interval lines, which labels avoid if there is room."""
    across, up = _get_ends(strategy, "false_alarms"), _get_ends(strategy, "detection_rate")
    (left, low), (right, high) = axes.transData.transform(
        [(min(across), min(up)), (max(across), max(up))]
    )
    x, y = axes.transData.transform(center)
    return [
        Bbox.from_extents(left, y - 2, right, y + 2),
        Bbox.from_extents(x - 2, low, x + 2, high),
    ]


def _make_label_box(x: float, y: float, width: float, side: str) -> Bbox:
    left = x if side == "left" else x - width
    return Bbox.from_bounds(left, y - _LINE_HEIGHT_PT / 2, width, _LINE_HEIGHT_PT)


def _compute_overlap(first: Bbox, second: Bbox) -> float:
    common = Bbox.intersection(first, second)
    return 0.0 if common is None else common.width * common.height


def _get_value(strategy: StrategyResult, name: str) -> float | None:
    estimate = strategy.metrics.get(name)
    return None if estimate is None else estimate.value


def _get_ends(strategy: StrategyResult, name: str) -> list[float]:
    estimate = strategy.metrics[name]
    return [end for end in (estimate.low, estimate.value, estimate.high) if end is not None]
