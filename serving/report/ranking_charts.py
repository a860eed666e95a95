"""Charts of rankings: what is found, and how far down the list."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from serving.report import paint, strokes
from serving.report.page import Cell, Chart, Table
from serving.report.words import share

__all__ = ["capacity", "lift", "precision_recall"]


@paint.styled
def capacity(
    curves: Mapping[str, pl.DataFrame], context: Mapping[str, pl.DataFrame], *, set_to: int
) -> Chart:
    """Precision by accounts worked; see :func:`serving.report.curves.capacity`.

    Parameters
    ----------
    curves : mapping of str to polars.DataFrame
        By name, the model first; at most three others.
    context : mapping of str to polars.DataFrame
        Other rankings, drawn without a name.
    set_to : int
        The team's capacity.
    """
    figure, axes = paint.axes("accounts worked per as-of", "share of them that expanded")
    model = next(iter(curves.values()))
    for curve in context.values():
        axes.plot(curve["worked"], curve["precision"], **strokes.CONTEXT)
    strokes.named(axes, curves, "worked", "precision")
    axes.axvline(set_to, zorder=0, label=f"capacity: {set_to}", **strokes.REFERENCE)
    top = max(float(curve["precision"].max()) for curve in [*curves.values(), *context.values()])  # type: ignore[arg-type]
    paint.widen(axes, top=top)
    axes.set_xlim(0, float(model["worked"].max()))  # type: ignore[arg-type]
    paint.percent(axes.yaxis, highest=top)
    strokes.legend(figure, columns=2, context=bool(context))
    at = [k for k in _told(model["worked"].to_list(), set_to)]
    return strokes.chart(
        figure,
        key="capacity",
        title="What if the team had more time, or less?",
        says="Of the accounts worked from the top of each list, the share that expanded, mean over"
        " the as-ofs.",
        numbers=Table(
            "Precision, and share of all expansions found, by accounts worked per as-of",
            ["accounts", *curves],
            [
                [str(k), *(_both(curve.filter(pl.col("worked") == k)) for curve in curves.values())]
                for k in at
            ],
        ),
    )


@paint.styled
def precision_recall(
    curves: Mapping[str, pl.DataFrame], context: Mapping[str, pl.DataFrame], *, rate: float
) -> Chart:
    """Precision by recall; see :func:`serving.report.curves.precision_recall`."""
    figure, axes = paint.axes("share of all expansions found", "share of the found that expanded")
    for curve in context.values():
        axes.plot(curve["recall"], curve["precision"], **strokes.CONTEXT)
    strokes.named(axes, curves, "recall", "precision")
    axes.axhline(rate, label=f"any order: {share(rate)}", **strokes.REFERENCE)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    paint.percent(axes.xaxis)
    paint.percent(axes.yaxis)
    strokes.legend(figure, columns=2, context=bool(context))
    tenths = [round(k / 10, 1) for k in range(1, 11)]
    return strokes.chart(
        figure,
        key="precision-recall",
        title="How far down the list do the expansions go?",
        says="All as-ofs in one list, worked from the top: precision by the share of expansions"
        " that is found so far. Accounts of equal score come together.",
        numbers=Table(
            "Precision where so many of the expansions are found",
            ["found", *curves],
            [
                [
                    f"{tenth:.0%}",
                    *(
                        share(curve["precision"][round(tenth * 100) - 1])
                        for curve in curves.values()
                    ),
                ]
                for tenth in tenths
            ],
        ),
    )


@paint.styled
def lift(tenths: Sequence[Mapping[str, Any]]) -> Chart:
    """How much more often each tenth of the list expanded; :func:`training.lift.by_decile`."""
    told = [row for row in tenths if row["value"] is not None]
    figure, axes = paint.axes("tenth of the list, 1 is the top", "rate ÷ that of all")
    places, values = [row["decile"] for row in told], [row["value"] for row in told]
    axes.bar(places, values, color=strokes.MODEL, alpha=0.75, width=0.72)
    within = [row for row in told if row["low"] is not None]
    lows, highs = [row["low"] for row in within], [row["high"] for row in within]
    ink = paint.LIGHT["ink"]
    axes.vlines([row["decile"] for row in within], lows, highs, color=ink, linewidth=1)
    axes.axhline(1, label="as all", **strokes.REFERENCE)
    paint.widen(axes, top=max([*values, *highs, 1.0]))
    axes.set_xticks(places)
    axes.grid(visible=False, axis="x")
    strokes.legend(figure, columns=1)
    return strokes.chart(
        figure,
        key="lift",
        title="How much richer is the top of the list?",
        says="All as-ofs in one list by probability, in ten equal parts. Bars: how many times the"
        " rate of all each part expanded, with 90% intervals.",
        numbers=Table(
            "Lift by tenth of the list",
            ["tenth", "snapshots", "expanded", "rate", "lift"],
            [_tenth(row) for row in told],
        ),
    )


def _tenth(row: Mapping[str, Any]) -> list[str | Cell]:
    ends = "" if row["low"] is None else f"{row['low']:.1f}× to {row['high']:.1f}×"
    return [
        str(row["decile"]),
        f"{row['snapshots']:,.0f}",
        f"{row['expanded']:,.0f}",
        share(row["rate"]),
        Cell(f"{row['value']:.1f}×", ends),
    ]


def _told(worked: Sequence[int], set_to: int) -> list[int]:
    """Few of the numbers of accounts, the capacity among them."""
    wanted = {1, 5, 10, 20, 50, 100, 200, set_to, max(worked)}
    return [k for k in worked if k in wanted]


def _both(row: pl.DataFrame) -> str:
    return f"{share(row['precision'][0])}, finds {share(row['recall'][0])}"
