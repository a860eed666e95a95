"""Geometry of the SVG charts: data values to canvas coordinates, drawn by the templates.

Kept small so that pages render fast. Colours, fonts and print styles are in the style sheet.
"""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np

from features.catalogue import GROUP_BY_SIGNAL

__all__ = [
    "LineChart",
    "WaterfallBar",
    "build_curve_chart",
    "build_history_chart",
    "build_seats_chart",
    "build_usage_chart",
    "build_waterfall",
]

WIDTH: Final = 440.0
HEIGHT: Final = 230.0
LEFT: Final = 46.0
RIGHT: Final = 12.0
TOP: Final = 22.0
BOTTOM: Final = 30.0
_LOG_TWO: Final = math.log(2)  # log-odds of doubled odds
_MIN_CONTRIBUTION: Final = 0.005  # smaller contributions are not shown
_MAX_BARS: Final = 8  # reason groups shown one by one
Point = tuple[float, float | None]


class AxisTick(NamedTuple):
    """An axis label and its position."""

    position: float
    label: str


class ChartMark(NamedTuple):
    """A labelled vertical line, or a dot."""

    x: float
    label: str
    y: float | None = None
    anchor: str = "start"


@dataclass(frozen=True)
class LineChart:
    """Paths on a canvas of 440 × 230, and the text alternative.

    ``line``, ``ceiling`` and ``area`` are SVG paths of the measured value, its limit and the
    interval. ``legend`` holds ("line" or "ceiling", text with the current value).
    """

    alt: str
    line: str
    x: Sequence[AxisTick]
    y: Sequence[AxisTick]
    ceiling: str = ""
    area: str = ""
    marks: Sequence[ChartMark] = ()
    dots: Sequence[ChartMark] = ()
    legend: Sequence[tuple[str, str]] = ()


class WaterfallBar(NamedTuple):
    """One bar of the waterfall chart: value, and position in per cent of the width.

    ``direction`` is "up", "down", or "sum" for the first and the last bar.
    """

    name: str
    value: float
    start: float
    width: float
    direction: str


def build_curve_chart(
    points: Mapping[str, Sequence[float]] | None,
    as_of: date,
    *,
    readiness_date: date | None,
    horizon_days: int,
) -> LineChart | None:
    """Build the chart of cumulative incidence by days, with the readiness date marked."""
    if not points:
        return None
    days, probability = [0, *points["days"]], [0.0, *points["probability"]]
    last = float(days[-1])
    x = _make_scale(0, last, LEFT, WIDTH - RIGHT)
    top = _round_up_to_tick(max(points["high"]), maximum=1.0)
    y = _make_scale(0, top, HEIGHT - BOTTOM, TOP)
    grid = [last * step / 60 for step in range(61)]
    estimate, lower, upper = (
        [
            (x(day), y(share))
            for day, share in zip(grid, _interpolate(days, shares, grid), strict=True)
        ]
        for shares in (probability, [0.0, *points["low"]], [0.0, *points["high"]])
    )
    marks = []
    if readiness_date is not None:
        days_ahead = min(max((readiness_date - as_of).days, 0), last)
        label = (
            "ready now" if days_ahead == 0 else f"ready {readiness_date.day} {readiness_date:%B}"
        )
        in_right_part = x(days_ahead) > WIDTH * 0.62
        marks = [ChartMark(x(days_ahead), label, anchor="end" if in_right_part else "start")]
    (within,) = _interpolate(days, probability, [horizon_days])
    return LineChart(
        alt=f"Cumulative probability of an expansion by days from {as_of}: {within:.0%} within"
        f" {horizon_days} days, {probability[-1]:.0%} within {last:.0f}.",
        line=_to_path(estimate),
        area=_to_path([*upper, *reversed(lower)]) + "Z",
        x=[
            AxisTick(x(day), f"{day} d")
            for day in range(0, int(last) + 1, 60 if last >= 120 else 30)
        ],
        y=_build_share_ticks(top, y, (0, 1, 2, 3, 4)),
        marks=marks,
        dots=[ChartMark(x(horizon_days), f"{within:.0%}", y(within))],
    )


def build_seats_chart(months: Mapping[str, Sequence[Any]] | None) -> LineChart | None:
    """Build the chart of active seats by month against licensed seats."""
    if not months or all(month is None for month in months["active_seats"]):
        return None
    return _build_limit_chart(
        months["ends"],
        _drop_unsold_months(months["active_seats"], months),
        months["seats"],
        "active seats",
        "licensed",
    )


def build_usage_chart(
    months: Mapping[str, Sequence[Any]] | None, contract: Mapping[str, Sequence[Any]] | None
) -> LineChart | None:
    """Build the chart of API calls by month against their limit; None without API calls."""
    if not months or not any(months["api_calls"]):
        return None
    calls = _drop_unsold_months(months["api_calls"], months)
    limits = [_find_term(contract, end, "usage_limit") for end in months["ends"]]
    return _build_limit_chart(months["ends"], calls, limits, "calls in 30 days", "calls allowed")


def build_history_chart(past: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """Build the chart of the probability on past lists; None for fewer than two."""
    history = [(row["as_of"], row["probability"]) for row in past if row["probability"] is not None]
    if len(history) < 2:
        return None
    first, last = history[0][0], history[-1][0]
    x = _make_scale(first.toordinal(), last.toordinal(), LEFT, WIDTH - RIGHT)
    top = _round_up_to_tick(max(value for _, value in history), maximum=1.0)
    y = _make_scale(0, top, HEIGHT - BOTTOM, TOP)
    points = [(x(day.toordinal()), y(probability)) for day, probability in history]
    return LineChart(
        alt=f"Probability on the last {len(history)} lists: from {history[0][1]:.0%} to"
        f" {history[-1][1]:.0%}.",
        line=_to_path(points),
        x=_build_date_ticks(first, last, x),
        y=_build_share_ticks(top, y, (0, 2, 4)),
        dots=[ChartMark(px, "", py) for px, py in points[-26:]],
    )


def build_waterfall(
    base: float, contributions: Mapping[str, float], margin: float
) -> list[WaterfallBar]:
    """Return the waterfall of a score: base, reason groups by contribution, and the sum."""
    by_group: dict[str, float] = {}
    for feature, value in contributions.items():
        group = GROUP_BY_SIGNAL.get(feature, feature)
        by_group[group] = by_group.get(group, 0.0) + value
    ranked = sorted(by_group.items(), key=lambda contribution: -abs(contribution[1]))
    bars = [(name, value) for name, value in ranked[:_MAX_BARS] if abs(value) >= _MIN_CONTRIBUTION]
    if ranked[len(bars) :]:
        bars.append(("all others", sum(value for _, value in ranked[len(bars) :])))
    levels = [*accumulate([base, *(value for _, value in bars)])]
    low, high = min(*levels, margin), max(*levels, margin)
    # The axis spans at least a doubling of the odds, so that small contributions look small.
    span = max(high - low, _LOG_TWO)
    percent = _make_scale((low + high - span * 1.08) / 2, (low + high + span * 1.08) / 2, 0, 100)
    waterfall = [WaterfallBar("base value", base, 0.0, percent(base), "sum")]
    for (name, value), start in zip(bars, levels, strict=False):
        left, right = sorted((percent(start), percent(start + value)))
        direction = "up" if value >= 0 else "down"
        waterfall.append(
            WaterfallBar(name.replace("_", " "), value, left, max(right - left, 0.4), direction)
        )
    return [*waterfall, WaterfallBar("this account", margin, 0.0, percent(margin), "sum")]


def _drop_unsold_months(
    values: Sequence[float | None], months: Mapping[str, Sequence[Any]]
) -> Sequence[float | None]:
    """Blank the empty months before the first seats were sold."""
    sold_months = [index for index, seats in enumerate(months["seats"]) if seats is not None]
    first = min(sold_months, default=0)
    return [value if index >= first or value else None for index, value in enumerate(values)]


def _build_limit_chart(
    ends: Sequence[str],
    values: Sequence[float | None],
    limits: Sequence[float | None],
    unit: str,
    limit_unit: str,
) -> LineChart:
    days = [date.fromisoformat(end) for end in ends]
    x = _make_scale(days[0].toordinal(), days[-1].toordinal(), LEFT, WIDTH - RIGHT)
    observed = [value for value in (*values, *limits) if value is not None]
    top = _round_up_to_tick(max(observed, default=1.0) * 1.02)
    top += top % 2 if 1 <= top < 10 else 0  # so that half of it is an integer
    y = _make_scale(0, top, HEIGHT - BOTTOM, TOP)
    points, limit_points = (
        [
            (x(day.toordinal()), None if value is None else y(value))
            for day, value in zip(days, series, strict=True)
        ]
        for series in (values, limits)
    )
    current, limit = values[-1], limits[-1]
    shown = "unknown" if current is None else f"{current:,.0f}"
    of_limit = "" if limit is None else f" of {limit:,.0f} {limit_unit}"
    legend = [("line", f"{shown} {unit}")]
    if limit is not None:
        legend.append(("ceiling", f"{limit:,.0f} {limit_unit}"))
    return LineChart(
        alt=f"{unit} over the last {len(days)} months: now {shown}{of_limit}.",
        line=_to_path(points),
        ceiling=_to_step_path(limit_points),
        x=_build_date_ticks(days[0], days[-1], x),
        y=[AxisTick(y(top * part / 4), _abbreviate(top * part / 4)) for part in (0, 2, 4)],
        dots=[] if current is None else [ChartMark(points[-1][0], "", points[-1][1])],
        legend=legend,
    )


def _find_term(contract: Mapping[str, Sequence[Any]] | None, day: str, column: str) -> float | None:
    """Return a contract term on a day; rows are sorted by effective date."""
    if not contract:
        return None
    started = bisect.bisect_right(contract["effective"], day)
    return contract[column][started - 1] if started else None


def _interpolate(
    days: Sequence[float], probability: Sequence[float], grid: Sequence[float]
) -> list[float]:
    """Interpolate the probability between horizons, linearly in the cumulative hazard."""
    hazard = -np.log1p(-np.minimum(probability, 0.9999))
    shares: list[float] = (-np.expm1(-np.interp(grid, days, hazard))).tolist()
    return shares


def _make_scale(low: float, high: float, at_low: float, at_high: float) -> Any:  # noqa: ANN401
    span = (high - low) or 1.0
    return lambda value: round(at_low + (value - low) / span * (at_high - at_low), 2)


def _to_path(points: Iterable[tuple[float, float | None]]) -> str:
    """Return an SVG path with gaps at missing values."""
    path, pen = "", "M"
    for x, y in points:
        path += "" if y is None else f"{pen}{x:g} {y:g}"
        pen = "M" if y is None else "L"
    return path


def _to_step_path(points: Iterable[tuple[float, float | None]]) -> str:
    path, pen = "", "M{x:g} {y:g}"
    for x, y in points:
        path += "" if y is None else pen.format(x=x, y=y)
        pen = "M{x:g} {y:g}" if y is None else "H{x:g}V{y:g}"
    return path


def _build_date_ticks(first: date, last: date, x: Any) -> list[AxisTick]:  # noqa: ANN401
    middle = first + (last - first) / 2
    days = [first, middle, last] if last - first > timedelta(days=20) else [first, last]
    years = first.year != last.year
    return [
        AxisTick(x(day.toordinal()), f"{day:%b} {day.year}" if years else f"{day.day} {day:%b}")
        for day in days
    ]


def _build_share_ticks(top: float, y: Any, quarters: Sequence[int]) -> list[AxisTick]:  # noqa: ANN401
    """Return ticks in per cent, with as many digits as needed to tell them apart."""
    values = [top * part / 4 for part in quarters]
    whole_percent = all(
        math.isclose(value * 100, round(value * 100), abs_tol=1e-9) for value in values
    )
    return [AxisTick(y(value), f"{value:.{0 if whole_percent else 1}%}") for value in values]


def _round_up_to_tick(top: float, maximum: float = math.inf) -> float:
    """Return the next round number, for the end of an axis."""
    if top <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(top))
    return float(min(next(n * power for n in (1, 2, 3, 4, 6, 8, 10) if n * power >= top), maximum))


def _abbreviate(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
