"""Where the lines of a chart run: numbers to places on a canvas, for the templates to draw.

Small on purpose: a page must answer in a blink. Colours, fonts and print are the page's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from features.catalogue import STORY_OF

__all__ = ["Chart", "Mark", "Step", "Tick", "chances", "curve", "seats", "usage", "waterfall"]

WIDTH: Final = 440.0
HEIGHT: Final = 230.0
LEFT: Final = 46.0
RIGHT: Final = 12.0
TOP: Final = 22.0
BOTTOM: Final = 30.0
_DOUBLED: Final = math.log(2)  # of the odds
_LEAST: Final = 0.005  # what is less reads as nothing
_TOLD: Final = 8  # stories of the waterfall that are told one by one
Point = tuple[float, float | None]


@dataclass(frozen=True)
class Tick:
    """A label beside an axis, and where it stands."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """An upright line with a word on it, or a dot."""

    x: float
    label: str
    y: float | None = None
    anchor: str = "start"


@dataclass(frozen=True)
class Chart:
    """Paths on a canvas of 440 × 230.

    Attributes
    ----------
    alt : str
        What it shows, for whoever does not see it.
    line, ceiling, area : str
        SVG paths: what is measured, the limit it runs into, the interval around it; empty where
        there is none.
    x, y : sequence of Tick
        Labels of the axes.
    marks, dots : sequence of Mark
        What is pointed at.
    legend : sequence of tuple
        Which line is which: "line" or "ceiling", and the words with the number of today.
    """

    alt: str
    line: str
    x: Sequence[Tick]
    y: Sequence[Tick]
    ceiling: str = ""
    area: str = ""
    marks: Sequence[Mark] = ()
    dots: Sequence[Mark] = ()
    legend: Sequence[tuple[str, str]] = ()

    def __repr__(self) -> str:
        return f"Chart({self.alt!r})"


@dataclass(frozen=True)
class Step:
    """One bar of the waterfall, its places in per cent of the width, and the number it stands for.

    ``way`` is "up", "down", or "sum" for where it starts and ends.
    """

    name: str
    value: float
    start: float
    width: float
    way: str


def curve(
    told: Mapping[str, Sequence[float]] | None,
    as_of: date,
    *,
    ready: date | None,
    horizon_days: int,
) -> Chart | None:
    """Draw the chance of an expansion within so many days, with the readiness date marked."""
    if not told:
        return None
    days, chance = [0, *told["days"]], [0.0, *told["chance"]]
    last = float(days[-1])
    x = _scale(0, last, LEFT, WIDTH - RIGHT)
    top = _nice(max(told["high"]), most=1.0)
    y = _scale(0, top, HEIGHT - BOTTOM, TOP)
    fine = [last * step / 60 for step in range(61)]
    at = [_between(days, chance, each) for each in fine]
    low = [_between(days, [0.0, *told["low"]], each) for each in fine]
    high = [_between(days, [0.0, *told["high"]], each) for each in fine]
    upper = [(x(d), y(p)) for d, p in zip(fine, high, strict=True)]
    lower = [(x(d), y(p)) for d, p in zip(fine, low, strict=True)]
    marks = []
    if ready is not None:
        ahead = min(max((ready - as_of).days, 0), last)
        word = "ready now" if ahead == 0 else f"ready {ready.day} {ready:%B}"
        right = x(ahead) > WIDTH * 0.62
        marks = [Mark(x(ahead), word, anchor="end" if right else "start")]
    within = _between(days, chance, horizon_days)
    return Chart(
        alt=f"Chance of an expansion by days from {as_of}: {within:.0%} within {horizon_days} days,"
        f" {chance[-1]:.0%} within {last:.0f}.",
        line=_path(zip(map(x, fine), map(y, at), strict=True)),
        area=_path([*upper, *reversed(lower)]) + "Z",
        x=[
            Tick(x(each), f"{each} d")
            for each in range(0, int(last) + 1, 60 if last >= 120 else 30)
        ],
        y=_shares(top, y, (0, 1, 2, 3, 4)),
        marks=marks,
        dots=[Mark(x(horizon_days), f"{within:.0%}", y(within))],
    )


def seats(months: Mapping[str, Sequence[Any]] | None) -> Chart | None:
    """Draw active seats by month, and the licensed seats they run into."""
    if not months or all(each is None for each in months["active_seats"]):
        return None
    return _against_ceiling(
        months["ends"],
        _since_sold(months["active_seats"], months),
        months["seats"],
        "active seats",
        "licensed",
    )


def usage(
    months: Mapping[str, Sequence[Any]] | None, contract: Mapping[str, Sequence[Any]] | None
) -> Chart | None:
    """Draw API calls by month, and the limit they run into; None where there are none."""
    if not months or not any(months["api_calls"]):
        return None
    calls = _since_sold(months["api_calls"], months)
    limits = [_in_force(contract, end, "usage_limit") for end in months["ends"]]
    return _against_ceiling(months["ends"], calls, limits, "calls in 30 days", "calls allowed")


def chances(past: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Draw the chance on every list that an account was on; None for fewer than two."""
    told = [(row["as_of"], row["probability"]) for row in past if row["probability"] is not None]
    if len(told) < 2:
        return None
    first, last = told[0][0], told[-1][0]
    x = _scale(first.toordinal(), last.toordinal(), LEFT, WIDTH - RIGHT)
    top = _nice(max(each for _, each in told), most=1.0)
    y = _scale(0, top, HEIGHT - BOTTOM, TOP)
    points = [(x(day.toordinal()), y(chance)) for day, chance in told]
    return Chart(
        alt=f"Chance on the last {len(told)} lists: from {told[0][1]:.0%} to {told[-1][1]:.0%}.",
        line=_path(points),
        x=_days(first, last, x),
        y=_shares(top, y, (0, 2, 4)),
        dots=[Mark(px, "", py) for px, py in points[-26:]],
    )


def waterfall(base: float, contributions: Mapping[str, float], margin: float) -> list[Step]:
    """Tell how the number came about: start, stories by how much they moved it, the sum."""
    stories: dict[str, float] = {}
    for signal, value in contributions.items():
        story = STORY_OF.get(signal, signal)
        stories[story] = stories.get(story, 0.0) + value
    ranked = sorted(stories.items(), key=lambda each: -abs(each[1]))
    parts = [each for each in ranked[:_TOLD] if abs(each[1]) >= _LEAST]
    if ranked[len(parts) :]:
        parts.append(("all else", sum(value for _, value in ranked[len(parts) :])))
    places = [base]
    for _, value in parts:
        places.append(places[-1] + value)
    low, high = min(*places, margin), max(*places, margin)
    # What moves the number little looks little: the axis is never shorter than twice the odds.
    span = max(high - low, _DOUBLED)
    percent = _scale((low + high - span * 1.08) / 2, (low + high + span * 1.08) / 2, 0, 100)
    steps = [Step("starting point", base, 0.0, percent(base), "sum")]
    for (name, value), start in zip(parts, places, strict=False):
        left, right = sorted((percent(start), percent(start + value)))
        way = "up" if value >= 0 else "down"
        steps.append(Step(name.replace("_", " "), value, left, max(right - left, 0.4), way))
    return [*steps, Step("this account", margin, 0.0, percent(margin), "sum")]


def _since_sold(
    values: Sequence[float | None], months: Mapping[str, Sequence[Any]]
) -> Sequence[float | None]:
    """Leave out the empty months before the first seats were sold: nobody was there to be idle."""
    sold = [place for place, seats in enumerate(months["seats"]) if seats is not None]
    first = min(sold, default=0)
    return [value if place >= first or value else None for place, value in enumerate(values)]


def _against_ceiling(
    ends: Sequence[str],
    values: Sequence[float | None],
    ceilings: Sequence[float | None],
    what: str,
    ceiling: str,
) -> Chart:
    days = [date.fromisoformat(end) for end in ends]
    x = _scale(days[0].toordinal(), days[-1].toordinal(), LEFT, WIDTH - RIGHT)
    known = [each for each in (*values, *ceilings) if each is not None]
    top = _nice(max(known, default=1.0) * 1.02)
    top += top % 2 if 1 <= top < 10 else 0  # half of it is a whole number, too
    y = _scale(0, top, HEIGHT - BOTTOM, TOP)
    at = [x(day.toordinal()) for day in days]
    now, limit = values[-1], ceilings[-1]
    told = "unknown" if now is None else f"{now:,.0f}"
    of = "" if limit is None else f" of {limit:,.0f} {ceiling}"
    legend = [("line", f"{told} {what}")]
    if limit is not None:
        legend.append(("ceiling", f"{limit:,.0f} {ceiling}"))
    return Chart(
        alt=f"{what} over the last {len(days)} months: now {told}{of}.",
        line=_paths(at, [None if each is None else y(each) for each in values]),
        ceiling=_stairs(at, [None if each is None else y(each) for each in ceilings]),
        x=_days(days[0], days[-1], x),
        y=[Tick(y(top * part / 4), _short(top * part / 4)) for part in (0, 2, 4)],
        dots=[] if now is None else [Mark(at[-1], "", y(now))],
        legend=legend,
    )


def _in_force(contract: Mapping[str, Sequence[Any]] | None, day: str, level: str) -> float | None:
    """What the contract said on a day; rows are in the order in which they come into force."""
    found = None
    if contract:
        for effective, value in zip(contract["effective"], contract[level], strict=True):
            if effective <= day:
                found = value
    return found


def _between(days: Sequence[float], chance: Sequence[float], day: float) -> float:
    """The chance between two horizons: straight in the cumulative hazard."""
    for left in range(len(days) - 1):
        if day <= days[left + 1]:
            before, after = (-math.log1p(-min(chance[left + k], 0.9999)) for k in (0, 1))
            part = (day - days[left]) / (days[left + 1] - days[left])
            return -math.expm1(-(before + part * (after - before)))
    return chance[-1]


def _scale(low: float, high: float, at_low: float, at_high: float) -> Any:  # noqa: ANN401
    span = (high - low) or 1.0
    return lambda value: round(at_low + (value - low) / span * (at_high - at_low), 2)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _paths(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    """A line that stops where nothing is known, and goes on after."""
    told, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            pen = "M"
            continue
        told.append(f"{pen}{x:g} {y:g}")
        pen = "L"
    return "".join(told)


def _stairs(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    told, before = [], None
    for x, y in zip(xs, ys, strict=True):
        if y is not None:
            told.append(f"M{x:g} {y:g}" if before is None else f"H{x:g}V{y:g}")
        before = y
    return "".join(told)


def _days(first: date, last: date, x: Any) -> list[Tick]:  # noqa: ANN401
    middle = first + (last - first) / 2
    every = [first, middle, last] if last - first > timedelta(days=20) else [first, last]
    years = first.year != last.year
    return [
        Tick(x(day.toordinal()), f"{day:%b} {day.year}" if years else f"{day.day} {day:%b}")
        for day in every
    ]


def _shares(top: float, y: Any, quarters: Sequence[int]) -> list[Tick]:  # noqa: ANN401
    """Shares up an axis, with as many digits as tell them apart."""
    told = [top * part / 4 for part in quarters]
    whole = all(math.isclose(each * 100, round(each * 100), abs_tol=1e-9) for each in told)
    return [Tick(y(each), f"{each:.{0 if whole else 1}%}") for each in told]


def _nice(top: float, most: float = math.inf) -> float:
    """The next round number, to end an axis on."""
    if top <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(top))
    return float(min(next(n * power for n in (1, 2, 3, 4, 6, 8, 10) if n * power >= top), most))


def _short(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
