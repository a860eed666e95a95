"""Charts of a backtest: what each way of working catches, how early, and at what cost."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from serving.report import paint, strokes
from serving.report.page import Chart
from training.backtest import Way
from training.backtest.competing import LIST, LIST_AND_EVENTS

__all__ = ["against", "early", "is_model"]

_LETTER_PT: Final = 6.2  # a letter of 11.5 points is no wider on average
_LINE_PT: Final = 13.0
# Where a name may stand beside its mark: across, up, and the side that touches it.
_PLACES: Final = (
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


def is_model(way: Way) -> bool:
    """Tell whether a way of working follows the model."""
    return way.name in {LIST, LIST_AND_EVENTS}


@paint.styled
def against(ways: Sequence[Way], cost: str, *, key: str, title: str, says: str, x: str) -> Chart:
    """Share caught against a cost, each way with its name and its intervals.

    Parameters
    ----------
    ways : sequence of Way
        Those without either figure are left out.
    cost : str
        A key of :data:`training.backtest.FIGURES`.
    key, title, says, x
        The chart's address, question, reading, and what the axis shows.
    """
    told = [
        w for w in ways if _value(w, cost) is not None and _value(w, "share_flagged") is not None
    ]
    figure, axes = paint.axes(x, "share of the expansions caught", height_pt=360)
    for way in told:
        across, up = way.figures[cost], way.figures["share_flagged"]
        color = strokes.MODEL if is_model(way) else strokes.MUTED
        if across.low is not None:
            axes.hlines(up.value, across.low, across.high, color=color, linewidth=1, alpha=0.55)
        if up.low is not None:
            axes.vlines(across.value, up.low, up.high, color=color, linewidth=1, alpha=0.55)
        mark = "D" if is_model(way) else "o"
        axes.plot(
            across.value, up.value, marker=mark, markersize=6.5, color=color, linestyle="none"
        )
    ends = [e for w in told for e in _ends(w, cost)] or [1.0]
    tops = [e for w in told for e in _ends(w, "share_flagged")] or [1.0]
    axes.set_xlim(0, max(max(ends) * 1.06, 1e-9))
    paint.widen(axes, top=max(tops))
    paint.percent(axes.yaxis, highest=max(tops))
    figure.draw_without_rendering()  # settles the layout, so that names can be placed
    _name(axes, told, cost)
    return strokes.chart(figure, key=key, title=title, says=says, numbers=None)


@paint.styled
def early(ways: Sequence[Way]) -> Chart:
    """How long before the expansion each way had flagged it, as parts of a bar."""
    figure, axes = paint.axes("share of the expansions", "", height_pt=84 + 24 * len(ways))
    rows = np.arange(len(ways))
    month, fortnight, any_time = (
        np.array([_value(way, name) or 0.0 for way in ways])
        for name in ("share_flagged_30d", "share_flagged_14d", "share_flagged")
    )
    shades = (("30 days before", month, 1.0), ("14 to 29", fortnight - month, 0.6))
    left = np.zeros(len(ways))
    for label, width, alpha in (*shades, ("later", any_time - fortnight, 0.2)):
        axes.barh(
            rows,
            width,
            left=left,
            height=0.64,
            facecolor=(strokes.MODEL, alpha),
            edgecolor=strokes.MODEL,
            label=label,
            linewidth=0.8,
        )
        left = left + width
    strokes.rows(axes, [way.name for way in ways])
    axes.set_xlim(0, max(float(any_time.max()) * 1.08, 1e-9))
    paint.percent(axes.xaxis, highest=float(any_time.max()))
    strokes.legend(figure, columns=3)
    return strokes.chart(
        figure,
        key="early",
        title="How early is it caught?",
        says="Of all expansions, those that a way had flagged at least 30 days before, 14 to 29"
        " days before, and later. The rest were not caught.",
        numbers=None,
    )


def _name(axes: Axes, ways: Sequence[Way], cost: str) -> None:
    """Write each way's name beside its mark, where it covers no other name or mark."""
    marks = [
        axes.transData.transform((_known(way, cost), _known(way, "share_flagged"))) for way in ways
    ]
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    for way in ways:
        taken += _lines(axes, way, cost)
    frame = axes.get_window_extent()
    room = (frame.x0, frame.y0, frame.x1, frame.y1)
    for way, (x, y) in zip(ways, marks, strict=True):
        text = paint.plain(way.name, 34)
        width = _LETTER_PT * len(text)
        boxes = [_box(x + dx, y + dy, width, side) for dx, dy, side in _PLACES]
        costs = [
            sum(_overlap(box, other) for other in taken) + _outside(box, room) for box in boxes
        ]
        best = int(np.argmin(costs))
        across, up, side = _PLACES[best]
        taken.append(boxes[best])
        axes.annotate(
            text,
            (_known(way, cost), _known(way, "share_flagged")),
            xytext=(across, up),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=11.5,
            fontweight="bold" if is_model(way) else "normal",
            color=strokes.MODEL if is_model(way) else paint.LIGHT["ink"],
            annotation_clip=False,
        ).set_in_layout(False)


def _lines(axes: Axes, way: Way, cost: str) -> list[Box]:
    """Where the intervals of a way are drawn: names are kept off them where there is room."""
    across, up = _ends(way, cost), _ends(way, "share_flagged")
    here = _known(way, cost), _known(way, "share_flagged")
    ends = np.array(
        [(min(across), here[1]), (max(across), here[1]), (here[0], min(up)), (here[0], max(up))]
    )
    left, right, low, high = axes.transData.transform(ends)
    return [
        (float(left[0]), float(left[1]) - 2, float(right[0]), float(left[1]) + 2),
        (float(low[0]) - 2, float(low[1]), float(low[0]) + 2, float(high[1])),
    ]


def _box(x: float, y: float, width: float, side: str) -> Box:
    left = x if side == "left" else x - width
    return left, y - _LINE_PT / 2, left + width, y + _LINE_PT / 2


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(up, 0)


def _outside(box: Box, room: Box) -> float:
    """What lies outside the chart counts double."""
    inside = _overlap(box, room)
    return 2 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)


def _value(way: Way, name: str) -> float | None:
    figure = way.figures.get(name)
    return None if figure is None else figure.value


def _known(way: Way, name: str) -> float:
    return float(way.figures[name].value or 0.0)


def _ends(way: Way, name: str) -> list[float]:
    figure = way.figures[name]
    return [end for end in (figure.low, figure.value, figure.high) if end is not None]
