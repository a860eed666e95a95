"""What a CSM reads in the terminal of one account, in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from serving.console.lists import chance, talk_from
from serving.console.terminal import amount, out, share

__all__ = ["one_account"]

_NO_CHANCE = "not known"
_LEAST = 0.0005  # what is less would read as none


def one_account(
    row: Mapping[str, Any],
    past: Sequence[Mapping[str, Any]],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    outreach: str,
) -> None:
    """Print one account in full; ``outreach`` says what its motion means."""
    title = f"{row['name']} ({row['account_id']})" if row["name"] else row["account_id"]
    out.print(title, style="bold", markup=False, highlight=False)
    if row["rank"] is None:
        out.print(f"not on the list of {row['as_of']}: {row['note']}")
        return
    _facts(row, bands, horizon_days=horizon_days, outreach=outreach)
    _told("Why", row["signals"] or ["Nothing stands out"])
    _told("What speaks against it", row["holds_back"] or [])
    _told("What is new", row["changed"] or [])
    _told("What to know", [row["note"]] if row["note"] else [])
    if row["margin"] is not None:
        out.print()
        _contributions(row)
    if len(past) > 1:
        steps = ", ".join(f"{p['as_of']}: {chance(p)} (#{p['rank']})" for p in past[-6:])
        out.print(f"\nBefore: {steps}", highlight=False)


def _facts(
    row: Mapping[str, Any],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    outreach: str,
) -> None:
    used, sold = row["active_seats"], row["licensed_seats"]
    by = f"model version {row['model']}" if row["model"].isdigit() else row["model"]
    facts = {
        "rank": f"{row['rank']}, as of {row['as_of']}, by {by}",
        "book": _book(row),
        f"chance in {horizon_days} days": _NO_CHANCE,
        "talk from": talk_from(row),
    }
    if row["probability"] is not None:
        facts |= {
            f"chance in {horizon_days} days": (
                f"{row['probability']:.1%} ({row['low']:.1%} – {row['high']:.1%})"
            ),
            "band": _band(row, bands),
            "chance in 180 days": f"{row['probability_180d']:.1%}",
            "if it expands": f"{row['expected_date']}, most likely between"
            f" {row['expected_early']} and {row['expected_late']}",
            "expected ARR": amount(row["expected_arr"]),
            "chance to leave": _leaving(row["churn_probability"]),
        }
    facts |= {
        "seats": f"{used} active" + (f" of {sold}" if sold is not None else "; none are sold"),
        "limit": row["limit"],
        "tier": "none" if row["tier"] is None else row["tier"],
        "motion": f"{row['motion']}: {outreach}",
    }
    if row["buyer"]:
        facts["talk to"] = row["buyer"]
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name, str(value))
    out.print(table)


def _book(row: Mapping[str, Any]) -> str:
    """Say whose it is, its place there, and whether this week's time reaches it."""
    whose = row["csm"] or "nobody"
    if row["book_rank"] is None:
        return whose
    if row["ask"] is False:
        week = "no ask is made now"
    else:
        week = "within this week's time" if row["this_week"] else "beyond this week's time"
    return f"{whose}, number {row['book_rank']} there; {week}"


def _leaving(chance: float | None) -> str:
    """Say a chance that is never quite none.

    >>> _leaving(0.0001), _leaving(0.031), _leaving(None)
    ('under 0.1%', '3.1%', 'unknown')
    """
    return "under 0.1%" if chance is not None and 0 < chance < _LEAST else share(chance)


def _told(head: str, sentences: Sequence[str]) -> None:
    if sentences:
        out.print(f"\n{head}")
    for sentence in sentences:
        out.print(f"  • {sentence}", highlight=False, markup=False)


def _band(row: Mapping[str, Any], bands: Sequence[Mapping[str, Any]]) -> str:
    """Say what became of accounts in the same band, where that was seen."""
    seen = next((each for each in bands if each["band"] == row["band"]), None)
    if seen is None:
        return f"{row['band']}; none was seen in it before"
    return (
        f"{row['band']}; {row['band_told'] or 'seen before'}: {seen['value']:.1%} of"
        f" {seen['snapshots']:,} ({share(seen['low'])} – {share(seen['high'])})"
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
