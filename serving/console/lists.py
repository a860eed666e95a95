"""What a CSM reads in the terminal: the list, and one account in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serving.console.terminal import amount, out, share

__all__ = ["monday_list", "one_account", "scored", "talk_from"]

_NO_CHANCE = "not known"


def monday_list(
    rows: Sequence[Mapping[str, Any]],
    as_of: date | None,
    top: int,
    *,
    horizon_days: int,
    basis: str = "",
) -> None:
    """Print the list as a CSM reads it: a line per account, and why beneath it.

    ``basis`` says by what they are ranked; where that is no model that passed, it stands above.
    """
    stated = not rows or rows[0]["probability"] is not None
    title = f"Who will expand within {horizon_days} days" if stated else "Whom to look at first"
    out.print(f"\n[bold]{title}, as of {as_of}[/bold]\n")
    if basis and not _plain(basis):
        out.print(f"Ranked {basis}.\n", highlight=False, markup=False)
    head = (
        f"{'#':>3}  {'account':<24} {'chance':>6}  {'80 % interval':<13}  {'talk from':<16}  limit"
    )
    out.print(head, style="dim", highlight=False)
    for row in rows[:top]:
        name = (row["name"] or row["account_id"])[:24]
        interval = f"{row['low']:.0%} to {row['high']:.0%}" if stated else _NO_CHANCE
        line = (
            f"{row['rank']:>3}  {name:<24} {_chance(row):>6}  {interval:<13} "
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
    by = f"model version {row['model']}" if row["model"].isdigit() else row["model"]
    facts = {
        "rank": f"{row['rank']}, as of {row['as_of']}, by {by}",
        f"chance in {horizon_days} days": _NO_CHANCE,
        "talk from": talk_from(row),
    }
    if row["probability"] is not None:
        facts |= {
            f"chance in {horizon_days} days": (
                f"{row['probability']:.1%} ({row['low']:.1%} – {row['high']:.1%})"
            ),
            "band": _band(row["band"], bands),
            "chance in 180 days": f"{row['probability_180d']:.1%}",
            "if it expands": f"{row['expected_date']}, most likely between"
            f" {row['expected_early']} and {row['expected_late']}",
            "expected ARR": amount(row["expected_arr"]),
            "chance to leave": share(row["churn_probability"]),
        }
    facts |= {
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
    if row["margin"] is not None:
        _contributions(row)
    if len(past) > 1:
        steps = ", ".join(f"{p['as_of']}: {_chance(p)} (#{p['rank']})" for p in past[-6:])
        out.print(f"\nBefore: {steps}", highlight=False)


def _plain(basis: str) -> bool:
    """Whether it is the usual case, of which a CSM need not be told."""
    return basis.startswith("by model version") and "," not in basis


def _chance(row: Mapping[str, Any]) -> str:
    return "–" if row["probability"] is None else f"{row['probability']:.0%}"


def _band(band: str, bands: Sequence[Mapping[str, Any]]) -> str:
    """Say what became of accounts in the same band, where that was seen."""
    seen = next((each for each in bands if each["band"] == band), None)
    if seen is None:
        return f"{band}; none was seen in it before"
    return (
        f"{band}; of {seen['snapshots']:,} such in the past {seen['value']:.1%} expanded"
        f" ({share(seen['low'])} – {share(seen['high'])})"
    )


def _contributions(row: Mapping[str, Any]) -> None:
    parts = sorted(row["contributions"].items(), key=lambda part: -abs(part[1]))
    table = Table("signal", "log-odds", title="What moved the number", title_justify="left")
    table.add_row("starting point, horizon included", f"{row['base']:+.2f}")
    for name, value in parts[:8]:
        table.add_row(name.replace("_", " "), f"{value:+.2f}")
    table.add_row("all other signals", f"{sum(value for _, value in parts[8:]):+.2f}")
    table.add_row("[bold]sum, before calibration", f"[bold]{row['margin']:+.2f}")
    out.print(table)
