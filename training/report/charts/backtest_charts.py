"""Charts of a backtest: what each way of working catches, how early, and at what cost."""

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

_LETTER_WIDTH_PT: Final = 6.2  # a letter of 11.5 points is no wider on average
_LINE_HEIGHT_PT: Final = 13.0
# Where a name may stand beside its mark: across, up, and the side that touches it.
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
    """Tell whether a way of working follows the model."""
    return strategy.name in {WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS}


@svg.with_chart_style
def draw_cost_scatter(
    strategies: Sequence[StrategyResult], cost: str, *, key: str, title: str, says: str, x: str
) -> ReportChart:
    """Share caught against a cost, each way with its name and its intervals.

    Parameters
    ----------
    strategies : sequence of Way
        Those without either figure are left out.
    cost : str
        A key of :data:`training.backtest.FIGURES`.
    key, title, says, x
        The chart's address, question, reading, and what the axis shows.
    """
    drawn = [
        w
        for w in strategies
        if _get_value(w, cost) is not None and _get_value(w, "share_flagged") is not None
    ]
    figure, axes = svg.create_axes(x, "share of the expansions caught", height_pt=360)
    for strategy in drawn:
        across, up = strategy.figures[cost], strategy.figures["share_flagged"]
        color = plot_helpers.MODEL if uses_model(strategy) else plot_helpers.MUTED
        if across.low is not None:
            axes.hlines(up.value, across.low, across.high, color=color, linewidth=1, alpha=0.55)
        if up.low is not None:
            axes.vlines(across.value, up.low, up.high, color=color, linewidth=1, alpha=0.55)
        mark = "D" if uses_model(strategy) else "o"
        axes.plot(
            across.value, up.value, marker=mark, markersize=6.5, color=color, linestyle="none"
        )
    ends = [e for w in drawn for e in _get_ends(w, cost)] or [1.0]
    tops = [e for w in drawn for e in _get_ends(w, "share_flagged")] or [1.0]
    axes.set_xlim(0, max(max(ends) * 1.06, 1e-9))
    svg.set_upper_limit(axes, top=max(tops))
    svg.format_percent_axis(axes.yaxis, highest=max(tops))
    figure.draw_without_rendering()  # settles the layout, so that names can be placed
    _label_points(axes, drawn, cost)
    return plot_helpers.build_chart(figure, key=key, title=title, says=says, numbers=None)


@svg.with_chart_style
def draw_lead_times(strategies: Sequence[StrategyResult]) -> ReportChart:
    """How long before the expansion each way had flagged it, as parts of a bar."""
    figure, axes = svg.create_axes(
        "share of the expansions", "", height_pt=84 + 24 * len(strategies)
    )
    rows = np.arange(len(strategies))
    month, fortnight, any_time = (
        np.array([_get_value(strategy, name) or 0.0 for strategy in strategies])
        for name in ("share_flagged_30d", "share_flagged_14d", "share_flagged")
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
    plot_helpers.label_rows(axes, [way.name for way in strategies])
    axes.set_xlim(0, max(float(any_time.max()) * 1.08, 1e-9))
    svg.format_percent_axis(axes.xaxis, highest=float(any_time.max()))
    plot_helpers.draw_legend(figure, columns=3)
    return plot_helpers.build_chart(
        figure,
        key="early",
        title="How early is it caught?",
        says="Of all expansions, those that a way had flagged at least 30 days before, 14 to 29"
        " days before, and later. The rest were not caught.",
        numbers=None,
    )


def _label_points(axes: Axes, strategies: Sequence[StrategyResult], cost: str) -> None:
    """Write each way's name beside its mark, where it covers no other name or mark."""
    marks = [
        axes.transData.transform(
            (_require_value(strategy, cost), _require_value(strategy, "share_flagged"))
        )
        for strategy in strategies
    ]
    occupied: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    for way in strategies:
        occupied += _compute_interval_boxes(axes, way, cost)
    frame = axes.get_window_extent()
    frame_box = (frame.x0, frame.y0, frame.x1, frame.y1)
    for way, (x, y) in zip(strategies, marks, strict=True):
        text = svg.to_single_line(way.name, 34)
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
            (_require_value(way, cost), _require_value(way, "share_flagged")),
            xytext=(across, up),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=11.5,
            fontweight="bold" if uses_model(way) else "normal",
            color=plot_helpers.MODEL if uses_model(way) else svg.LIGHT["ink"],
            annotation_clip=False,
        ).set_in_layout(False)


def _compute_interval_boxes(axes: Axes, strategy: StrategyResult, cost: str) -> list[Box]:
    """Where the intervals of a way are drawn: names are kept off them where there is room."""
    across, up = _get_ends(strategy, cost), _get_ends(strategy, "share_flagged")
    center = _require_value(strategy, cost), _require_value(strategy, "share_flagged")
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
    """What lies outside the chart counts double."""
    inside = _compute_overlap(box, frame_box)
    return 2 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)


def _get_value(strategy: StrategyResult, name: str) -> float | None:
    estimate = strategy.figures.get(name)
    return None if estimate is None else estimate.value


def _require_value(strategy: StrategyResult, name: str) -> float:
    return float(strategy.figures[name].value or 0.0)


def _get_ends(strategy: StrategyResult, name: str) -> list[float]:
    estimate = strategy.figures[name]
    return [end for end in (estimate.low, estimate.value, estimate.high) if end is not None]
