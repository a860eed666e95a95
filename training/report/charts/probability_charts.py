"""Charts of probabilities and dates: reliability, drift, net benefit, event dates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from training.report import svg
from training.report.charts import plot_helpers
from training.report.html_page import ReportChart
from training.report.metric_format import build_record_table

__all__ = ["draw_event_dates", "draw_expansions_by_date", "draw_net_benefit", "draw_reliability"]

_BARS: Final = 36


@svg.with_chart_style
def draw_reliability(rates: pl.DataFrame, probability: pl.Series) -> ReportChart:
    """Draw the reliability diagram and the histogram of probabilities.

    See :func:`training.report.chart_data.compute_reliability`.
    """
    figure, (above, below) = svg.create_axes(
        "predicted probability; last bar: and above",
        "share that expanded",
        height_pt=380,
        rows=2,
        height_ratios=[4, 1],
    )
    top = float(max(rates["high"].max(), rates["expected"].max()))  # type: ignore[type-var, arg-type]
    above.plot([0, top], [0, top], label="perfect calibration", **plot_helpers.REFERENCE)
    expected = rates["expected"]
    above.vlines(expected, rates["low"], rates["high"], color=plot_helpers.MODEL, linewidth=1.2)
    dots = plot_helpers.BOLD | {"marker": "o", "markersize": 5, "linewidth": 1.4}
    above.plot(expected, rates["observed"], **dots)
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
        "reliability",
        numbers=build_record_table(
            "Predicted and observed, by decile of the predicted probability",
            rates.rows(named=True),
            {
                "snapshots": "{snapshots:,}",
                "predicted": "{expected:share}",
                "observed": "{observed:share}",
                "90% interval": "{low:share} to {high:share}",
            },
        ),
    )


@svg.with_chart_style
def draw_expansions_by_date(counts: pl.DataFrame) -> ReportChart:
    """Draw expected and observed expansions per as-of.

    See :func:`training.report.chart_data.count_expansions_by_date`.
    """
    figure, axes = svg.create_axes("as-of", "accounts that expand", height_pt=330)
    days = counts["as_of"].to_list()
    axes.fill_between(
        days, counts["low"], counts["high"], label="90% if exact", **plot_helpers.BAND
    )
    axes.plot(days, counts["expected"], marker=".", label="expected", **plot_helpers.BOLD)
    dots = svg.BASELINE_STYLES[0] | {"linestyle": "none", "marker": "o", "markersize": 5}
    axes.plot(days, counts["observed"], label="observed", **dots)
    highest = max(float(counts[name].max()) for name in ("high", "observed"))  # type: ignore[arg-type]
    svg.set_upper_limit(axes, top=highest)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    plot_helpers.format_date_axis(axes, days)
    plot_helpers.draw_legend(figure, columns=3)
    return plot_helpers.build_chart(
        figure,
        "drift",
        numbers=build_record_table(
            "Expected and observed expansions, by as-of",
            counts.rows(named=True),
            {
                "as-of": "{as_of!s}",
                "snapshots": "{snapshots:,}",
                "expected": "{expected:.1f} ({low:.0f} to {high:.0f})",
                "observed": "{observed:,}",
            },
        ),
    )


@svg.with_chart_style
def draw_net_benefit(curve: pl.DataFrame, rules: Sequence[str]) -> ReportChart:
    """Draw net benefit by threshold; see :func:`training.report.chart_data.compute_net_benefit`."""
    figure, axes = svg.create_axes("probability threshold", "net expansions per 100 accounts")
    threshold, benefit = curve["threshold"], curve.with_columns(pl.exclude("threshold") * 100.0)
    axes.fill_between(threshold, benefit["low"], benefit["high"], **plot_helpers.BAND)
    for name, style in zip(rules, svg.BASELINE_STYLES, strict=False):
        axes.plot(threshold, benefit[name], label=svg.to_single_line(name, 34), **style)
    everyone = plot_helpers.CONTEXT | {"linewidth": 1.4}
    axes.plot(threshold, benefit["everyone"], label="everyone", **everyone)
    axes.plot(threshold, benefit["model"], label="model", **plot_helpers.BOLD)
    axes.axhline(0, label="no one", **plot_helpers.REFERENCE)
    top = max(float(benefit[name].max()) for name in ("high", *rules))  # type: ignore[arg-type]
    axes.set_ylim(-0.35 * top if top > 0 else -1, top * 1.08 if top > 0 else 1)
    axes.set_xlim(0, float(threshold.max()))  # type: ignore[arg-type]
    svg.format_percent_axis(axes.xaxis, highest=float(threshold.max()))  # type: ignore[arg-type]
    plot_helpers.draw_legend(figure, columns=2)
    return plot_helpers.build_chart(
        figure,
        "net-benefit",
        numbers=build_record_table(
            "Net expansions per 100 accounts, by threshold",
            benefit.gather_every(6).rows(named=True),
            {
                "threshold": "{threshold:share}",
                "model": "{model:.2f}",
                "90% interval": "{low:.2f} to {high:.2f}",
                **{name: _format_column(name) for name in (*rules, "everyone")},
            },
        ),
    )


@svg.with_chart_style
def draw_event_dates(groups: pl.DataFrame) -> ReportChart:
    """Draw expected against observed event dates.

    See :func:`training.report.chart_data.group_event_dates`.
    """
    figure, axes = svg.create_axes(
        "expected day, mean of each group", "observed day after the as-of"
    )
    expected = groups["median"]
    band = plot_helpers.BAND | {"label": "predicted 80% interval"}
    axes.fill_between(expected, groups["early"], groups["late"], **band)
    axes.plot([0, 180], [0, 180], label="as expected", **plot_helpers.REFERENCE)
    color, label = svg.LIGHT["baseline-1"], "observed 10% to 90%"
    low, high = groups["observed_10"], groups["observed_90"]
    axes.vlines(expected, low, high, label=label, color=color, linewidth=1.6)
    dots = {"linestyle": "none", "marker": "o", "color": color, "label": "observed median"}
    axes.plot(expected, groups["observed_50"], **dots)
    span = max(float(expected.max() - expected.min()), 20.0)  # type: ignore[operator, arg-type]
    middle = float(expected.max() + expected.min()) / 2  # type: ignore[operator, arg-type]
    axes.set(xlim=(max(middle - 0.6 * span, 0), middle + 0.6 * span), ylim=(0, 185))
    plot_helpers.draw_legend(figure, columns=2)
    return plot_helpers.build_chart(
        figure,
        "dates",
        numbers=build_record_table(
            "Expected and observed days after the as-of",
            groups.rows(named=True),
            {
                "expansions": "{expansions:,}",
                "expected": "{median:.0f}",
                "predicted 80%": "{early:.0f} to {late:.0f}",
                "observed median": "{observed_50:.0f}",
                "observed 10% to 90%": "{observed_10:.0f} to {observed_90:.0f}",
            },
        ),
    )


def _format_column(name: str) -> Callable[[Mapping[str, Any]], str]:
    """Return the format of a column whose name may contain a colon."""
    return lambda row: f"{row[name]:.2f}"
