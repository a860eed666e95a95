"""Charts of rankings: what is found, and how far down the list."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from training.report import svg
from training.report.charts import plot_helpers
from training.report.html_page import MetricCell, ReportChart, ReportTable
from training.report.metric_format import format_share

__all__ = ["draw_capacity_curve", "draw_lift", "draw_precision_recall"]


@svg.with_chart_style
def draw_capacity_curve(
    curves: Mapping[str, pl.DataFrame], context: Mapping[str, pl.DataFrame], *, team_capacity: int
) -> ReportChart:
    """Precision by accounts worked; see :func:`training.report.chart_data.compute_capacity_curve`.

    Parameters
    ----------
    curves : mapping of str to polars.DataFrame
        By name, the model first; at most three others.
    context : mapping of str to polars.DataFrame
        Other rankings, drawn without a name.
    team_capacity : int
        The team's capacity.
    """
    figure, axes = svg.create_axes("accounts worked per as-of", "share of them that expanded")
    model = next(iter(curves.values()))
    for curve in context.values():
        axes.plot(curve["worked"], curve["precision"], **plot_helpers.CONTEXT)
    plot_helpers.draw_named_curves(axes, curves, "worked", "precision")
    axes.axvline(
        team_capacity, zorder=0, label=f"capacity: {team_capacity}", **plot_helpers.REFERENCE
    )
    top = max(float(curve["precision"].max()) for curve in [*curves.values(), *context.values()])  # type: ignore[arg-type]
    svg.set_upper_limit(axes, top=top)
    axes.set_xlim(0, float(model["worked"].max()))  # type: ignore[arg-type]
    svg.format_percent_axis(axes.yaxis, highest=top)
    plot_helpers.draw_legend(figure, columns=2, context=bool(context))
    table_counts = [k for k in _select_table_counts(model["worked"].to_list(), team_capacity)]
    return plot_helpers.build_chart(
        figure,
        key="capacity",
        title="What if the team had more time, or less?",
        says="Of the accounts worked from the top of each list, the share that expanded, mean over"
        " the as-ofs.",
        numbers=ReportTable(
            "Precision, and share of all expansions found, by accounts worked per as-of",
            ["accounts", *curves],
            [
                [
                    str(k),
                    *(
                        _format_precision_recall(curve.filter(pl.col("worked") == k))
                        for curve in curves.values()
                    ),
                ]
                for k in table_counts
            ],
        ),
    )


@svg.with_chart_style
def draw_precision_recall(
    curves: Mapping[str, pl.DataFrame], context: Mapping[str, pl.DataFrame], *, rate: float
) -> ReportChart:
    """Precision by recall; see :func:`training.report.chart_data.compute_precision_recall`."""
    figure, axes = svg.create_axes(
        "share of all expansions found", "share of the found that expanded"
    )
    for curve in context.values():
        axes.plot(curve["recall"], curve["precision"], **plot_helpers.CONTEXT)
    plot_helpers.draw_named_curves(axes, curves, "recall", "precision")
    axes.axhline(rate, label=f"any order: {format_share(rate)}", **plot_helpers.REFERENCE)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    svg.format_percent_axis(axes.xaxis)
    svg.format_percent_axis(axes.yaxis)
    plot_helpers.draw_legend(figure, columns=2, context=bool(context))
    tenths = [round(k / 10, 1) for k in range(1, 11)]
    return plot_helpers.build_chart(
        figure,
        key="precision-recall",
        title="How far down the list do the expansions go?",
        says="All as-ofs in one list, worked from the top: precision by the share of expansions"
        " that is found so far. Accounts of equal score come together.",
        numbers=ReportTable(
            "Precision where so many of the expansions are found",
            ["found", *curves],
            [
                [
                    f"{tenth:.0%}",
                    *(
                        format_share(curve["precision"][round(tenth * 100) - 1])
                        for curve in curves.values()
                    ),
                ]
                for tenth in tenths
            ],
        ),
    )


@svg.with_chart_style
def draw_lift(deciles: Sequence[Mapping[str, Any]]) -> ReportChart:
    """How much more often each tenth of the list expanded; :func:`training.evaluation.lift.compute_lift_by_decile`."""
    with_value = [row for row in deciles if row["value"] is not None]
    figure, axes = svg.create_axes("tenth of the list, 1 is the top", "rate ÷ that of all")
    positions, values = [row["decile"] for row in with_value], [row["value"] for row in with_value]
    axes.bar(positions, values, color=plot_helpers.MODEL, alpha=0.75, width=0.72)
    with_interval = [row for row in with_value if row["low"] is not None]
    lows, highs = [row["low"] for row in with_interval], [row["high"] for row in with_interval]
    ink = svg.LIGHT["ink"]
    axes.vlines([row["decile"] for row in with_interval], lows, highs, color=ink, linewidth=1)
    axes.axhline(1, label="as all", **plot_helpers.REFERENCE)
    svg.set_upper_limit(axes, top=max([*values, *highs, 1.0]))
    axes.set_xticks(positions)
    axes.grid(visible=False, axis="x")
    plot_helpers.draw_legend(figure, columns=1)
    return plot_helpers.build_chart(
        figure,
        key="lift",
        title="How much richer is the top of the list?",
        says="All as-ofs in one list by probability, in ten equal parts. Bars: how many times the"
        " rate of all each part expanded, with 90% intervals.",
        numbers=ReportTable(
            "Lift by tenth of the list",
            ["tenth", "snapshots", "expanded", "rate", "lift"],
            [_build_decile_row(row) for row in with_value],
        ),
    )


def _build_decile_row(row: Mapping[str, Any]) -> list[str | MetricCell]:
    ends = "" if row["low"] is None else f"{row['low']:.1f}× to {row['high']:.1f}×"
    return [
        str(row["decile"]),
        f"{row['snapshots']:,.0f}",
        f"{row['expanded']:,.0f}",
        format_share(row["rate"]),
        MetricCell(f"{row['value']:.1f}×", ends),
    ]


def _select_table_counts(contacted: Sequence[int], team_capacity: int) -> list[int]:
    """Few of the numbers of accounts, the capacity among them."""
    candidates = {1, 5, 10, 20, 50, 100, 200, team_capacity, max(contacted)}
    return [k for k in contacted if k in candidates]


def _format_precision_recall(row: pl.DataFrame) -> str:
    return f"{format_share(row['precision'][0])}, finds {format_share(row['recall'][0])}"
