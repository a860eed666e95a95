"""Plot helpers shared by all charts: lines, bands, legends, date axes, dots with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure as Canvas

from training.metrics.cluster_bootstrap import MetricEstimate
from training.report import svg
from training.report.html_page import ReportChart, ReportTable, load_texts

__all__ = [
    "BAND",
    "BOLD",
    "CONTEXT",
    "MODEL",
    "MUTED",
    "REFERENCE",
    "assign_styles",
    "build_chart",
    "draw_by_cutoff",
    "draw_curves",
    "draw_dot_plot",
    "draw_legend",
    "format_date_axis",
    "label_rows",
]

MODEL: Final = svg.LIGHT["model"]
FAINT: Final = svg.LIGHT["faint"]
MUTED: Final = svg.LIGHT["muted"]
BAND: Final[dict[str, Any]] = {"color": MODEL, "alpha": 0.18, "linewidth": 0}
BOLD: Final[dict[str, Any]] = {"color": MODEL, "linewidth": 2.2}
REFERENCE: Final[dict[str, Any]] = {"color": MUTED, "linewidth": 1, "linestyle": (0, (4, 3))}
_SHORT_DAYS: Final = 120
CONTEXT: Final[dict[str, Any]] = {"color": FAINT, "linewidth": 0.9}


def build_chart(
    canvas: Canvas,
    key: str,
    *,
    numbers: ReportTable | None = None,
    values: Mapping[str, object] = MappingProxyType({}),
) -> ReportChart:
    """Wrap a finished figure with title and caption, which also serve as its alternative text.

    They are those of the key in ``charts.toml``; ``values`` fill the braces of the caption.
    """
    texts = load_texts("charts.toml")[key]
    title, caption = texts["title"], texts["caption"].format(**values)
    image = Markup(svg.render_svg(canvas, key=key, alt=f"{title} {caption}"))  # noqa: S704 - escaped where it was written
    return ReportChart(key, title, image, caption, numbers, texts.get("tall", False))


def draw_curves(
    axes: Axes, curves: Mapping[str, pl.DataFrame], named: Sequence[str], x: str, y: str
) -> None:
    """Draw the named curves, the first on top of the others, and the rest without a label."""
    for name, curve in curves.items():
        if name not in named:
            axes.plot(curve[x], curve[y], **CONTEXT)
    styles = assign_styles(named)
    for name in reversed(named):
        curve = curves[name]
        axes.plot(curve[x], curve[y], label=svg.to_single_line(name, 34), **styles[name])


def assign_styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Assign the model style to the first name and baseline styles to the others."""
    return dict(zip(names, (BOLD, *svg.BASELINE_STYLES), strict=False))


def draw_legend(canvas: Canvas, *, columns: int, context: bool = False) -> None:
    """Draw the legend below the chart with the model first."""
    handles, labels = canvas.axes[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda index: (labels[index] != "model", index))
    handles, labels = [handles[index] for index in order], [labels[index] for index in order]
    if context:
        handles += canvas.axes[0].plot([], [], **CONTEXT)
        labels += ["other rankings"]
    canvas.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=columns,
        handlelength=1.8,
        columnspacing=1.4,
    )


def format_date_axis(axes: Axes, days: Sequence[date]) -> None:
    """Label months, or single days if the range is short."""
    if (max(days) - min(days)).days < _SHORT_DAYS:
        step = -(-len(days) // 3)
        shown = [np.datetime64(day) for day in days[::step]]
        axes.set_xticks(shown, [str(day) for day in shown])
        middle = np.datetime64(min(days)) + (max(days) - min(days)).days // 2
        margin = np.timedelta64(max((max(days) - min(days)).days, 30), "D")
        axes.set_xlim(middle - margin, middle + margin)  # type: ignore[arg-type]
        return
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m"))  # type: ignore[no-untyped-call]


@svg.with_chart_style
def draw_dot_plot(
    estimates: Mapping[str, MetricEstimate],
    key: str,
    *,
    x: str,
    line: float | None = None,
    shares: bool = False,
    strong: Sequence[str] = (),
    numbers: ReportTable | None = None,
) -> ReportChart:
    """Draw one metric of several items, each a dot with its interval, labelled at the left.

    Items without a value are left out, ``strong`` ones have the model's colour. ``line`` is the
    position of a reference line; ``shares`` are in per cent.
    """
    known_estimates = {
        name: estimate for name, estimate in estimates.items() if estimate.value is not None
    }
    figure, axes = svg.create_axes(x, "", height_pt=60 + 26 * max(len(known_estimates), 1))
    for row, (name, estimate) in enumerate(known_estimates.items()):
        color = MODEL if name in strong else MUTED
        if estimate.low is not None:
            axes.hlines(row, estimate.low, estimate.high, color=color, linewidth=1.8)
        axes.plot(estimate.value, row, marker="o", markersize=6, color=color)
    if line is not None:
        axes.axvline(line, **REFERENCE)
    label_rows(axes, list(known_estimates))
    ends = _collect_extent(known_estimates.values(), line)
    margin = 0.06 * max(max(ends) - min(ends), 1e-3)
    low = 0.0 if 0 <= min(ends) < 0.4 * max(ends) else min(ends) - margin
    axes.set_xlim(low, max(ends) + margin)
    if shares:
        svg.format_percent_axis(axes.xaxis, highest=max(ends))
    return build_chart(figure, key, numbers=numbers)


@svg.with_chart_style
def draw_by_cutoff(
    estimates_by_cutoff: Mapping[date, Mapping[str, MetricEstimate]],
    key: str,
    *,
    y: str,
    line: float | None = None,
    shares: bool = False,
    values: Mapping[str, object] = MappingProxyType({}),
) -> ReportChart:
    """Draw one metric over the cutoffs, with intervals; the model first, at most three others.

    ``line`` is the position of a reference line; ``shares`` are in per cent; ``values`` as for
    :func:`build_chart`.
    """
    figure, axes = svg.create_axes("cutoff", y, height_pt=280)
    names = list(next(iter(estimates_by_cutoff.values())))
    line_styles = assign_styles(names)
    for position, name in enumerate(names):
        shift = timedelta(days=6 * position)  # avoids overlapping intervals
        known = {
            np.datetime64(cutoff + shift): estimates[name]
            for cutoff, estimates in estimates_by_cutoff.items()
            if estimates[name].value is not None
        }
        style, label = line_styles[name], svg.to_single_line(name, 34)
        for day, estimate in known.items():
            if estimate.low is not None and estimate.high is not None:
                axes.vlines(
                    [day], [estimate.low], [estimate.high], color=style["color"], linewidth=1.2
                )
        heights = [estimate.value for estimate in known.values()]
        axes.plot(list(known), heights, marker="o", markersize=5, label=label, **style)
    if line is not None:
        axes.axhline(line, **REFERENCE)
    ends = _collect_extent(
        (estimates[name] for estimates in estimates_by_cutoff.values() for name in names), line
    )
    margin = 0.08 * max(max(ends) - min(ends), 1e-3)
    axes.set_ylim(min(ends) - margin if min(ends) < 0 else 0, max(ends) + margin)
    if shares:
        svg.format_percent_axis(axes.yaxis, highest=max(ends))
    format_date_axis(axes, list(estimates_by_cutoff))
    if len(names) > 1:
        draw_legend(figure, columns=2)
    return build_chart(figure, key, values=values)


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Label the rows of a chart at its left, the first on top."""
    axes.set_yticks(range(len(names)), [svg.to_single_line(name, 34) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=svg.LIGHT["ink"])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _collect_extent(estimates: Iterable[MetricEstimate], line: float | None) -> list[float]:
    """Return every value that a chart must show; 0 and 1 without any."""
    ends = [
        end for estimate in estimates for end in (estimate.low, estimate.value, estimate.high, line)
    ]
    return [end for end in ends if end is not None] or [0.0, 1.0]
