"""How the ways of working would have done, in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from serving.cli.output.terminal import stdout

if TYPE_CHECKING:
    from training.backtest import BacktestResult, StrategyResult
    from training.metrics.cluster_bootstrap import MetricEstimate

__all__ = ["print_backtest"]

_SHARES: Final[Mapping[str, str]] = {
    "share_flagged": "caught",
    "share_flagged_14d": "14 d before",
    "share_flagged_30d": "30 d before",
    "share_pointed_at": "pointed at",
}
_DAYS: Final[Mapping[str, str]] = {"lag_days": "lag, days", "lead_days": "lead, days"}
_COUNTS: Final[Mapping[str, str]] = {"false_alarms": "false alarms", "missed": "missed"}
_DEFINED_TERMS: Final = ("flag", "caught", "false alarm", "use", "hours")
_VENDOR_DISCLAIMER: Final = (
    "Vendors say: their figures, without a definition or a source; not verified."
)


def print_backtest(result: BacktestResult) -> None:
    """Print the ways of working side by side, then what the figures mean and cannot know."""
    title = (
        f"{result.expansions:,} expansions of {result.accounts:,.0f} accounts,"
        f" {result.counted_from} to {result.counted_until}"
    )
    caught = _build_table(title, *_SHARES.values(), "vendors say")
    cost = _build_table("What it took", *_DAYS.values(), *_COUNTS.values(), "minutes")
    for way in result.ways:
        caught.add_row(way.name, *_format_caught_cells(way), end_section=True)
        cost.add_row(way.name, *_format_cost_cells(way), end_section=True)
    stdout.print(caught)
    stdout.print(cost)
    sentences = [
        f"Replayed {result.start} to {result.end}, each day with what was known before it; below each"
        " figure its 90 % interval over accounts.",
        f"The team: {result.csms:,} CSM(s), {result.minutes_per_month:,.0f} minutes in 30 days"
        f" together, {result.minutes_per_account:g} an account worked,"
        f" {result.review_minutes:g} an account looked at; the same for every way.",
        "14 d, 30 d before: caught by a flag so early. Pointed at: the condition held in time,"
        " whether or not anyone had the time. Lag: from 80 % of seats or usage to the flag. Lead:"
        " from the flag to the expansion. False alarms and minutes: per quarter and CSM. Missed:"
        " per quarter and 80 accounts.",
        *(f"{word.capitalize()}: {result.definitions[word]}" for word in _DEFINED_TERMS),
        _VENDOR_DISCLAIMER,
        *(f"{way.name}: {way.rule}" for way in result.ways),
        *_describe_reviews(result),
        *_describe_early_flags(result),
        *_describe_missing_strategies(result),
        *result.notes,
        "What hindsight cannot know:",
        *(f"- {sentence}" for sentence in result.hindsight),
    ]
    for sentence in sentences:
        stdout.print(sentence, highlight=False, markup=False)
    stdout.print(result.verdict, highlight=False, markup=False, style="bold")


def _build_table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("way of working", min_width=20)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _format_caught_cells(strategy: StrategyResult) -> list[str]:
    claim = (
        ""
        if strategy.claim is None
        else strategy.claim.removesuffix(" caught").replace(" to ", "–")
    )
    return [
        *(_format_interval(strategy.figures[name], _format_percent, " %") for name in _SHARES),
        claim,
    ]


def _format_cost_cells(strategy: StrategyResult) -> list[str]:
    figures = strategy.figures
    days = [_format_interval(figures[name], "{:.0f}".format, between=" to ") for name in _DAYS]
    counts = [_format_interval(figures[name], _format_count) for name in _COUNTS]
    return [*days, *counts, _format_interval(figures["minutes"], "{:,.0f}".format)]


def _format_percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _format_count(count: float) -> str:
    """Two digits, so that an interval fits its column."""
    return f"{count:.1f}" if count < 9.95 else f"{count:,.0f}"


def _format_interval(
    estimate: MetricEstimate,
    format_value: Callable[[float], str],
    unit: str = "",
    *,
    between: str = "–",
) -> str:
    """The figure, and below it its interval."""
    if estimate.value is None:
        return "–"
    text = format_value(estimate.value) + unit
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text}\n{format_value(estimate.low)}{between}{format_value(estimate.high)}"


def _describe_reviews(result: BacktestResult) -> list[str]:
    """Say of each review how far it got: what costs time is not done to the end."""
    return [
        f"{way.name}: {way.looked:,} looks in {(result.end - result.start).days:,} days, at"
        f" {result.accounts:,.0f} accounts: {way.minutes_looking:,.0f} minutes of looking and"
        f" {way.minutes_working:,.0f} of working."
        for way in result.ways
        if way.looked
    ]


def _describe_early_flags(result: BacktestResult) -> list[str]:
    """Say what was flagged, but so early that it does not count."""
    counts = "; ".join(f"{way.name} {way.early:,}" for way in result.ways if way.early)
    before = result.caught_within_days - 1
    return (
        [f"Flagged, but more than {before} days before the expansion: {counts}."] if counts else []
    )


def _describe_missing_strategies(result: BacktestResult) -> list[str]:
    """Say which ways were not replayed, those for one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in result.absent.items():
        by_reason.setdefault(why, []).append(name)
    return [f"Not replayed: {'; '.join(names)}: {why}" for why, names in by_reason.items()]
