"""Charts of rankings: precision by capacity, precision-recall, and lift."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from training.report import svg
from training.report.charts import plot_helpers
from training.report.html_page import MetricCell, ReportChart, ReportTable
from training.report.metric_format import build_record_table, format_share

__all__ = ["draw_capacity_curve", "draw_lift", "draw_precision_recall"]


@svg.with_chart_style
def draw_capacity_curve(
    curves: Mapping[str, pl.DataFrame], named: Sequence[str], *, team_capacity: int
) -> ReportChart:
    """Draw precision by number of accounts contacted.

    ``curves`` are of :func:`training.report.chart_data.compute_capacity_curve`, by ranking. Only
    the ``named`` ones have a label: the model first, and at most three others.
    """
    figure, axes = svg.create_axes("accounts contacted per as-of date", "precision")
    plot_helpers.draw_curves(axes, curves, named, "contacted", "precision")
    contacted = curves[named[0]]["contacted"].to_list()
    axes.axvline(
        team_capacity, zorder=0, label=f"capacity: {team_capacity}", **plot_helpers.REFERENCE
    )
    top = max(float(curve["precision"].max()) for curve in curves.values())  # type: ignore[arg-type]
    svg.set_upper_limit(axes, top=top)
    axes.set_xlim(0, max(contacted))
    svg.format_percent_axis(axes.yaxis, highest=top)
    plot_helpers.draw_legend(figure, columns=2, context=len(curves) > len(named))
    return plot_helpers.build_chart(
        figure,
        "capacity",
        numbers=ReportTable(
            "Precision and recall by accounts contacted per as-of date",
            ["accounts", *named],
            [
                [str(count), *(_format_row(curves[name].row(index, named=True)) for name in named)]
                for index, count in enumerate(contacted)
                if count in {1, 5, 10, 20, 50, 100, 200, team_capacity, max(contacted)}
            ],
        ),
    )


@svg.with_chart_style
def draw_precision_recall(
    curves: Mapping[str, pl.DataFrame], named: Sequence[str], *, rate: float
) -> ReportChart:
    """Draw precision by recall; see :func:`training.report.chart_data.compute_precision_recall`."""
    figure, axes = svg.create_axes("recall", "precision")
    plot_helpers.draw_curves(axes, curves, named, "recall", "precision")
    axes.axhline(rate, label=f"random order: {format_share(rate)}", **plot_helpers.REFERENCE)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    svg.format_percent_axis(axes.xaxis)
    svg.format_percent_axis(axes.yaxis)
    plot_helpers.draw_legend(figure, columns=2, context=len(curves) > len(named))
    return plot_helpers.build_chart(
        figure,
        "precision-recall",
        numbers=ReportTable(
            "Precision by recall",
            ["recall", *named],
            [
                [
                    f"{percent}%",
                    *(format_share(curves[name]["precision"][percent - 1]) for name in named),
                ]
                for percent in range(10, 101, 10)
            ],
        ),
    )


@svg.with_chart_style
def draw_lift(deciles: Sequence[Mapping[str, Any]]) -> ReportChart:
    """Draw the lift of each decile of the list; see ``EvaluationResult``."""
    with_value = [row for row in deciles if row["value"] is not None]
    figure, axes = svg.create_axes("decile of the list, 1 is the top", "lift")
    positions, values = [row["decile"] for row in with_value], [row["value"] for row in with_value]
    axes.bar(positions, values, color=plot_helpers.MODEL, alpha=0.75, width=0.72)
    with_interval = [row for row in with_value if row["low"] is not None]
    lows, highs = [row["low"] for row in with_interval], [row["high"] for row in with_interval]
    ink = svg.LIGHT["ink"]
    axes.vlines([row["decile"] for row in with_interval], lows, highs, color=ink, linewidth=1)
    axes.axhline(1, label="average", **plot_helpers.REFERENCE)
    svg.set_upper_limit(axes, top=max([*values, *highs, 1.0]))
    axes.set_xticks(positions)
    axes.grid(visible=False, axis="x")
    plot_helpers.draw_legend(figure, columns=1)
    return plot_helpers.build_chart(
        figure,
        "lift",
        numbers=build_record_table(
            "Lift by decile of the list",
            with_value,
            {
                "decile": "{decile}",
                "snapshots": "{snapshots:,.0f}",
                "expanded": "{expanded:,.0f}",
                "rate": "{rate:share}",
                "lift": _format_lift,
            },
        ),
    )


def _format_lift(row: Mapping[str, Any]) -> MetricCell:
    ends = "" if row["low"] is None else f"{row['low']:.1f}× to {row['high']:.1f}×"
    return MetricCell(f"{row['value']:.1f}×", ends)


def _format_row(row: Mapping[str, Any]) -> str:
    return f"{format_share(row['precision'])}, recall {format_share(row['recall'])}"
