"""Charts of a backtest: detection rate, lead time and cost of each strategy."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes

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

Box = tuple[float, float, float, float]


def uses_model(strategy: StrategyResult) -> bool:
    """Return whether a strategy uses the model."""
    return strategy.name in {WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS}


@svg.with_chart_style
def draw_cost_scatter(
    strategies: Sequence[StrategyResult], cost: str, *, key: str, title: str, caption: str, x: str
) -> ReportChart:
    """Draw detection rate against a cost, each strategy with its label and intervals.

    Parameters
    ----------
    strategies : sequence of StrategyResult
        Those without either metric are left out.
    cost : str
        A key of :data:`training.backtest.BACKTEST_METRICS`.
    key, title, caption, x
        The chart's anchor, title, caption, and axis label.
    """
    drawn = [
        strategy
        for strategy in strategies
        if _get_value(strategy, cost) is not None
        and _get_value(strategy, "detection_rate") is not None
    ]
    figure, axes = svg.create_axes(x, "detection rate", height_pt=360)
    for strategy in drawn:
        across, up = strategy.metrics[cost], strategy.metrics["detection_rate"]
        color = plot_helpers.MODEL if uses_model(strategy) else plot_helpers.MUTED
        if across.low is not None:
            axes.hlines(up.value, across.low, across.high, color=color, linewidth=1, alpha=0.55)
        if up.low is not None:
            axes.vlines(across.value, up.low, up.high, color=color, linewidth=1, alpha=0.55)
        marker = "D" if uses_model(strategy) else "o"
        axes.plot(
            across.value, up.value, marker=marker, markersize=6.5, color=color, linestyle="none"
        )
    ends = [end for strategy in drawn for end in _get_ends(strategy, cost)] or [1.0]
    tops = [end for strategy in drawn for end in _get_ends(strategy, "detection_rate")] or [1.0]
    axes.set_xlim(0, max(max(ends) * 1.06, 1e-9))
    svg.set_upper_limit(axes, top=max(tops))
    svg.format_percent_axis(axes.yaxis, highest=max(tops))
    figure.draw_without_rendering()  # computes the layout that labels are placed in
    _label_points(axes, drawn, cost)
    return plot_helpers.build_chart(figure, key=key, title=title, caption=caption)


@svg.with_chart_style
def draw_lead_times(strategies: Sequence[StrategyResult]) -> ReportChart:
    """Draw each strategy's detected expansions by lead time, as a stacked bar."""
    figure, axes = svg.create_axes(
        "share of the expansions", "", height_pt=84 + 24 * len(strategies)
    )
    rows = np.arange(len(strategies))
    month, fortnight, any_time = (
        np.array([_get_value(strategy, name) or 0.0 for strategy in strategies])
        for name in ("detection_rate_30d", "detection_rate_14d", "detection_rate")
    )
    shades = (("30 days before", month, 1.0), ("14 to 29", fortnight - month, 0.6))
    left = np.zeros(len(strategies))
    for label, width, alpha in (*shades, ("later", any_time - fortnight, 0.2)):
        axes.barh(
            rows,
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
    return plot_helpers.build_chart(
        figure,
        key="lead-times",
        title="Lead time of detection",
        caption="Share of all expansions that a strategy flagged at least 30 days before, 14 to 29"
        " days before, and later. The rest were not detected.",
    )


def _label_points(axes: Axes, strategies: Sequence[StrategyResult], cost: str) -> None:
    """Label each strategy's point at the offset that overlaps other labels and points least."""
    marks = [
        axes.transData.transform(
            (_require_value(strategy, cost), _require_value(strategy, "detection_rate"))
        )
        for strategy in strategies
    ]
    occupied: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    for strategy in strategies:
        occupied += _compute_interval_boxes(axes, strategy, cost)
    frame = axes.get_window_extent()
    frame_box = (frame.x0, frame.y0, frame.x1, frame.y1)
    for strategy, (x, y) in zip(strategies, marks, strict=True):
        text = svg.to_single_line(strategy.name, 34)
        width = _LETTER_WIDTH_PT * len(text)
        boxes = [_make_label_box(x + dx, y + dy, width, side) for dx, dy, side in _LABEL_OFFSETS]
        costs = [
            sum(_compute_overlap(box, other) for other in occupied)
            + _compute_outside_area(box, frame_box)
            for box in boxes
        ]
        best = int(np.argmin(costs))
        across, up, side = _LABEL_OFFSETS[best]
        occupied.append(boxes[best])
        axes.annotate(
            text,
            (_require_value(strategy, cost), _require_value(strategy, "detection_rate")),
            xytext=(across, up),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=11.5,
            fontweight="bold" if uses_model(strategy) else "normal",
            color=plot_helpers.MODEL if uses_model(strategy) else svg.LIGHT["ink"],
            annotation_clip=False,
        ).set_in_layout(False)


def _compute_interval_boxes(axes: Axes, strategy: StrategyResult, cost: str) -> list[Box]:
    """Return the boxes of a strategy's interval lines, which labels avoid if there is room."""
    across, up = _get_ends(strategy, cost), _get_ends(strategy, "detection_rate")
    center = _require_value(strategy, cost), _require_value(strategy, "detection_rate")
    ends = np.array(
        [
            (min(across), center[1]),
            (max(across), center[1]),
            (center[0], min(up)),
            (center[0], max(up)),
        ]
    )
    left, right, low, high = axes.transData.transform(ends)
    return [
        (float(left[0]), float(left[1]) - 2, float(right[0]), float(left[1]) + 2),
        (float(low[0]) - 2, float(low[1]), float(low[0]) + 2, float(high[1])),
    ]


def _make_label_box(x: float, y: float, width: float, side: str) -> Box:
    left = x if side == "left" else x - width
    return left, y - _LINE_HEIGHT_PT / 2, left + width, y + _LINE_HEIGHT_PT / 2


def _compute_overlap(first: Box, second: Box) -> float:
    across = min(first[2], second[2]) - max(first[0], second[0])
    up = min(first[3], second[3]) - max(first[1], second[1])
    return max(across, 0) * max(up, 0)


def _compute_outside_area(box: Box, frame_box: Box) -> float:
    """Return twice the area of a box outside the chart, as a penalty."""
    inside = _compute_overlap(box, frame_box)
    return 2 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)


def _get_value(strategy: StrategyResult, name: str) -> float | None:
    estimate = strategy.metrics.get(name)
    return None if estimate is None else estimate.value


def _require_value(strategy: StrategyResult, name: str) -> float:
    return float(strategy.metrics[name].value or 0.0)


def _get_ends(strategy: StrategyResult, name: str) -> list[float]:
    estimate = strategy.metrics[name]
    return [end for end in (estimate.low, estimate.value, estimate.high) if end is not None]
