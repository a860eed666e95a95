"""What a CSM reads in the terminal: the list, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from rich.padding import Padding
from rich.text import Text

from serving.console.terminal import out

__all__ = ["chance", "monday_list", "scored", "talk_from"]

_NO_CHANCE: Final = "not known"
_MARK: Final = "▸"
_INDENT: Final = " " * 6
_HEAD: Final = (
    f"{'#':>4}  {'account':<20} {'CSM':<8}{'chance':>6}  {'80 % range':<11}  {'talk from':<16}"
    "  limit"
)


def monday_list(
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
    stated = not rows or rows[0]["probability"] is not None
    title = f"Who will expand within {horizon_days} days" if stated else "Whom to look at first"
    out.print(f"\n[bold]{title}, as of {as_of}[/bold]\n")
    if basis and not _plain(basis):
        _say(f"Ranked {basis}.\n")
    if any(row["this_week"] for row in rows):
        _say(f"{_MARK} this week's{': ' if capacity else ''}{capacity}\n")
    _bands(rows[:top])
    out.print(_HEAD, style="dim", highlight=False)
    for row in rows[:top]:
        out.print(_line(row), style="bold", highlight=False, markup=False)
        for sentence in _beneath(row):
            # Padding keeps the indent where a narrow terminal breaks the line.
            out.print(Padding(Text(sentence), (0, 0, 0, len(_INDENT)), expand=False))
    if len(rows) > top:
        out.print(f"{_INDENT}… and {len(rows) - top:,} more", style="dim", highlight=False)
    out.print()


def _bands(rows: Sequence[Mapping[str, Any]]) -> None:
    """Say once of each band that is on the page what became of accounts in it, highest first."""
    likeliest = sorted(rows, key=lambda row: row["probability"] or 0.0, reverse=True)
    known = {row["band"]: row["band_told"] for row in likeliest if row["band_told"]}
    for band, told in known.items():
        _say(f"{band}: {told}")
    if known:
        out.print()


def _line(row: Mapping[str, Any]) -> str:
    name, csm = (row["name"] or row["account_id"])[:20], (row["csm"] or "nobody")[:8]
    interval = _NO_CHANCE
    if row["probability"] is not None:
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
    return (
        f"{_MARK if row['this_week'] else ' '}{row['rank']:>3}  {name:<20} {csm:<8}"
        f"{chance(row):>6}  {interval:<11}  {talk_from(row):<16}  {row['limit']}"
    )


def _beneath(row: Mapping[str, Any]) -> Iterator[str]:
    """What to do, why, what speaks against it, what is new: a sentence each."""
    against = list(row["holds_back"] or [])
    if row["ask"] is False:
        yield f"No ask. {against.pop(0)}"
    elif row["motion"] != "watch" and row["buyer"]:
        tier = f"Tier {row['tier']}: " if row["tier"] else ""
        told = f"{tier}{row['motion']}, with the {row['buyer']}"
        yield told[0].upper() + told[1:]
    yield from row["signals"] or ["Nothing stands out"]
    if against:
        yield f"But: {against[0]}"
    if row["changed"]:
        yield f"News: {'. '.join(row['changed'])}"
    if row["note"]:
        yield f"Note: {row['note']}"


def scored(record: Mapping[str, Any], *, dry_run: bool, where: str) -> None:
    """Print the counts of a run, and where its result went."""
    excluded = ", ".join(f"{count:,} {reason}" for reason, count in record["excluded"].items())
    out.print(
        f"{record['listed']:,} accounts ranked {record['basis']}; not on the list:"
        f" {excluded or 'none'}.",
        highlight=False,
        markup=False,
    )
    out.print(record["verdict"], highlight=False, markup=False)
    if record["hindsight"]:
        out.print(
            "In hindsight: the model was trained later than this as-of, so this list flatters it.",
            highlight=False,
        )
    if record["log"]["days_missing"]:
        days = record["log"]["days_missing"]
        out.print(f"The last {days} day(s) before the as-of are not in the log.", highlight=False)
    if record["unasked"]:
        out.print(f"{record['unasked']}.", highlight=False, markup=False)
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


def chance(row: Mapping[str, Any]) -> str:
    """Say the probability in whole per cent, where there is one."""
    return "–" if row["probability"] is None else f"{row['probability']:.0%}"


def talk_from(row: Mapping[str, Any]) -> str:
    """Say the readiness date as a CSM would: a day, now, or none."""
    day = row["readiness_date"]
    if day is None:
        return "no specific date"
    year = f" {day.year}" if day.year != row["as_of"].year else ""
    return "now" if day <= row["as_of"] else f"{day.day} {day:%B}{year}"


def _plain(basis: str) -> bool:
    """Whether it is the usual case, of which a CSM need not be told."""
    return basis.startswith("by model version") and "," not in basis


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False)
