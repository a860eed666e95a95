"""Terminal view of the ranked list, of one account in full, and of a scoring run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serving.cli.output.terminal import format_share, print_line, stdout

__all__ = ["print_account", "print_ranked_list", "print_run_summary"]

Row = Mapping[str, Any]
_UNKNOWN: Final = "unknown"
_MARK: Final = "▸"
_INDENT: Final = " " * 6
_HEADER: Final = (
    f"{'#':>4}  {'account':<20} {'CSM':<8}{'prob.':>6}  {'80 % range':<11}  {'contact from':<16}"
    "  limit"
)
_MIN_SHOWN: Final = 0.0005  # smaller values would be shown as 0.0%
_MAX_CONTRIBUTIONS: Final = 8


def print_ranked_list(
    rows: Sequence[Row],
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
    if basis and not (basis.startswith("by model version") and "," not in basis):
        print_line(f"Ranked {basis}.\n")
    if any(row["in_weekly_capacity"] for row in rows):
        print_line(f"{_MARK} this week{': ' if capacity else ''}{capacity}\n")
    _print_band_history(rows[:top])
    stdout.print(_HEADER, style="dim", highlight=False)
    for row in rows[:top]:
        print_line(_format_row(row), "bold")
        for sentence in _iter_row_details(row):
            # Padding keeps the indent of wrapped lines.
            stdout.print(Padding(Text(sentence), (0, 0, 0, len(_INDENT)), expand=False))
    if len(rows) > top:
        print_line(f"{_INDENT}… and {len(rows) - top:,} more", "dim")
    stdout.print()


def print_run_summary(record: Mapping[str, Any], *, dry_run: bool, location: str) -> None:
    """Print the counts of a run, and where its result was written."""
    excluded = ", ".join(f"{count:,} {reason}" for reason, count in record["excluded"].items())
    print_line(
        f"{record['listed']:,} accounts ranked {record['basis']}; not on the list:"
        f" {excluded or 'none'}."
    )
    print_line(record["verdict"])
    if record["lookahead"]:
        print_line(
            "Look-ahead: the model was trained after this as-of date, so this list is optimistic."
        )
    if days := record["log"]["missing_days"]:
        print_line(f"The log lacks the last {days} day(s) before the as-of date.")
    if record["activity_error"]:
        print_line(f"{record['activity_error']}.")
    if dry_run:
        print_line("Dry run: nothing was written to the CRM.")
        return
    written = record["written"]
    print_line(
        f"Written to {location}: {written['listed']:,} accounts, {written['unlisted']:,} more with"
        f" an exclusion reason, {written['superseded']:,} skipped (a newer list exists)."
    )


def print_account(
    row: Row, score_history: Sequence[Row], bands: Sequence[Row], *, horizon_days: int, motion: str
) -> None:
    """Print one account in full; ``motion`` explains its motion."""
    title = f"{row['name']} ({row['account_id']})" if row["name"] else row["account_id"]
    print_line(title, "bold")
    if row["rank"] is None:
        print_line(f"not on the list of {row['as_of']}: {row['note']}")
        return
    table = Table(show_header=False, box=None)
    for name, value in _collect_facts(row, bands, horizon_days, motion).items():
        table.add_row(name, str(value))
    stdout.print(table)
    for heading, sentences in {
        "Reasons": row["signals"] or ["Nothing stands out"],
        "Counter-reasons": row["counter_reasons"],
        "Changes": row["changes"],
        "Notes": row["note"] and [row["note"]],
    }.items():
        if sentences:
            print_line("\n".join([f"\n{heading}", *(f"  • {sentence}" for sentence in sentences)]))
    if row["margin"] is not None:
        stdout.print()
        _print_contributions(row)
    if len(score_history) > 1:
        previous = ", ".join(
            f"{score['as_of']}: {_format_probability(score)} (#{score['rank']})"
            for score in score_history[-6:]
        )
        print_line(f"\nPrevious lists: {previous}")


def _print_band_history(rows: Sequence[Row]) -> None:
    """Print the track record of each probability band shown, highest first."""
    likeliest = sorted(rows, key=lambda row: row["probability"] or 0.0, reverse=True)
    text_by_band = {
        row["band"]: row["band_track_record"] for row in likeliest if row["band_track_record"]
    }
    for band, text in text_by_band.items():
        print_line(f"{band}: {text}")
    if text_by_band:
        stdout.print()


def _format_row(row: Row) -> str:
    name, csm = (row["name"] or row["account_id"])[:20], (row["csm"] or "no CSM")[:8]
    interval = _UNKNOWN
    if row["probability"] is not None:
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
    return (
        f"{_MARK if row['in_weekly_capacity'] else ' '}{row['rank']:>3}  {name:<20} {csm:<8}"
        f"{_format_probability(row):>6}  {interval:<11}  {_format_readiness_date(row):<16}"
        f"  {row['limit']}"
    )


def _iter_row_details(row: Row) -> Iterator[str]:
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


def _collect_facts(
    row: Row, bands: Sequence[Row], horizon_days: int, motion: str
) -> dict[str, object]:
    active, licensed = row["active_seats"], row["licensed_seats"]
    model = f"model version {row['model']}" if row["model"].isdigit() else row["model"]
    probability, arr = f"probability, {horizon_days} days", row["expected_arr"]
    facts: dict[str, object] = {
        "rank": f"{row['rank']}, as of {row['as_of']}, by {model}",
        "portfolio": _format_portfolio(row),
        probability: _UNKNOWN,
        "contact from": _format_readiness_date(row),
    }
    if row["probability"] is not None:
        facts |= {
            probability: f"{row['probability']:.1%} ({row['low']:.1%} – {row['high']:.1%})",
            "band": _format_band(row, bands),
            "probability, 180 days": f"{row['probability_180d']:.1%}",
            "expected date": f"{row['expected_date']} (80 % interval"
            f" {row['expected_early']} to {row['expected_late']})",
            "expected ARR": "unknown: no revenue on file" if arr is None else f"{arr:,.0f} a year",
            "churn probability": _format_churn(row["churn_probability"]),
        }
    facts |= {
        "seats": f"{active} active"
        + (f" of {licensed}" if licensed is not None else "; no licensed seats"),
        "limit": row["limit"],
        "tier": "none" if row["tier"] is None else row["tier"],
        "motion": f"{row['motion']}: {motion}",
    }
    return facts | ({"contact": row["contact_role"]} if row["contact_role"] else {})


def _format_portfolio(row: Row) -> str:
    """Format the CSM, the rank in the portfolio, and whether the account is within capacity."""
    csm = row["csm"] or "no CSM"
    if row["portfolio_rank"] is None:
        return csm
    if row["outreach_allowed"] is False:
        status = "outreach suppressed"
    elif row["in_weekly_capacity"]:
        status = "within this week's capacity"
    else:
        status = "beyond this week's capacity"
    return f"{csm}, rank {row['portfolio_rank']}; {status}"


def _format_band(row: Row, bands: Sequence[Row]) -> str:
    """Format the observed outcomes of the account's probability band."""
    match = next((band for band in bands if band["band"] == row["band"]), None)
    if match is None:
        return f"{row['band']}; no history"
    return (
        f"{row['band']}; {row['band_track_record'] or 'history'}: {match['value']:.1%} of"
        f" {match['snapshots']:,} ({format_share(match['low'])} – {format_share(match['high'])})"
    )


def _format_churn(probability: float | None) -> str:
    """Format the churn probability; a tiny one is not shown as zero.

    >>> _format_churn(0.0001), _format_churn(0.031), _format_churn(None)
    ('under 0.1%', '3.1%', 'unknown')
    """
    if probability is not None and 0 < probability < _MIN_SHOWN:
        return "under 0.1%"
    return format_share(probability)


def _print_contributions(row: Row) -> None:
    parts = sorted(row["contributions"].items(), key=lambda part: -abs(part[1]))
    table = Table("signal", "log-odds", title="Contributions", title_justify="left")
    table.add_row("base value, horizon included", f"{row['base']:+.2f}")
    for name, value in parts[:_MAX_CONTRIBUTIONS]:
        table.add_row(name.replace("_", " "), f"{value:+.2f}")
    rest = sum(value for _, value in parts[_MAX_CONTRIBUTIONS:])
    table.add_row("all other signals", f"{rest:+.2f}")
    table.add_row("[bold]total, before calibration", f"[bold]{row['margin']:+.2f}")
    stdout.print(table)


def _format_probability(row: Row) -> str:
    return "–" if row["probability"] is None else f"{row['probability']:.0%}"


def _format_readiness_date(row: Row) -> str:
    """Format the readiness date: a day, now, or none."""
    day = row["readiness_date"]
    if day is None:
        return "no specific date"
    year = f" {day.year}" if day.year != row["as_of"].year else ""
    return "now" if day <= row["as_of"] else f"{day.day} {day:%B}{year}"
