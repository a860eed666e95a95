"""Terminal view of the ranked list, and the summary of a scoring run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from rich.padding import Padding
from rich.text import Text

from serving.cli.output.terminal import stdout

__all__ = ["format_probability", "format_readiness_date", "print_ranked_list", "print_run_summary"]

_UNKNOWN: Final = "unknown"
_MARK: Final = "▸"
_INDENT: Final = " " * 6
_HEADER: Final = (
    f"{'#':>4}  {'account':<20} {'CSM':<8}{'prob.':>6}  {'80 % range':<11}  {'contact from':<16}"
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
    """Print the list: one line per account, with its reasons below.

    ``basis`` is the ranking criterion; it is printed unless a model that passed the gate ranks.
    ``capacity`` is the weekly capacity of a CSM; accounts within it are marked.
    """
    has_probability = not rows or rows[0]["probability"] is not None
    title = "Accounts to contact first"
    if has_probability:
        title = f"Accounts likely to expand within {horizon_days} days"
    stdout.print(f"\n[bold]{title}, as of {as_of}[/bold]\n")
    if basis and not _is_default_basis(basis):
        _print_line(f"Ranked {basis}.\n")
    if any(row["in_weekly_capacity"] for row in rows):
        _print_line(f"{_MARK} this week{': ' if capacity else ''}{capacity}\n")
    _print_band_history(rows[:top])
    stdout.print(_HEADER, style="dim", highlight=False)
    for row in rows[:top]:
        stdout.print(_format_row(row), style="bold", highlight=False, markup=False)
        for sentence in _iter_row_details(row):
            # Padding keeps the indent of wrapped lines.
            stdout.print(Padding(Text(sentence), (0, 0, 0, len(_INDENT)), expand=False))
    if len(rows) > top:
        stdout.print(f"{_INDENT}… and {len(rows) - top:,} more", style="dim", highlight=False)
    stdout.print()


def _print_band_history(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the track record of each probability band shown, highest first."""
    likeliest = sorted(rows, key=lambda row: row["probability"] or 0.0, reverse=True)
    text_by_band = {
        row["band"]: row["band_track_record"] for row in likeliest if row["band_track_record"]
    }
    for band, text in text_by_band.items():
        _print_line(f"{band}: {text}")
    if text_by_band:
        stdout.print()


def _format_row(row: Mapping[str, Any]) -> str:
    name, csm = (row["name"] or row["account_id"])[:20], (row["csm"] or "no CSM")[:8]
    interval = _UNKNOWN
    if row["probability"] is not None:
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
    return (
        f"{_MARK if row['in_weekly_capacity'] else ' '}{row['rank']:>3}  {name:<20} {csm:<8}"
        f"{format_probability(row):>6}  {interval:<11}  {format_readiness_date(row):<16}"
        f"  {row['limit']}"
    )


def _iter_row_details(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield action, reasons, counter-reasons and changes, one sentence each."""
    counter_reasons = list(row["counter_reasons"] or [])
    if row["outreach_allowed"] is False:
        yield f"Outreach suppressed: {counter_reasons.pop(0)}"
    elif row["motion"] != "watch" and row["contact_role"]:
        tier = f"Tier {row['tier']}: " if row["tier"] else ""
        action = f"{tier}{row['motion']}, with the {row['contact_role']}"
        yield action[0].upper() + action[1:]
    yield from row["signals"] or ["Nothing stands out"]
    if counter_reasons:
        yield f"But: {counter_reasons[0]}"
    if row["changes"]:
        yield f"Changes: {'. '.join(row['changes'])}"
    if row["note"]:
        yield f"Note: {row['note']}"


def print_run_summary(record: Mapping[str, Any], *, dry_run: bool, location: str) -> None:
    """Print the counts of a run, and where its result was written."""
    excluded = ", ".join(f"{count:,} {reason}" for reason, count in record["excluded"].items())
    stdout.print(
        f"{record['listed']:,} accounts ranked {record['basis']}; not on the list:"
        f" {excluded or 'none'}.",
        highlight=False,
        markup=False,
    )
    stdout.print(record["verdict"], highlight=False, markup=False)
    if record["lookahead"]:
        stdout.print(
            "Look-ahead: the model was trained after this as-of date, so this list is optimistic.",
            highlight=False,
        )
    if record["log"]["missing_days"]:
        days = record["log"]["missing_days"]
        stdout.print(
            f"The log lacks the last {days} day(s) before the as-of date.", highlight=False
        )
    if record["activity_error"]:
        stdout.print(f"{record['activity_error']}.", highlight=False, markup=False)
    if dry_run:
        stdout.print("Dry run: nothing was written to the CRM.", highlight=False)
        return
    written = record["written"]
    stdout.print(
        f"Written to {location}: {written['listed']:,} accounts, {written['unlisted']:,} more with"
        f" an exclusion reason, {written['superseded']:,} skipped (a newer list exists).",
        highlight=False,
        markup=False,
    )


def format_probability(row: Mapping[str, Any]) -> str:
    """Format the probability as a whole percentage, or a dash."""
    return "–" if row["probability"] is None else f"{row['probability']:.0%}"


def format_readiness_date(row: Mapping[str, Any]) -> str:
    """Format the readiness date: a day, now, or none."""
    day = row["readiness_date"]
    if day is None:
        return "no specific date"
    year = f" {day.year}" if day.year != row["as_of"].year else ""
    return "now" if day <= row["as_of"] else f"{day.day} {day:%B}{year}"


def _is_default_basis(basis: str) -> bool:
    """Return whether a model that passed the gate ranks, which needs no mention."""
    return basis.startswith("by model version") and "," not in basis


def _print_line(text: str) -> None:
    stdout.print(text, highlight=False, markup=False)
