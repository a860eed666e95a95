"""What a CSM reads in the terminal: the list, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from rich.padding import Padding
from rich.text import Text

from serving.cli.output.terminal import stdout

__all__ = ["format_probability", "format_readiness_date", "print_ranked_list", "print_run_summary"]

_UNKNOWN: Final = "not known"
_MARK: Final = "▸"
_INDENT: Final = " " * 6
_HEADER: Final = (
    f"{'#':>4}  {'account':<20} {'CSM':<8}{'chance':>6}  {'80 % range':<11}  {'talk from':<16}"
    "  limit"
)


def print_ranked_list(
    rows: Sequence[Mapping[str, Any]],
    as_of: date | None,
    top: int,
    *,
    horizon_days: int,
    basis: str = "",
    capacity: str = "",
) -> None:
    """Print the list as a CSM reads it: a line per account, and why beneath it.

    ``basis`` says by what they are ranked; where that is no model that passed, it stands above.
    ``capacity`` says how many accounts a CSM can work in a week; those within it are marked.
    """
    has_probability = not rows or rows[0]["probability"] is not None
    title = (
        f"Who will expand within {horizon_days} days"
        if has_probability
        else "Whom to look at first"
    )
    stdout.print(f"\n[bold]{title}, as of {as_of}[/bold]\n")
    if basis and not _is_default_basis(basis):
        _print_line(f"Ranked {basis}.\n")
    if any(row["this_week"] for row in rows):
        _print_line(f"{_MARK} this week's{': ' if capacity else ''}{capacity}\n")
    _print_band_history(rows[:top])
    stdout.print(_HEADER, style="dim", highlight=False)
    for row in rows[:top]:
        stdout.print(_format_row(row), style="bold", highlight=False, markup=False)
        for sentence in _iter_row_details(row):
            # Padding keeps the indent where a narrow terminal breaks the line.
            stdout.print(Padding(Text(sentence), (0, 0, 0, len(_INDENT)), expand=False))
    if len(rows) > top:
        stdout.print(f"{_INDENT}… and {len(rows) - top:,} more", style="dim", highlight=False)
    stdout.print()


def _print_band_history(rows: Sequence[Mapping[str, Any]]) -> None:
    """Say once of each band that is on the page what became of accounts in it, highest first."""
    likeliest = sorted(rows, key=lambda row: row["probability"] or 0.0, reverse=True)
    text_by_band = {row["band"]: row["band_told"] for row in likeliest if row["band_told"]}
    for band, told in text_by_band.items():
        _print_line(f"{band}: {told}")
    if text_by_band:
        stdout.print()


def _format_row(row: Mapping[str, Any]) -> str:
    name, csm = (row["name"] or row["account_id"])[:20], (row["csm"] or "nobody")[:8]
    interval = _UNKNOWN
    if row["probability"] is not None:
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
    return (
        f"{_MARK if row['this_week'] else ' '}{row['rank']:>3}  {name:<20} {csm:<8}"
        f"{format_probability(row):>6}  {interval:<11}  {format_readiness_date(row):<16}  {row['limit']}"
    )


def _iter_row_details(row: Mapping[str, Any]) -> Iterator[str]:
    """What to do, why, what speaks against it, what is new: a sentence each."""
    against = list(row["holds_back"] or [])
    if row["ask"] is False:
        yield f"No ask. {against.pop(0)}"
    elif row["motion"] != "watch" and row["buyer"]:
        tier = f"Tier {row['tier']}: " if row["tier"] else ""
        action = f"{tier}{row['motion']}, with the {row['buyer']}"
        yield action[0].upper() + action[1:]
    yield from row["signals"] or ["Nothing stands out"]
    if against:
        yield f"But: {against[0]}"
    if row["changed"]:
        yield f"News: {'. '.join(row['changed'])}"
    if row["note"]:
        yield f"Note: {row['note']}"


def print_run_summary(record: Mapping[str, Any], *, dry_run: bool, location: str) -> None:
    """Print the counts of a run, and where its result went."""
    excluded = ", ".join(f"{count:,} {reason}" for reason, count in record["excluded"].items())
    stdout.print(
        f"{record['listed']:,} accounts ranked {record['basis']}; not on the list:"
        f" {excluded or 'none'}.",
        highlight=False,
        markup=False,
    )
    stdout.print(record["verdict"], highlight=False, markup=False)
    if record["hindsight"]:
        stdout.print(
            "In hindsight: the model was trained later than this as-of, so this list flatters it.",
            highlight=False,
        )
    if record["log"]["days_missing"]:
        days = record["log"]["days_missing"]
        stdout.print(
            f"The last {days} day(s) before the as-of are not in the log.", highlight=False
        )
    if record["unasked"]:
        stdout.print(f"{record['unasked']}.", highlight=False, markup=False)
    if dry_run:
        stdout.print("Dry run: the CRM is untouched.", highlight=False)
        return
    written = record["written"]
    stdout.print(
        f"Written to {location}: {written['listed']:,} accounts, {written['unlisted']:,} more with"
        f" the reason why not, {written['newer']:,} left alone that carry a newer as-of.",
        highlight=False,
        markup=False,
    )


def format_probability(row: Mapping[str, Any]) -> str:
    """Say the probability in whole per cent, where there is one."""
    return "–" if row["probability"] is None else f"{row['probability']:.0%}"


def format_readiness_date(row: Mapping[str, Any]) -> str:
    """Say the readiness date as a CSM would: a day, now, or none."""
    day = row["readiness_date"]
    if day is None:
        return "no specific date"
    year = f" {day.year}" if day.year != row["as_of"].year else ""
    return "now" if day <= row["as_of"] else f"{day.day} {day:%B}{year}"


def _is_default_basis(basis: str) -> bool:
    """Whether it is the usual case, of which a CSM need not be told."""
    return basis.startswith("by model version") and "," not in basis


def _print_line(text: str) -> None:
    stdout.print(text, highlight=False, markup=False)
