"""Charts of probabilities and dates: does it happen as stated, and when?"""

from collections.abc import Sequence
from typing import Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from training.report import svg
from training.report.charts import plot_helpers
from training.report.html_page import ReportChart, ReportTable
from training.report.metric_format import format_share

__all__ = ["draw_event_dates", "draw_expansions_by_date", "draw_net_benefit", "draw_reliability"]

_BARS: Final = 36


@svg.with_chart_style
def draw_reliability(rates: pl.DataFrame, probability: pl.Series) -> ReportChart:
    """Stated against observed, and how often so much is stated.

    Parameters
    ----------
    rates : polars.DataFrame
        :func:`training.report.chart_data.compute_reliability`.
    probability : polars.Series
        Every stated probability.
    """
    figure, (above, below) = svg.create_axes(
        "stated probability; last bar: and above",
        "share that expanded",
        height_pt=380,
        rows=2,
        height_ratios=[4, 1],
    )
    top = float(max(rates["high"].max(), rates["expected"].max()))  # type: ignore[type-var, arg-type]
    above.plot([0, top], [0, top], label="as stated", **plot_helpers.REFERENCE)
    _draw_with_intervals(above, rates["expected"], rates["observed"], rates["low"], rates["high"])
    svg.set_upper_limit(above, top=top, room=1.05)
    above.set_xlim(0, top * 1.05)
    svg.format_percent_axis(above.yaxis, highest=top)
    below.hist(
        probability.to_numpy().clip(max=top),
        bins=_BARS,
        range=(0, top),
        color=plot_helpers.MODEL,
        alpha=0.6,
    )
    below.set_yscale("log")
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    below.yaxis.set_minor_locator(NullLocator())
    below.set_ylabel("snapshots")
    below.grid(visible=False, axis="x")
    svg.format_percent_axis(below.xaxis, highest=top)
    return plot_helpers.build_chart(
        figure,
        key="reliability",
        title="Does it happen as often as stated?",
        says="Snapshots in tenths by stated probability. Dots on the dashed line are exact; upright"
        " lines are 90% intervals of the observed share. Below, how many snapshots get so much.",
        numbers=ReportTable(
            "Stated and observed, by tenth of the stated probability",
            ["snapshots", "stated", "observed", "90% interval"],
            [
                [
                    f"{r['snapshots']:,}",
                    format_share(r["expected"]),
                    format_share(r["observed"]),
                    plot_helpers.format_row_interval(r),
                ]
                for r in rates.rows(named=True)
            ],
        ),
    )


@svg.with_chart_style
def draw_expansions_by_date(counts: pl.DataFrame) -> ReportChart:
    """Expansions per as-of; see :func:`training.report.chart_data.count_expansions_by_date`."""
    figure, axes = svg.create_axes("as-of", "accounts that expand", height_pt=330)
    days = counts["as_of"].to_list()
    axes.fill_between(
        days, counts["low"], counts["high"], label="90% if exact", **plot_helpers.BAND
    )
    axes.plot(days, counts["expected"], marker=".", label="expected", **plot_helpers.BOLD)
    observed_style = svg.BASELINE_STYLES[0] | {
        "linestyle": "none",
        "marker": "o",
        "markersize": 5,
    }
    axes.plot(days, counts["observed"], label="observed", **observed_style)
    highest = max(float(counts[name].max()) for name in ("high", "observed"))  # type: ignore[arg-type]
    svg.set_upper_limit(axes, top=highest)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    plot_helpers.format_date_axis(axes, days)
    plot_helpers.draw_legend(figure, columns=3)
    return plot_helpers.build_chart(
        figure,
        key="months",
        title="Did it drift?",
        says="Expansions that the probabilities of each as-of promised, and those that came. In the"
        " shade lie 90% of outcomes if every probability is exact and no account sways another.",
        numbers=ReportTable(
            "Expected and observed expansions, by as-of",
            ["as-of", "snapshots", "expected", "observed"],
            [
                [
                    str(r["as_of"]),
                    f"{r['snapshots']:,}",
                    f"{r['expected']:.1f} ({r['low']:.0f} to {r['high']:.0f})",
                    f"{r['observed']:,}",
                ]
                for r in counts.rows(named=True)
            ],
        ),
    )


@svg.with_chart_style
def draw_net_benefit(curve: pl.DataFrame, rules: Sequence[str]) -> ReportChart:
    """Net benefit by threshold; see :func:`training.report.chart_data.compute_net_benefit`."""
    figure, axes = svg.create_axes(
        "least chance that is worth a contact", "net expansions per 100 accounts"
    )
    threshold, scale = curve["threshold"], 100.0
    axes.fill_between(threshold, curve["low"] * scale, curve["high"] * scale, **plot_helpers.BAND)
    for name, style in zip(rules, svg.BASELINE_STYLES, strict=False):
        axes.plot(threshold, curve[name] * scale, label=svg.to_single_line(name, 34), **style)
    axes.plot(
        threshold,
        curve["everyone"] * scale,
        label="everyone",
        **(plot_helpers.CONTEXT | {"linewidth": 1.4}),
    )
    axes.plot(threshold, curve["model"] * scale, label="model", **plot_helpers.BOLD)
    axes.axhline(0, label="no one", **plot_helpers.REFERENCE)
    top = max(float(curve[name].max()) * scale for name in ("high", *rules))  # type: ignore[arg-type]
    axes.set_ylim(-0.35 * top if top > 0 else -1, top * 1.08 if top > 0 else 1)
    axes.set_xlim(0, float(threshold.max()))  # type: ignore[arg-type]
    svg.format_percent_axis(axes.xaxis, highest=float(threshold.max()))  # type: ignore[arg-type]
    plot_helpers.draw_legend(figure, columns=2)
    shown = curve.gather_every(6)
    return plot_helpers.build_chart(
        figure,
        key="net-benefit",
        title="Is acting on it better than a rule?",
        says="Expansions found, less needless contacts at the rate that the threshold implies: who"
        " acts from 10% upwards takes nine needless contacts for one expansion. Rules state no"
        " chance, so they act on the same accounts everywhere. Shaded: the model's 90% interval.",
        numbers=ReportTable(
            "Net expansions per 100 accounts, by threshold",
            ["threshold", "model", "90% interval", *rules, "everyone"],
            [
                [
                    format_share(r["threshold"]),
                    f"{r['model'] * scale:.2f}",
                    f"{r['low'] * scale:.2f} to {r['high'] * scale:.2f}",
                    *(f"{r[name] * scale:.2f}" for name in (*rules, "everyone")),
                ]
                for r in shown.rows(named=True)
            ],
        ),
    )


@svg.with_chart_style
def draw_event_dates(groups: pl.DataFrame) -> ReportChart:
    """Expected and observed days; see :func:`training.report.chart_data.group_event_dates`."""
    figure, axes = svg.create_axes(
        "expected day, mean of each group", "day it came, after the as-of"
    )
    expected = groups["median"]
    axes.fill_between(
        expected, groups["early"], groups["late"], label="stated 80% interval", **plot_helpers.BAND
    )
    ends = [0.0, 180.0]
    axes.plot(ends, ends, label="as expected", **plot_helpers.REFERENCE)
    observed_style = {"color": svg.LIGHT["rival-1"], "linewidth": 1.6}
    axes.vlines(
        expected,
        groups["came_10"],
        groups["came_90"],
        label="10% to 90% of what came",
        **observed_style,
    )
    axes.plot(
        expected,
        groups["came_50"],
        linestyle="none",
        marker="o",
        color=observed_style["color"],
        label="median of what came",
    )
    span = max(float(expected.max() - expected.min()), 20.0)  # type: ignore[operator, arg-type]
    middle = float(expected.max() + expected.min()) / 2  # type: ignore[operator, arg-type]
    axes.set(xlim=(max(middle - 0.6 * span, 0), middle + 0.6 * span), ylim=(0, 185))
    plot_helpers.draw_legend(figure, columns=2)
    return plot_helpers.build_chart(
        figure,
        key="dates",
        title="Does it come when expected?",
        says="Expansions that came within 180 days of the as-of, in groups by expected day. If the"
        " dates hold, the dots follow the dashed line and the bars fill the shade.",
        numbers=ReportTable(
            "Expected and observed days after the as-of",
            ["expansions", "expected", "stated 80%", "median came", "10% to 90% came"],
            [
                [
                    f"{r['expansions']:,}",
                    f"{r['median']:.0f}",
                    f"{r['early']:.0f} to {r['late']:.0f}",
                    f"{r['came_50']:.0f}",
                    f"{r['came_10']:.0f} to {r['came_90']:.0f}",
                ]
                for r in groups.rows(named=True)
            ],
        ),
    )


def _draw_with_intervals(
    axes: Axes, x: pl.Series, y: pl.Series, low: pl.Series, high: pl.Series
) -> None:
    axes.vlines(x, low, high, color=plot_helpers.MODEL, linewidth=1.2)
    axes.plot(x, y, marker="o", markersize=5, **plot_helpers.BOLD | {"linewidth": 1.4})
