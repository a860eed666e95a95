"""HTML report of a backtest: strategies side by side, with equal capacity."""

from collections.abc import Sequence
from typing import Final

from training.backtest import BACKTEST_METRICS, BacktestResult, StrategyResult
from training.report.charts import backtest_charts
from training.report.html_page import (
    DefinitionList,
    KeyMetric,
    MetricCell,
    Paragraph,
    ReportPage,
    ReportSection,
    ReportTable,
    SectionPart,
    TableRow,
    render_page,
)
from training.report.metric_format import format_cell
from training.report.svg import to_single_line

__all__ = ["render_backtest_page"]

_DETECTION_METRICS: Final = (
    "detection_rate",
    "detection_rate_14d",
    "detection_rate_30d",
    "condition_rate",
    "precision",
)
_COST_METRICS: Final = ("false_alarms", "missed", "minutes", "lag_days", "lead_days")
_COLUMN_TITLES: Final = {
    "detection_rate": "detected",
    "detection_rate_14d": "14 days before",
    "detection_rate_30d": "30 days before",
    "condition_rate": "condition met",
    "precision": "precision",
    "false_alarms": "false alarms",
    "missed": "missed",
    "minutes": "minutes",
    "lag_days": "lag",
    "lead_days": "lead",
}


def render_backtest_page(result: BacktestResult) -> str:
    """Render a backtest as one self-contained HTML page.

    Parameters
    ----------
    result : BacktestResult
        The backtest.

    Returns
    -------
    str
        Deterministic; contains only counts of accounts.
    """
    return render_page(
        ReportPage(
            title="Backtest of contact strategies",
            summary=_format_summary(result),
            footer="Intervals are 90% bootstrap intervals over accounts.",
            verdict=result.verdict,
            warnings=[to_single_line(note, 600) for note in result.notes],
            key_metrics=_build_key_metrics(result),
            sections=[
                _build_comparison_section(result),
                _build_rules_section(result),
                _build_claims_section(result),
                _build_limitations_section(result),
                _build_method_section(result),
            ],
        )
    )


def _format_summary(result: BacktestResult) -> str:
    return (
        f"History from {result.start} to {result.end}, replayed with only the data known on each"
        f" day. It counts {result.expansions:,} expansions from {result.counted_from} to"
        f" {result.counted_until}, the end excluded, of {result.accounts:,.0f} accounts under"
        " contract on average. Every strategy has the same capacity."
    )


def _build_key_metrics(result: BacktestResult) -> list[KeyMetric]:
    hours = result.minutes_per_month / 60
    verb = "CSM shares" if result.csms == 1 else "CSMs share"
    return [
        KeyMetric("Capacity", f"{hours:,.0f} h", "in 30 days", f"{result.csms} {verb} them"),
        KeyMetric(
            "Contacting an account",
            f"{result.minutes_per_account:,.0f} min",
            "",
            f"followed by a cool-down of {result.cooldown_days} days",
        ),
        KeyMetric(
            "Reviewing an account",
            f"{result.review_minutes:,.0f} min",
            "",
            "only in manual reviews",
        ),
        KeyMetric(
            "Detection window",
            f"{result.detection_window_days} days",
            "",
            "from a flag to the expansion, at most",
        ),
    ]


def _build_comparison_section(result: BacktestResult) -> ReportSection:
    heading = "Detection and cost by strategy"
    if not result.strategies:
        return ReportSection(
            "strategies",
            heading,
            [Paragraph("No strategy could be replayed."), *_build_unavailable_table(result)],
        )
    if not result.expansions:
        note = "No expansion falls into the counted days, so nothing could be detected."
        return ReportSection(
            "strategies",
            heading,
            [
                Paragraph(note),
                _build_strategy_table(result.strategies, _COST_METRICS),
                *_build_unavailable_table(result),
            ],
        )
    parts: list[SectionPart] = [
        backtest_charts.draw_cost_scatter(
            result.strategies,
            "false_alarms",
            key="false-alarms",
            title="Detection rate against false alarms",
            caption="Up and to the left is better. Each point is a strategy with 90% intervals: the"
            " share of the expansions that it detected, and the flags without an expansion, per"
            " quarter and CSM.",
            x="false alarms per quarter and CSM",
        ),
        backtest_charts.draw_lead_times(result.strategies),
        _build_strategy_table(result.strategies, _DETECTION_METRICS),
        _build_strategy_table(result.strategies, _COST_METRICS),
    ]
    return ReportSection("strategies", heading, [*parts, *_build_unavailable_table(result)])


def _build_strategy_table(
    strategies: Sequence[StrategyResult], metrics: Sequence[str]
) -> ReportTable:
    rows: list[TableRow] = [
        [
            to_single_line(strategy.name),
            *(_format_cell(name, strategy) for name in metrics),
            f"{strategy.flags:,}",
        ]
        for strategy in strategies
    ]
    title = (
        "Detection by strategy" if metrics == _DETECTION_METRICS else "Cost and timing by strategy"
    )
    return ReportTable(
        f"{title}, with 90% intervals",
        ["strategy", *(_COLUMN_TITLES[name] for name in metrics), "total flags"],
        rows,
        bold_rows=frozenset(
            row for row, strategy in enumerate(strategies) if backtest_charts.uses_model(strategy)
        ),
    )


def _format_cell(name: str, strategy: StrategyResult) -> MetricCell:
    estimate = strategy.metrics.get(name)
    if name in {"false_alarms", "missed", "minutes"} and estimate and estimate.value is not None:
        whole_numbers = name == "minutes"
        format_value = "{:,.0f}".format if whole_numbers else "{:,.1f}".format
        has_interval = estimate.low is not None and estimate.high is not None
        return MetricCell(
            format_value(estimate.value),
            f"{format_value(estimate.low)} to {format_value(estimate.high)}"
            if has_interval
            else "",
        )
    return format_cell(name, estimate)


def _build_unavailable_table(result: BacktestResult) -> list[SectionPart]:
    if not result.unavailable:
        return []
    rows: list[TableRow] = [
        [to_single_line(name), to_single_line(reason, 300)]
        for name, reason in result.unavailable.items()
    ]
    header, text_columns = ["strategy", "reason"], frozenset({0, 1})
    return [ReportTable("Strategies that could not be replayed", header, rows, text_columns)]


def _build_rules_section(result: BacktestResult) -> ReportSection:
    pairs = [
        (to_single_line(strategy.name), to_single_line(strategy.rule, 600))
        for strategy in result.strategies
    ]
    return ReportSection("rules", "When each strategy flags an account", [DefinitionList(pairs)])


def _build_claims_section(result: BacktestResult) -> ReportSection:
    heading = "Vendor claims"
    claimed = [strategy for strategy in result.strategies if strategy.claim]
    if not claimed:
        return ReportSection(
            "claims", heading, [Paragraph("No vendor claim is known for these strategies.")]
        )
    rows: list[TableRow] = [
        [
            to_single_line(strategy.name),
            to_single_line(strategy.claim, 200),
            _format_cell("detection_rate", strategy),
            _format_cell("precision", strategy),
        ]
        for strategy in claimed
    ]
    warning = (
        "These figures come from vendors. They are not verified, their definitions are unknown, and"
        " they do not describe this company. They are shown for comparison with this history."
    )
    header = ["strategy", "claimed, not verified", "detected here", "precision here"]
    table = ReportTable(
        "Claims and results on this history", header, rows, text_columns=frozenset({0, 1})
    )
    return ReportSection("claims", heading, [Paragraph(warning, is_warning=True), table])


def _build_limitations_section(result: BacktestResult) -> ReportSection:
    parts: list[SectionPart] = [Paragraph(to_single_line(text, 600)) for text in result.limitations]
    return ReportSection("limitations", "Limitations of the replay", parts)


def _build_method_section(result: BacktestResult) -> ReportSection:
    terms = [
        (term.capitalize(), to_single_line(meaning, 600))
        for term, meaning in result.definitions.items()
        if term not in BACKTEST_METRICS
    ]
    metrics = [
        (
            _COLUMN_TITLES.get(name, name.replace("_", " ")).capitalize(),
            to_single_line(meaning, 600),
        )
        for name, meaning in BACKTEST_METRICS.items()
    ]
    counts: list[TableRow] = [
        [
            to_single_line(strategy.name),
            *(
                f"{count:,}"
                for count in (
                    strategy.flags,
                    strategy.hits,
                    strategy.false_alarms,
                    strategy.detected,
                    strategy.reviewed,
                )
            ),
            f"{strategy.review_minutes:,.0f}",
            f"{strategy.contact_minutes:,.0f}",
        ]
        for strategy in result.strategies
    ]
    header = ["strategy", "flags", "hits", "false alarms", "detected", "reviewed"]
    header += ["review minutes", "contact minutes"]
    parts: list[SectionPart] = [
        DefinitionList(terms),
        DefinitionList(metrics, "Metric definitions"),
    ]
    if counts:
        parts.append(
            ReportTable("Counts behind the metrics, over the whole replay", header, counts)
        )
    note = "Flags that are neither hits nor false alarms have no label yet."
    return ReportSection("method", "Method", [*parts, Paragraph(note)])
