"""Terminal tables of a backtest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from serving.cli.output.terminal import print_line, stdout

if TYPE_CHECKING:
    from training.backtest import BacktestResult, StrategyResult
    from training.metrics.cluster_bootstrap import MetricEstimate

__all__ = ["print_backtest"]

_SHARES: Final[Mapping[str, str]] = {
    "detection_rate": "detected",
    "detection_rate_14d": "14 d lead",
    "detection_rate_30d": "30 d lead",
    "condition_rate": "cond. met",
}
_DAYS: Final[Mapping[str, str]] = {"lag_days": "lag, days", "lead_days": "lead, days"}
_COUNTS: Final[Mapping[str, str]] = {"false_alarms": "false alarms", "missed": "missed"}
_DEFINED_TERMS: Final = ("flag", "detected", "false alarm", "utilization", "capacity")
_VENDOR_DISCLAIMER: Final = (
    "Vendor claims: figures published without a definition or a source; not verified."
)


def print_backtest(result: BacktestResult) -> None:
    """Print the strategies in two tables, then definitions, notes and limitations."""
    title = (
        f"{result.expansions:,} expansions of {result.accounts:,.0f} accounts,"
        f" {result.counted_from} to {result.counted_until}"
    )
    strategies = result.strategies
    _print_strategies(title, [*_SHARES.values(), "claimed"], strategies, _format_detection_cells)
    effort_columns = [*_DAYS.values(), *_COUNTS.values(), "minutes"]
    _print_strategies("Effort", effort_columns, strategies, _format_cost_cells)
    sentences = [
        f"Replayed {result.start} to {result.end}, each day with the data known before it. The"
        " 90 % interval over accounts is below each figure.",
        f"Team: {result.csms:,} CSM(s), {result.minutes_per_month:,.0f} minutes in 30 days"
        f" together, {result.minutes_per_account:g} per contacted account and"
        f" {result.review_minutes:g} per reviewed account; the same for every strategy.",
        "14 d, 30 d lead: detected by a flag at least that early. Cond. met: the condition"
        " held in time, with or without capacity. Lag: from 80 % of seats or usage to the flag."
        " Lead: from the flag to the expansion. False alarms and minutes: per quarter and CSM."
        " Missed: per quarter and 80 accounts.",
        *(f"{word.capitalize()}: {result.definitions[word]}" for word in _DEFINED_TERMS),
        _VENDOR_DISCLAIMER,
        *(f"{strategy.name}: {strategy.rule}" for strategy in strategies),
        *_describe_reviews(result),
        *_describe_early_flags(result),
        *_describe_missing_strategies(result),
        *result.notes,
        "Limitations of a replay:",
        *(f"- {sentence}" for sentence in result.limitations),
    ]
    for sentence in sentences:
        print_line(sentence)
    print_line(result.verdict, "bold")


def _print_strategies(
    title: str,
    columns: Sequence[str],
    strategies: Sequence[StrategyResult],
    format_cells: Callable[[StrategyResult], list[str]],
) -> None:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("strategy", min_width=20)
    for name in columns:
        table.add_column(name, justify="right")
    for strategy in strategies:
        table.add_row(strategy.name, *format_cells(strategy), end_section=True)
    stdout.print(table)


def _format_detection_cells(strategy: StrategyResult) -> list[str]:
    claim = (strategy.claim or "").removesuffix(" detected").replace(" to ", "–")
    shares = (
        _format_interval(strategy.metrics[name], lambda share: f"{100 * share:.0f}", " %")
        for name in _SHARES
    )
    return [*shares, claim]


def _format_cost_cells(strategy: StrategyResult) -> list[str]:
    metrics = strategy.metrics
    days = [_format_interval(metrics[name], "{:.0f}".format, between=" to ") for name in _DAYS]
    counts = [_format_interval(metrics[name], _format_count) for name in _COUNTS]
    return [*days, *counts, _format_interval(metrics["minutes"], "{:,.0f}".format)]


def _format_count(count: float) -> str:
    """Format a count with two digits, so that an interval fits its column."""
    return f"{count:.1f}" if count < 9.95 else f"{count:,.0f}"


def _format_interval(
    estimate: MetricEstimate,
    format_value: Callable[[float], str],
    unit: str = "",
    *,
    between: str = "–",
) -> str:
    """Format the estimate, with its interval on the next line."""
    if estimate.value is None:
        return "–"
    text = format_value(estimate.value) + unit
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text}\n{format_value(estimate.low)}{between}{format_value(estimate.high)}"


def _describe_reviews(result: BacktestResult) -> list[str]:
    """Describe the progress of each manual review, which capacity limits."""
    return [
        f"{strategy.name}: {strategy.reviewed:,} reviews in {(result.end - result.start).days:,}"
        f" days, at {result.accounts:,.0f} accounts: {strategy.review_minutes:,.0f} minutes"
        f" of review and {strategy.contact_minutes:,.0f} of contact."
        for strategy in result.strategies
        if strategy.reviewed
    ]


def _describe_early_flags(result: BacktestResult) -> list[str]:
    """Describe flags that came too early to count."""
    counts = "; ".join(
        f"{strategy.name} {strategy.detected_too_early:,}"
        for strategy in result.strategies
        if strategy.detected_too_early
    )
    before = result.detection_window_days - 1
    return (
        [f"Flagged, but more than {before} days before the expansion: {counts}."] if counts else []
    )


def _describe_missing_strategies(result: BacktestResult) -> list[str]:
    """List the strategies that were not replayed, grouped by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in result.unavailable.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"Not replayed: {'; '.join(names)}: {reason}" for reason, names in by_reason.items()]
