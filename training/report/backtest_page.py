"""HTML report of a backtest: strategies side by side, with equal capacity."""

from collections.abc import Iterable, Mapping, Sequence
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

_DETECTION_METRICS: Final = {
    "detection_rate": "detected",
    "detection_rate_14d": "14 days before",
    "detection_rate_30d": "30 days before",
    "condition_rate": "condition met",
    "precision": "precision",
}
_COST_METRICS: Final = {
    "false_alarms": "false alarms",
    "missed": "missed",
    "minutes": "minutes",
    "lag_days": "lag",
    "lead_days": "lead",
}
# Name, value, interval and explanation, over the fields of the result.
_KEY_METRICS: Final = (
    ("Capacity", "{hours:,.0f} h", "in 30 days", "{csms} {verb} them"),
    (
        "Contacting an account",
        "{minutes_per_account:,.0f} min",
        "",
        "followed by a cool-down of {cooldown_days} days",
    ),
    ("Reviewing an account", "{review_minutes:,.0f} min", "", "only in manual reviews"),
    (
        "Detection window",
        "{detection_window_days} days",
        "",
        "from a flag to the expansion, at most",
    ),
)
_COUNTS: Final = (
    "flags",
    "hits",
    "false_alarms",
    "detected",
    "reviewed",
    "review_minutes",
    "contact_minutes",
)


def render_backtest_page(result: BacktestResult) -> str:
    """Render a backtest as one self-contained HTML page, with counts of accounts only."""
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
                ReportSection(
                    "rules",
                    "When each strategy flags an account",
                    [
                        DefinitionList(
                            _clean_pairs((item.name, item.rule) for item in result.strategies)
                        )
                    ],
                ),
                _build_claims_section(result),
                ReportSection(
                    "limitations",
                    "Limitations of the replay",
                    [Paragraph(to_single_line(text, 600)) for text in result.limitations],
                ),
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
    verb = "CSM shares" if result.csms == 1 else "CSMs share"
    values = {**vars(result), "verb": verb, "hours": result.minutes_per_month / 60}
    return [KeyMetric(*(text.format(**values) for text in texts)) for texts in _KEY_METRICS]


def _build_comparison_section(result: BacktestResult) -> ReportSection:
    parts: list[SectionPart] = []
    if not result.strategies:
        parts.append(Paragraph("No strategy could be replayed."))
    elif not result.expansions:
        note = "No expansion falls into the counted days, so nothing could be detected."
        parts += [Paragraph(note), _build_strategy_table(result.strategies, _COST_METRICS)]
    else:
        parts += [
            backtest_charts.draw_cost_scatter(result.strategies),
            backtest_charts.draw_lead_times(result.strategies),
            _build_strategy_table(result.strategies, _DETECTION_METRICS),
            _build_strategy_table(result.strategies, _COST_METRICS),
        ]
    if result.unavailable:
        title, header = "Strategies that could not be replayed", ["strategy", "reason"]
        rows = _clean_pairs(result.unavailable.items(), 300)
        parts.append(ReportTable(title, header, rows, text_columns=frozenset({0, 1})))
    return ReportSection("strategies", "Detection and cost by strategy", parts)


def _build_strategy_table(
    strategies: Sequence[StrategyResult], metrics: Mapping[str, str]
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
        ["strategy", *metrics.values(), "total flags"],
        rows,
        bold_rows=frozenset(
            row for row, strategy in enumerate(strategies) if backtest_charts.uses_model(strategy)
        ),
    )


def _format_cell(name: str, strategy: StrategyResult) -> MetricCell:
    estimate = strategy.metrics.get(name)
    if name not in {"false_alarms", "missed", "minutes"} or not estimate or estimate.value is None:
        return format_cell(name, estimate)
    places = 0 if name == "minutes" else 1
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"{estimate.low:,.{places}f} to {estimate.high:,.{places}f}"
    return MetricCell(f"{estimate.value:,.{places}f}", interval)


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


def _build_method_section(result: BacktestResult) -> ReportSection:
    terms = _clean_pairs(
        (term.capitalize(), meaning)
        for term, meaning in result.definitions.items()
        if term not in BACKTEST_METRICS
    )
    titles = {**_DETECTION_METRICS, **_COST_METRICS}
    metrics = _clean_pairs(
        (titles.get(name, name.replace("_", " ")).capitalize(), meaning)
        for name, meaning in BACKTEST_METRICS.items()
    )
    counts: list[TableRow] = [
        [
            to_single_line(strategy.name),
            *(f"{getattr(strategy, name):,.0f}" for name in _COUNTS),
        ]
        for strategy in result.strategies
    ]
    header = ["strategy", *(name.replace("_", " ") for name in _COUNTS)]
    table = ReportTable("Counts behind the metrics, over the whole replay", header, counts)
    parts: list[SectionPart] = [
        DefinitionList(terms),
        DefinitionList(metrics, "Metric definitions"),
        *([table] if counts else []),
        Paragraph("Flags that are neither hits nor false alarms have no label yet."),
    ]
    return ReportSection("method", "Method", parts)


def _clean_pairs(pairs: Iterable[tuple[str, str]], max_length: int = 600) -> list[tuple[str, str]]:
    """Return names and texts as single lines."""
    return [(to_single_line(name), to_single_line(text, max_length)) for name, text in pairs]
