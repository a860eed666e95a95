"""The page of a backtest: ways of working side by side, with the same hours."""

from collections.abc import Sequence
from typing import Final

from serving.report import way_charts
from serving.report.page import Cell, Fact, Note, Page, Part, Row, Section, Table, Terms, render
from serving.report.paint import plain
from serving.report.words import cell
from training.backtest import FIGURES, Backtest, Way

__all__ = ["html"]

_CAUGHT: Final = (
    "share_flagged",
    "share_flagged_14d",
    "share_flagged_30d",
    "share_pointed_at",
    "precision",
)
_COST: Final = ("false_alarms", "missed", "minutes", "lag_days", "lead_days")
_HEADS: Final = {
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


def html(found: Backtest) -> str:
    """Write a backtest as one self-contained HTML page.

    Parameters
    ----------
    found : training.backtest.Backtest
        What the replay found.

    Returns
    -------
    str
        The same for the same input; of accounts it holds counts only.
    """
    return render(
        Page(
            title="How each way of working would have done",
            about=_about(found),
            foot="Beside the figures, 90% intervals, which draw whole accounts.",
            verdict=found.verdict,
            warnings=[plain(each, 600) for each in found.notes],
            facts=_facts(found),
            sections=[
                _compared(found),
                _ways(found),
                _claims(found),
                _limits(found),
                _method(found),
            ],
        )
    )


def _about(found: Backtest) -> str:
    return (
        f"History from {found.start} to {found.end}, replayed with only what was known on each"
        f" day. Counted are the {found.expansions:,} expansions from {found.counted_from} to"
        f" {found.counted_until}, the end excluded, of {found.accounts:,.0f} accounts under"
        " contract on average. Every way of working has the same hours."
    )


def _facts(found: Backtest) -> list[Fact]:
    hours = found.minutes_per_month / 60
    told = "CSM shares" if found.csms == 1 else "CSMs share"
    return [
        Fact("Hours", f"{hours:,.0f} h", "in 30 days", f"{found.csms} {told} them"),
        Fact(
            "Working an account",
            f"{found.minutes_per_account:,.0f} min",
            "",
            f"then it rests for {found.rest_days} days",
        ),
        Fact(
            "Looking at one in a review",
            f"{found.review_minutes:,.0f} min",
            "",
            "only for ways that review by hand",
        ),
        Fact(
            "A flag counts",
            f"{found.caught_within_days} days",
            "",
            "before the expansion, at most",
        ),
    ]


def _compared(found: Backtest) -> Section:
    heading = "What each way catches, and at what cost"
    if not found.ways:
        return Section(
            "ways", heading, [Note("No way of working could be replayed."), *_gone(found)]
        )
    if not found.expansions:
        none = "No expansion falls into the days that count, so nothing could be caught."
        return Section("ways", heading, [Note(none), _table(found.ways, _COST), *_gone(found)])
    parts: list[Part] = [
        way_charts.against(
            found.ways,
            "false_alarms",
            key="false-alarms",
            title="What is caught, for how many false alarms?",
            says="Up and to the left is better. Each mark is a way of working, with 90% intervals:"
            " the share of the expansions that it caught, and the flags without an expansion, per"
            " quarter and CSM.",
            x="false alarms per quarter and CSM",
        ),
        way_charts.early(found.ways),
        _table(found.ways, _CAUGHT),
        _table(found.ways, _COST),
    ]
    return Section("ways", heading, [*parts, *_gone(found)])


def _table(ways: Sequence[Way], names: Sequence[str]) -> Table:
    rows: list[Row] = [
        [plain(way.name), *(_cell(name, way) for name in names), f"{way.flags:,}"] for way in ways
    ]
    about = "What each way caught" if names == _CAUGHT else "What each way cost, and when it came"
    return Table(
        f"{about}, with 90% intervals",
        ["way of working", *(_HEADS[name] for name in names), "flags in all"],
        rows,
        strong=frozenset(at for at, way in enumerate(ways) if way_charts.is_model(way)),
    )


def _cell(name: str, way: Way) -> Cell:
    figure = way.figures.get(name)
    if name in {"false_alarms", "missed", "minutes"} and figure and figure.value is not None:
        many = name == "minutes"
        say = "{:,.0f}".format if many else "{:,.1f}".format
        ends = figure.low is not None and figure.high is not None
        return Cell(say(figure.value), f"{say(figure.low)} to {say(figure.high)}" if ends else "")
    return cell(name, figure)


def _gone(found: Backtest) -> list[Part]:
    if not found.absent:
        return []
    rows: list[Row] = [[plain(name), plain(why, 300)] for name, why in found.absent.items()]
    head, words = ["way of working", "reason"], frozenset({0, 1})
    return [Table("Ways that could not be replayed", head, rows, words)]


def _ways(found: Backtest) -> Section:
    pairs = [(plain(way.name), plain(way.rule, 600)) for way in found.ways]
    return Section("rules", "When each way flags an account", [Terms(pairs)])


def _claims(found: Backtest) -> Section:
    heading = "What the trade claims"
    claimed = [way for way in found.ways if way.claim]
    if not claimed:
        return Section("claims", heading, [Note("No claim is on file for these ways of working.")])
    rows: list[Row] = [
        [
            plain(way.name),
            plain(way.claim, 200),
            _cell("share_flagged", way),
            _cell("precision", way),
        ]
        for way in claimed
    ]
    warning = (
        "These figures are the vendors' own. They are not verified, their definitions are not"
        " known, and they are not of this company: they stand here beside what this history shows."
    )
    head = ["way of working", "claimed, not verified", "caught here", "precision here"]
    table = Table("Claims beside this history", head, rows, words=frozenset({0, 1}))
    return Section("claims", heading, [Note(warning, loud=True), table])


def _limits(found: Backtest) -> Section:
    parts: list[Part] = [Note(plain(each, 600)) for each in found.hindsight]
    return Section("hindsight", "What hindsight cannot know", parts)


def _method(found: Backtest) -> Section:
    words = [
        (word.capitalize(), plain(meaning, 600))
        for word, meaning in found.definitions.items()
        if word not in FIGURES
    ]
    figures = [
        (_HEADS.get(name, name.replace("_", " ")).capitalize(), plain(meaning, 600))
        for name, meaning in FIGURES.items()
    ]
    counts: list[Row] = [
        [
            plain(way.name),
            *(f"{n:,}" for n in (way.flags, way.hits, way.false_alarms, way.caught, way.looked)),
            f"{way.minutes_looking:,.0f}",
            f"{way.minutes_working:,.0f}",
        ]
        for way in found.ways
    ]
    head = ["way of working", "flags", "hits", "false alarms", "caught", "looked at"]
    head += ["minutes looking", "minutes working"]
    parts: list[Part] = [Terms(words), Terms(figures, "What each figure means")]
    if counts:
        parts.append(Table("The counts behind the figures, over the whole replay", head, counts))
    undecided = "Flags that are neither hits nor false alarms are not decided yet."
    return Section("method", "How it was measured", [*parts, Note(undecided)])
