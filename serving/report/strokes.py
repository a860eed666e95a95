"""The strokes that all charts share: lines, bands, legends, dates, and dots with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure as Canvas

from serving.report import paint
from serving.report.page import Chart, Table
from serving.report.words import share
from training.resampling import Figure

__all__ = [
    "BAND",
    "BOLD",
    "CONTEXT",
    "MODEL",
    "MUTED",
    "REFERENCE",
    "chart",
    "dated",
    "dots",
    "legend",
    "named",
    "over_cuts",
    "pushes",
    "rows",
    "span",
    "styles",
]

MODEL: Final = paint.LIGHT["model"]
FAINT: Final = paint.LIGHT["faint"]
MUTED: Final = paint.LIGHT["muted"]
BAND: Final[dict[str, Any]] = {"color": MODEL, "alpha": 0.18, "linewidth": 0}
BOLD: Final[dict[str, Any]] = {"color": MODEL, "linewidth": 2.2}
REFERENCE: Final[dict[str, Any]] = {"color": MUTED, "linewidth": 1, "linestyle": (0, (4, 3))}
_SHORT_DAYS: Final = 120
CONTEXT: Final[dict[str, Any]] = {"color": FAINT, "linewidth": 0.9}


def chart(canvas: Canvas, *, key: str, title: str, says: str, numbers: Table | None) -> Chart:
    """Put a finished canvas among its words; they are what is read aloud in its place."""
    drawn = paint.svg(canvas, key=key, alt=f"{title} {says}")
    return Chart(title, Markup(drawn), says, numbers)  # noqa: S704 - escaped where it was written


def named(axes: Axes, curves: Mapping[str, pl.DataFrame], x: str, y: str) -> None:
    """Draw the named curves, the first on top."""
    drawn = styles(list(curves))
    for name, curve in reversed(list(curves.items())):
        axes.plot(curve[x], curve[y], label=paint.plain(name, 34), **drawn[name])


def styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The first name as the model is drawn, the others as rivals."""
    return dict(zip(names, (BOLD, *paint.RIVALS), strict=False))


def legend(canvas: Canvas, *, columns: int, context: bool = False) -> None:
    """Name the lines below the chart, in reading order: the model first."""
    handles, labels = canvas.axes[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda at: (labels[at] != "model", at))
    handles, labels = [handles[at] for at in order], [labels[at] for at in order]
    if context:
        handles += canvas.axes[0].plot([], [], **CONTEXT)
        labels += ["each other ranking"]
    canvas.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=columns,
        handlelength=1.8,
        columnspacing=1.4,
    )


def dated(axes: Axes, days: Sequence[date]) -> None:
    """Label months; of few days that lie close together, the days themselves."""
    if (max(days) - min(days)).days < _SHORT_DAYS:
        step = -(-len(days) // 3)
        shown = [np.datetime64(day) for day in days[::step]]
        axes.set_xticks(shown, [str(day) for day in shown])
        middle = np.datetime64(min(days)) + (max(days) - min(days)).days // 2
        room = np.timedelta64(max((max(days) - min(days)).days, 30), "D")
        axes.set_xlim(middle - room, middle + room)  # type: ignore[arg-type]
        return
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m"))  # type: ignore[no-untyped-call]


@paint.styled
def dots(
    found: Mapping[str, Figure],
    *,
    key: str,
    title: str,
    says: str,
    x: str,
    line: float | None = None,
    shares: bool = False,
    strong: Sequence[str] = (),
    numbers: Table | None = None,
) -> Chart:
    """One figure of several things, each a dot with its interval, named at the left.

    Parameters
    ----------
    found : mapping of str to Figure
        Name → figure; those without a value are left out.
    key, title, says, x
        The chart's address, question, reading, and what the axis shows.
    line : float, optional
        Where a reference stands.
    shares : bool
        Whether the figures are shares, and the axis in per cent.
    strong : sequence of str
        Names in the model's colour.
    numbers : Table, optional
        What stands behind it.
    """
    told = {name: figure for name, figure in found.items() if figure.value is not None}
    figure, axes = paint.axes(x, "", height_pt=60 + 26 * max(len(told), 1))
    for row, (name, each) in enumerate(told.items()):
        color = MODEL if name in strong else MUTED
        if each.low is not None:
            axes.hlines(row, each.low, each.high, color=color, linewidth=1.8)
        axes.plot(each.value, row, marker="o", markersize=6, color=color)
    if line is not None:
        axes.axvline(line, **REFERENCE)
    rows(axes, list(told))
    ends = _reach(told.values(), line)
    margin = 0.06 * max(max(ends) - min(ends), 1e-3)
    low = 0.0 if 0 <= min(ends) < 0.4 * max(ends) else min(ends) - margin
    axes.set_xlim(low, max(ends) + margin)
    if shares:
        paint.percent(axes.xaxis, highest=max(ends))
    return chart(figure, key=key, title=title, says=says, numbers=numbers)


@paint.styled
def over_cuts(
    cuts: Mapping[date, Mapping[str, Figure]],
    *,
    key: str,
    title: str,
    says: str,
    y: str,
    line: float | None = None,
    shares: bool = False,
) -> Chart:
    """One figure over the cuts, with intervals.

    Parameters
    ----------
    cuts : mapping of datetime.date to mapping of str to Figure
        Cut → name → figure; the model first, at most three others.
    key, title, says, y
        The chart's address, question, reading, and what the axis shows.
    line : float, optional
        Where a reference stands.
    shares : bool
        Whether the figure is a share, and the axis in per cent.
    """
    figure, axes = paint.axes("cut", y, height_pt=280)
    names = list(next(iter(cuts.values())))
    drawn = styles(names)
    for place, name in enumerate(names):
        shift = timedelta(days=6 * place)  # else intervals of one cut hide each other
        told = {cut + shift: found[name] for cut, found in cuts.items()}
        _over_time(axes, told, name, drawn[name])
    if line is not None:
        axes.axhline(line, **REFERENCE)
    ends = _reach((found[name] for found in cuts.values() for name in names), line)
    margin = 0.08 * max(max(ends) - min(ends), 1e-3)
    axes.set_ylim(min(ends) - margin if min(ends) < 0 else 0, max(ends) + margin)
    if shares:
        paint.percent(axes.yaxis, highest=max(ends))
    dated(axes, list(cuts))
    if len(names) > 1:
        legend(figure, columns=2)
    return chart(figure, key=key, title=title, says=says, numbers=None)


@paint.styled
def pushes(signals: pl.DataFrame) -> Chart:
    """What moves the score, up and down; see :func:`serving.report.causes.signals`."""
    figure, axes = paint.axes("mean push on the log-odds", "", height_pt=64 + 22 * signals.height)
    places = np.arange(signals.height)
    axes.barh(places, signals["up"], color=MODEL, height=0.62, label="up")
    axes.barh(
        places, signals["down"], color=paint.LIGHT["rival-1"], height=0.62, alpha=0.85, label="down"
    )
    axes.axvline(0, color=MUTED, linewidth=0.8)
    rows(axes, signals["signal"].to_list())
    legend(figure, columns=2)
    return chart(
        figure,
        key="drivers",
        title="What moves the score, and which way?",
        says="Each bar adds what a signal does to the accounts it raises and to those it lowers,"
        " averaged over all: exact contributions to the log-odds before calibration.",
        numbers=None,
    )


def rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a chart at its left, the first on top."""
    axes.set_yticks(range(len(names)), [paint.plain(name, 34) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=paint.LIGHT["ink"])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _over_time(
    axes: Axes, told: Mapping[date, Figure], name: str, style: Mapping[str, Any]
) -> None:
    for day, each in told.items():
        if each.low is not None and each.high is not None:
            at = np.datetime64(day)
            axes.vlines([at], [each.low], [each.high], color=style["color"], linewidth=1.2)
    known = {np.datetime64(d): each.value for d, each in told.items() if each.value is not None}
    label = paint.plain(name, 34)
    axes.plot(list(known), list(known.values()), marker="o", markersize=5, label=label, **style)


def _reach(figures: Iterable[Figure], line: float | None) -> list[float]:
    """Every end that a chart must show; from 0 to 1 where there is none."""
    ends = [end for each in figures for end in (each.low, each.value, each.high, line)]
    return [end for end in ends if end is not None] or [0.0, 1.0]


def span(row: Mapping[str, Any]) -> str:
    """Say the interval of a row of shares."""
    return f"{share(row['low'])} to {share(row['high'])}"
