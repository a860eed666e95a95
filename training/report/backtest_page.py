"""The page of a backtest: ways of working side by side, with the same hours."""

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

_CATCH_METRICS: Final = (
    "share_flagged",
    "share_flagged_14d",
    "share_flagged_30d",
    "share_pointed_at",
    "precision",
)
_COST_METRICS: Final = ("false_alarms", "missed", "minutes", "lag_days", "lead_days")
_COLUMN_TITLES: Final = {
    "share_flagged": "caught",
    "share_flagged_14d": "14 days before",
    "share_flagged_30d": "30 days before",
    "share_pointed_at": "pointed at",
    "precision": "precision",
    "false_alarms": "false alarms",
    "missed": "missed",
    "minutes": "minutes",
    "lag_days": "lag",
    "lead_days": "lead",
}


def render_backtest_page(result: BacktestResult) -> str:
    """Write a backtest as one self-contained HTML page.

    Parameters
    ----------
    result : training.backtest.Backtest
        What the replay found.

    Returns
    -------
    str
        The same for the same input; of accounts it holds counts only.
    """
    return render_page(
        ReportPage(
            title="How each way of working would have done",
            about=_format_summary(result),
            foot="Beside the figures, 90% intervals, which draw whole accounts.",
            verdict=result.verdict,
            warnings=[to_single_line(each, 600) for each in result.notes],
            facts=_build_key_metrics(result),
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
        f"History from {result.start} to {result.end}, replayed with only what was known on each"
        f" day. Counted are the {result.expansions:,} expansions from {result.counted_from} to"
        f" {result.counted_until}, the end excluded, of {result.accounts:,.0f} accounts under"
        " contract on average. Every way of working has the same hours."
    )


def _build_key_metrics(result: BacktestResult) -> list[KeyMetric]:
    hours = result.minutes_per_month / 60
    verb = "CSM shares" if result.csms == 1 else "CSMs share"
    return [
        KeyMetric("Hours", f"{hours:,.0f} h", "in 30 days", f"{result.csms} {verb} them"),
        KeyMetric(
            "Working an account",
            f"{result.minutes_per_account:,.0f} min",
            "",
            f"then it rests for {result.rest_days} days",
        ),
        KeyMetric(
            "Looking at one in a review",
            f"{result.review_minutes:,.0f} min",
            "",
            "only for ways that review by hand",
        ),
        KeyMetric(
            "A flag counts",
            f"{result.caught_within_days} days",
            "",
            "before the expansion, at most",
        ),
    ]


def _build_comparison_section(result: BacktestResult) -> ReportSection:
    heading = "What each way catches, and at what cost"
    if not result.ways:
        return ReportSection(
            "ways",
            heading,
            [Paragraph("No way of working could be replayed."), *_build_unavailable_table(result)],
        )
    if not result.expansions:
        none = "No expansion falls into the days that count, so nothing could be caught."
        return ReportSection(
            "ways",
            heading,
            [
                Paragraph(none),
                _build_strategy_table(result.ways, _COST_METRICS),
                *_build_unavailable_table(result),
            ],
        )
    parts: list[SectionPart] = [
        backtest_charts.draw_cost_scatter(
            result.ways,
            "false_alarms",
            key="false-alarms",
            title="What is caught, for how many false alarms?",
            says="Up and to the left is better. Each mark is a way of working, with 90% intervals:"
            " the share of the expansions that it caught, and the flags without an expansion, per"
            " quarter and CSM.",
            x="false alarms per quarter and CSM",
        ),
        backtest_charts.draw_lead_times(result.ways),
        _build_strategy_table(result.ways, _CATCH_METRICS),
        _build_strategy_table(result.ways, _COST_METRICS),
    ]
    return ReportSection("ways", heading, [*parts, *_build_unavailable_table(result)])


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
        "What each way caught"
        if metrics == _CATCH_METRICS
        else "What each way cost, and when it came"
    )
    return ReportTable(
        f"{title}, with 90% intervals",
        ["way of working", *(_COLUMN_TITLES[name] for name in metrics), "flags in all"],
        rows,
        strong=frozenset(
            at for at, way in enumerate(strategies) if backtest_charts.uses_model(way)
        ),
    )


def _format_cell(name: str, strategy: StrategyResult) -> MetricCell:
    estimate = strategy.figures.get(name)
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
    if not result.absent:
        return []
    rows: list[TableRow] = [
        [to_single_line(name), to_single_line(reason, 300)]
        for name, reason in result.absent.items()
    ]
    head, words = ["way of working", "reason"], frozenset({0, 1})
    return [ReportTable("Ways that could not be replayed", head, rows, words)]


def _build_rules_section(result: BacktestResult) -> ReportSection:
    pairs = [
        (to_single_line(strategy.name), to_single_line(strategy.rule, 600))
        for strategy in result.ways
    ]
    return ReportSection("rules", "When each way flags an account", [DefinitionList(pairs)])


def _build_claims_section(result: BacktestResult) -> ReportSection:
    heading = "What the trade claims"
    claimed = [strategy for strategy in result.ways if strategy.claim]
    if not claimed:
        return ReportSection(
            "claims", heading, [Paragraph("No claim is on file for these ways of working.")]
        )
    rows: list[TableRow] = [
        [
            to_single_line(way.name),
            to_single_line(way.claim, 200),
            _format_cell("share_flagged", way),
            _format_cell("precision", way),
        ]
        for way in claimed
    ]
    warning = (
        "These figures are the vendors' own. They are not verified, their definitions are not"
        " known, and they are not of this company: they stand here beside what this history shows."
    )
    head = ["way of working", "claimed, not verified", "caught here", "precision here"]
    table = ReportTable("Claims beside this history", head, rows, words=frozenset({0, 1}))
    return ReportSection("claims", heading, [Paragraph(warning, loud=True), table])


def _build_limitations_section(result: BacktestResult) -> ReportSection:
    parts: list[SectionPart] = [Paragraph(to_single_line(each, 600)) for each in result.hindsight]
    return ReportSection("hindsight", "What hindsight cannot know", parts)


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
                f"{n:,}"
                for n in (
                    strategy.flags,
                    strategy.hits,
                    strategy.false_alarms,
                    strategy.caught,
                    strategy.looked,
                )
            ),
            f"{strategy.minutes_looking:,.0f}",
            f"{strategy.minutes_working:,.0f}",
        ]
        for strategy in result.ways
    ]
    head = ["way of working", "flags", "hits", "false alarms", "caught", "looked at"]
    head += ["minutes looking", "minutes working"]
    parts: list[SectionPart] = [
        DefinitionList(terms),
        DefinitionList(metrics, "What each figure means"),
    ]
    if counts:
        parts.append(
            ReportTable("The counts behind the figures, over the whole replay", head, counts)
        )
    undecided = "Flags that are neither hits nor false alarms are not decided yet."
    return ReportSection("method", "How it was measured", [*parts, Paragraph(undecided)])
