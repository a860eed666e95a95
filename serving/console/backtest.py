"""How the ways of working would have done, in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from serving.console.terminal import out

if TYPE_CHECKING:
    from training.backtest import Backtest, Way
    from training.resampling import Figure

__all__ = ["backtested"]

_SHARES: Final[Mapping[str, str]] = {
    "share_flagged": "caught",
    "share_flagged_14d": "14 d before",
    "share_flagged_30d": "30 d before",
    "share_pointed_at": "pointed at",
}
_DAYS: Final[Mapping[str, str]] = {"lag_days": "lag, days", "lead_days": "lead, days"}
_COUNTS: Final[Mapping[str, str]] = {"false_alarms": "false alarms", "missed": "missed"}
_WORDS: Final = ("flag", "caught", "false alarm", "use", "hours")
_UNVERIFIED: Final = "Vendors say: their figures, without a definition or a source; not verified."


def backtested(found: Backtest) -> None:
    """Print the ways of working side by side, then what the figures mean and cannot know."""
    title = (
        f"{found.expansions:,} expansions of {found.accounts:,.0f} accounts,"
        f" {found.counted_from} to {found.counted_until}"
    )
    caught = _table(title, *_SHARES.values(), "vendors say")
    cost = _table("What it took", *_DAYS.values(), *_COUNTS.values(), "minutes")
    for way in found.ways:
        caught.add_row(way.name, *_caught(way), end_section=True)
        cost.add_row(way.name, *_cost(way), end_section=True)
    out.print(caught)
    out.print(cost)
    told = [
        f"Replayed {found.start} to {found.end}, each day with what was known before it; below each"
        " figure its 90 % interval over accounts.",
        f"The team: {found.csms:,} CSM(s), {found.minutes_per_month:,.0f} minutes in 30 days"
        f" together, {found.minutes_per_account:g} an account worked,"
        f" {found.review_minutes:g} an account looked at; the same for every way.",
        "14 d, 30 d before: caught by a flag so early. Pointed at: the condition held in time,"
        " whether or not anyone had the time. Lag: from 80 % of seats or usage to the flag. Lead:"
        " from the flag to the expansion. False alarms and minutes: per quarter and CSM. Missed:"
        " per quarter and 80 accounts.",
        *(f"{word.capitalize()}: {found.definitions[word]}" for word in _WORDS),
        _UNVERIFIED,
        *(f"{way.name}: {way.rule}" for way in found.ways),
        *_looks(found),
        *_early(found),
        *_absent(found),
        *found.notes,
        "What hindsight cannot know:",
        *(f"- {sentence}" for sentence in found.hindsight),
    ]
    for sentence in told:
        out.print(sentence, highlight=False, markup=False)
    out.print(found.verdict, highlight=False, markup=False, style="bold")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("way of working", min_width=20)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _caught(way: Way) -> list[str]:
    claim = "" if way.claim is None else way.claim.removesuffix(" caught").replace(" to ", "–")
    return [*(_spread(way.figures[name], _percent, " %") for name in _SHARES), claim]


def _cost(way: Way) -> list[str]:
    figures = way.figures
    days = [_spread(figures[name], "{:.0f}".format, between=" to ") for name in _DAYS]
    counts = [_spread(figures[name], _short) for name in _COUNTS]
    return [*days, *counts, _spread(figures["minutes"], "{:,.0f}".format)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _short(count: float) -> str:
    """Two digits, so that an interval fits its column."""
    return f"{count:.1f}" if count < 9.95 else f"{count:,.0f}"


def _spread(
    figure: Figure, style: Callable[[float], str], unit: str = "", *, between: str = "–"
) -> str:
    """The figure, and below it its interval."""
    if figure.value is None:
        return "–"
    told = style(figure.value) + unit
    if figure.low is None or figure.high is None:
        return told
    return f"{told}\n{style(figure.low)}{between}{style(figure.high)}"


def _looks(found: Backtest) -> list[str]:
    """Say of each review how far it got: what costs time is not done to the end."""
    return [
        f"{way.name}: {way.looked:,} looks in {(found.end - found.start).days:,} days, at"
        f" {found.accounts:,.0f} accounts: {way.minutes_looking:,.0f} minutes of looking and"
        f" {way.minutes_working:,.0f} of working."
        for way in found.ways
        if way.looked
    ]


def _early(found: Backtest) -> list[str]:
    """Say what was flagged, but so early that it does not count."""
    told = "; ".join(f"{way.name} {way.early:,}" for way in found.ways if way.early)
    before = found.caught_within_days - 1
    return [f"Flagged, but more than {before} days before the expansion: {told}."] if told else []


def _absent(found: Backtest) -> list[str]:
    """Say which ways were not replayed, those for one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in found.absent.items():
        by_reason.setdefault(why, []).append(name)
    return [f"Not replayed: {'; '.join(names)}: {why}" for why, names in by_reason.items()]
