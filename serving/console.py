"""What a person sees in the terminal: tables, bars, one line per error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from serving.checkup import Checkup
    from training.evaluate import Evaluation
    from training.metrics import Figure

__all__ = [
    "checkup",
    "controls",
    "emit",
    "evaluated",
    "exclusion",
    "monday_list",
    "one_account",
    "say",
    "scored",
    "stages",
    "suspicious",
]

out = Console()
logs = Console(stderr=True)

_FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_capacity": "precision at capacity",
    "log_loss_skill": "log-loss skill",
    "log_loss": "log loss",
    "brier": "Brier",
    "brier_skill": "Brier skill",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "observed_to_expected": "observed ÷ expected",
}


def emit(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, default=str, ensure_ascii=False) + "\n")


@contextmanager
def stages() -> Iterator[Any]:
    """Show a bar per stage while a person watches, else a line when a stage ends; on stderr."""
    if not logs.is_terminal:
        yield _said
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # A step may take minutes, and the time left is told from the steps of so many seconds.
    with Progress(*columns, console=logs, speed_estimate_period=3600) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield advance


def _said(stage: str, done: int, total: int) -> None:
    if done == total:
        logs.print(f"{stage}: {total} done", highlight=False)


def say(sentence: str) -> None:
    """Tell something of the work that is going on, on stderr."""
    logs.print(sentence, highlight=False, markup=False)


def monday_list(
    rows: Sequence[Mapping[str, Any]], as_of: date | None, top: int, *, horizon_days: int
) -> None:
    """Print the list as a CSM reads it: a line per account, and why beneath it."""
    out.print(f"\n[bold]Who will expand within {horizon_days} days, as of {as_of}[/bold]\n")
    head = (
        f"{'#':>3}  {'account':<24} {'chance':>6}  {'80 % interval':<13}  {'talk from':<16}  limit"
    )
    out.print(head, style="dim", highlight=False)
    for row in rows[:top]:
        name = (row["name"] or row["account_id"])[:24]
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
        line = (
            f"{row['rank']:>3}  {name:<24} {row['probability']:>6.0%}  {interval:<13} "
            f" {talk_from(row):<16}  {row['limit']}"
        )
        out.print(line, style="bold", highlight=False, markup=False)
        for sentence in row["signals"] or ["Nothing stands out"]:
            # Padding keeps the indent where a narrow terminal breaks the line.
            out.print(Padding(Text(sentence), (0, 0, 0, 5), expand=False))
    if len(rows) > top:
        out.print(f"     … and {len(rows) - top:,} more", style="dim", highlight=False)
    out.print()


def scored(record: Mapping[str, Any], *, dry_run: bool, where: str) -> None:
    """Print the counts of a run, and where its result went."""
    excluded = ", ".join(f"{count:,} {reason}" for reason, count in record["excluded"].items())
    out.print(
        f"{record['listed']:,} accounts ranked by model version {record['model']}; not on the"
        f" list: {excluded or 'none'}.",
        highlight=False,
    )
    out.print(record["verdict"], highlight=False)
    if record["hindsight"]:
        out.print(
            "In hindsight: the model was trained later than this as-of, so this list flatters it.",
            highlight=False,
        )
    if record["log"]["days_missing"]:
        days = record["log"]["days_missing"]
        out.print(f"The last {days} day(s) before the as-of are not in the log.", highlight=False)
    if dry_run:
        out.print("Dry run: the CRM is untouched.", highlight=False)
        return
    written = record["written"]
    out.print(
        f"Written to {where}: {written['listed']:,} accounts, {written['unlisted']:,} more with"
        f" the reason why not, {written['newer']:,} left alone that carry a newer as-of.",
        highlight=False,
        markup=False,
    )


def talk_from(row: Mapping[str, Any]) -> str:
    """Say the readiness date as a CSM would: a day, now, or none."""
    day = row["readiness_date"]
    if day is None:
        return "no specific date"
    year = f" {day.year}" if day.year != row["as_of"].year else ""
    return "now" if day <= row["as_of"] else f"{day.day} {day:%B}{year}"


def one_account(
    row: Mapping[str, Any],
    past: Sequence[Mapping[str, Any]],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    outreach: str,
) -> None:
    """Print one account in full; ``outreach`` says what its motion means."""
    title = f"{row['name'] or row['account_id']} ({row['account_id']})"
    out.print(title, style="bold", markup=False, highlight=False)
    if row["rank"] is None:
        out.print(f"not on the list of {row['as_of']}: {row['note']}")
        return
    used, sold = row["active_seats"], row["licensed_seats"]
    facts = {
        "rank": f"{row['rank']}, as of {row['as_of']}, by model version {row['model']}",
        f"chance in {horizon_days} days": (
            f"{row['probability']:.1%} ({row['low']:.1%} – {row['high']:.1%})"
        ),
        "band": _band(row["band"], bands),
        "chance in 180 days": f"{row['probability_180d']:.1%}",
        "talk from": talk_from(row),
        "if it expands": f"{row['expected_date']}, most likely between"
        f" {row['expected_early']} and {row['expected_late']}",
        "expected ARR": _amount(row["expected_arr"]),
        "chance to leave": _share(row["churn_probability"]),
        "seats": f"{used} active" + (f" of {sold}" if sold is not None else "; none are sold"),
        "limit": row["limit"],
        "tier": "none" if row["tier"] is None else row["tier"],
        "motion": f"{row['motion']}: {outreach}",
    }
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name, str(value))
    out.print(table)
    out.print("\nWhy")
    for sentence in row["signals"] or ["Nothing stands out"]:
        out.print(f"  • {sentence}", highlight=False, markup=False)
    _contributions(row)
    if len(past) > 1:
        steps = ", ".join(f"{p['as_of']}: {p['probability']:.0%} (#{p['rank']})" for p in past[-6:])
        out.print(f"\nBefore: {steps}", highlight=False)


def _band(band: str, bands: Sequence[Mapping[str, Any]]) -> str:
    """Say what became of accounts in the same band, where that was seen."""
    seen = next((each for each in bands if each["band"] == band), None)
    if seen is None:
        return f"{band}; none was seen in it before"
    return (
        f"{band}; of {seen['snapshots']:,} such in the past {seen['value']:.1%} expanded"
        f" ({_share(seen['low'])} – {_share(seen['high'])})"
    )


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _amount(value: float | None) -> str:
    return "unknown: no revenue on file" if value is None else f"{value:,.0f} a year"


def _contributions(row: Mapping[str, Any]) -> None:
    parts = sorted(row["contributions"].items(), key=lambda part: -abs(part[1]))
    table = Table("signal", "log-odds", title="What moved the number", title_justify="left")
    table.add_row("starting point, horizon included", f"{row['base']:+.2f}")
    for name, value in parts[:8]:
        table.add_row(name.replace("_", " "), f"{value:+.2f}")
    table.add_row("all other signals", f"{sum(value for _, value in parts[8:]):+.2f}")
    table.add_row("[bold]sum, before calibration", f"[bold]{row['margin']:+.2f}")
    out.print(table)


def evaluated(walked: Evaluation) -> None:
    """Print the figures of the model beside those of the simple rankings."""
    figures = walked.figures
    table = Table(title="Walk forward, with 90 % intervals over accounts")
    table.add_column("ranking", max_width=20)
    shown = ("auroc", "average_precision", "precision_at_capacity")
    for name in shown:
        table.add_column(_FIGURES[name], no_wrap=False)
    for ranking, found in figures.items():
        style = "bold" if ranking == "model" else ""
        table.add_row(ranking, *(_cell(found[name]) for name in shown), style=style)
    out.print(table)
    for name, title in _FIGURES.items():
        if name in figures["model"] and name not in shown:
            out.print(f"{title}: {figures['model'][name]}", highlight=False)
    _dates(walked.date_figures)
    _bands(walked.bands)
    known = walked.predictions["expanded"].drop_nulls()
    out.print(
        f"{walked.predictions.height:,} predictions from {walked.predictions['cut'].n_unique()}"
        f" cuts; {len(known):,} with a known outcome, {known.sum():,} expanded.",
        highlight=False,
    )
    for cut, reason in walked.skipped.items():
        out.print(f"cut {cut} skipped: {reason}", highlight=False)
    out.print(walked.verdict(), highlight=False, style="bold")


def controls(added: Mapping[str, Figure]) -> None:
    """Print what the controls would have added, where that was asked for."""
    if added:
        told = ", ".join(f"{_FIGURES[name]} {figure}" for name, figure in added.items())
        out.print(f"With logins, tickets and NPS, which it is not given: {told}", highlight=False)


def exclusion(account: str, stretches: Sequence[Mapping[str, Any]]) -> None:
    """Print what the rows of one account were used for, and why others were not."""
    table = Table("as of", "rows", "trained on", "why", title=escape(account))
    for each in stretches:
        span = str(each["first"]) if each["rows"] == 1 else f"{each['first']} to {each['last']}"
        table.add_row(span, str(each["rows"]), "yes" if each["used"] else "no", each["why"])
    out.print(table)


def _bands(bands: Sequence[Mapping[str, Any]]) -> None:
    """Print what was expected and observed in each band of probability."""
    table = Table("chance", "snapshots", "expected", "expanded", title="By band of the chance")
    for band in bands:
        observed = f"{_share(band['value'])} ({_share(band['low'])} – {_share(band['high'])})"
        expected = _share(band["expected"])
        table.add_row(band["band"], f"{band['snapshots']:,}", expected, observed)
    if bands:
        out.print(table)


def _dates(found: Mapping[str, Figure]) -> None:
    """Print how far the expected dates were off, where any expansion can be judged yet."""
    error, usual, line = (found[f"date_error_days{rival}"] for rival in ("", "_usual", "_line"))
    if error.value is None:
        return
    out.print(
        f"expected date off by {error.value:.0f} days on average, for expansions within 180 days;"
        f" the usual day by {usual.value:.0f}, a straight line to the limit by {line.value:.0f};"
        f" saved: {found['date_gain_over_usual']} and {found['date_gain_over_line']}",
        highlight=False,
    )
    thirds = [found[f"date_coverage_{third}"] for third in ("lowest", "middle", "highest")]
    told = ", ".join("n/a" if third.value is None else f"{third.value:.0%}" for third in thirds)
    out.print(
        f"80 % interval of the date held {found['date_coverage']}; by third of the chance: {told}",
        highlight=False,
    )


def _cell(figure: Figure) -> str:
    if figure.value is None or figure.low is None:
        return str(figure)
    return f"{figure.value:.3f}  {figure.low:.2f}–{figure.high:.2f}"


def checkup(report: Checkup) -> None:
    """Print what the data is fit for."""
    table = Table("table", "rows", "left out, by reason", title="What was read")
    for read in report.tables:
        reasons = {**read["quarantine"], **read["notes"]}
        told = "\n".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none"
        table.add_row(read["table"], f"{read['rows']:,}", told)
    out.print(table)
    out.print(f"The log spans {report.span['first_day']} to {report.span['last_day']}.")
    names = Table("event", "taken for", "rows", title="Event names")
    for event in report.events[:30]:
        names.add_row(escape(event["event"]), event["role"], f"{event['rows']:,}")
    out.print(names)
    if len(report.events) > 30:
        out.print(f"… and {len(report.events) - 30} more names")
    for lack in report.missing:
        out.print(f"Without {lack['lacks']}: {', '.join(lack['features'])}", highlight=False)
    told = ", ".join(f"{count:,} {reason}" for reason, count in report.excluded.items())
    out.print(f"{report.eligible:,} accounts are eligible now; not eligible: {told or 'none'}.")
    _history(report.history)
    for column in report.suspicious:
        suspicious(column)
    for item in report.checklist:
        mark = "[green]✓[/green]" if item["holds"] else "[red]✗[/red]"
        out.print(f"{mark} {item['question']}: {item['found']}", highlight=False)


def suspicious(column: Mapping[str, Any]) -> None:
    """Print of a column that it looks like the outcome, and what to do."""
    out.print(
        f"[red]![/red] {column['table']}.{escape(column['column'])} looks like the outcome: alone"
        f" it tells {column['positives']:,} expansions from the rest with an AUROC of"
        f" {column['auroc']:.2f}; {column['advice']}.",
        highlight=False,
    )


def _history(history: Mapping[str, Any]) -> None:
    if not history:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in history["expansions"].items())
    out.print(
        f"In {history['months']} months: expansions: {kinds or 'none'};"
        f" {history['unclear']:,} rises that cannot be told from a price change;"
        f" {history['ended']:,} contracts ended.",
        highlight=False,
    )
