"""Charts of rankings: what is found, and how far down the list."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from serving.report import paint, strokes
from serving.report.page import Chart, Table
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
def lift(tenths: pl.DataFrame) -> Chart:
    """Observed rate of each tenth of the list; see :func:`serving.report.curves.lift`."""
    figure, axes = paint.axes("tenth of each list, 1 is the top", "share that expanded")
    axes.bar(tenths["tenth"], tenths["observed"], color=strokes.MODEL, alpha=0.75, width=0.72)
    axes.vlines(
        tenths["tenth"], tenths["low"], tenths["high"], color=paint.LIGHT["ink"], linewidth=1
    )
    rate = float(np.average(tenths["observed"], weights=tenths["snapshots"]))
    axes.axhline(rate, label=f"all: {share(rate)}", **strokes.REFERENCE)
    top = float(tenths["high"].max())  # type: ignore[arg-type]
    paint.widen(axes, top=top)
    axes.set_xticks(tenths["tenth"].to_list())
    axes.grid(visible=False, axis="x")
    paint.percent(axes.yaxis, highest=top)
    strokes.legend(figure, columns=1)
    return strokes.chart(
        figure,
        key="lift",
        title="How much richer is the top of the list?",
        says="The list of every as-of in ten equal parts. Bars: the share that expanded, with 90%"
        " intervals; dashed: the share of all.",
        numbers=Table(
            "Lift by tenth of the list",
            ["tenth", "snapshots", "expanded", "share", "90% interval", "lift"],
            [
                [
                    str(r["tenth"]),
                    f"{r['snapshots']:,}",
                    f"{r['expanded']:,}",
                    share(r["observed"]),
                    strokes.span(r),
                    "n/a" if r["lift"] is None else f"{r['lift']:.1f}×",
                ]
                for r in tenths.rows(named=True)
            ],
        ),
    )


def _told(worked: Sequence[int], set_to: int) -> list[int]:
    """Few of the numbers of accounts, the capacity among them."""
    wanted = {1, 5, 10, 20, 50, 100, 200, set_to, max(worked)}
    return [k for k in worked if k in wanted]


def _both(row: pl.DataFrame) -> str:
    return f"{share(row['precision'][0])}, finds {share(row['recall'][0])}"
