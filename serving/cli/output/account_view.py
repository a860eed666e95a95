"""What a CSM reads in the terminal of one account, in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from serving.cli.output.ranked_list import format_probability, format_readiness_date
from serving.cli.output.terminal import format_amount, format_share, stdout

__all__ = ["print_account"]

_UNKNOWN = "not known"
_MIN_SHOWN = 0.0005  # what is less would read as none


def print_account(
    row: Mapping[str, Any],
    score_history: Sequence[Mapping[str, Any]],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    motion_text: str,
) -> None:
    """Print one account in full; ``motion_text`` says what its motion means."""
    title = f"{row['name']} ({row['account_id']})" if row["name"] else row["account_id"]
    stdout.print(title, style="bold", markup=False, highlight=False)
    if row["rank"] is None:
        stdout.print(f"not on the list of {row['as_of']}: {row['note']}")
        return
    _print_facts(row, bands, horizon_days=horizon_days, motion_text=motion_text)
    _print_section("Why", row["signals"] or ["Nothing stands out"])
    _print_section("What speaks against it", row["holds_back"] or [])
    _print_section("What is new", row["changed"] or [])
    _print_section("What to know", [row["note"]] if row["note"] else [])
    if row["margin"] is not None:
        stdout.print()
        _print_contributions(row)
    if len(score_history) > 1:
        steps = ", ".join(
            f"{p['as_of']}: {format_probability(p)} (#{p['rank']})" for p in score_history[-6:]
        )
        stdout.print(f"\nBefore: {steps}", highlight=False)


def _print_facts(
    row: Mapping[str, Any],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    motion_text: str,
) -> None:
    used, sold = row["active_seats"], row["licensed_seats"]
    by = f"model version {row['model']}" if row["model"].isdigit() else row["model"]
    facts = {
        "rank": f"{row['rank']}, as of {row['as_of']}, by {by}",
        "book": _format_portfolio(row),
        f"chance in {horizon_days} days": _UNKNOWN,
        "talk from": format_readiness_date(row),
    }
    if row["probability"] is not None:
        facts |= {
            f"chance in {horizon_days} days": (
                f"{row['probability']:.1%} ({row['low']:.1%} – {row['high']:.1%})"
            ),
            "band": _format_band(row, bands),
            "chance in 180 days": f"{row['probability_180d']:.1%}",
            "if it expands": f"{row['expected_date']}, most likely between"
            f" {row['expected_early']} and {row['expected_late']}",
            "expected ARR": format_amount(row["expected_arr"]),
            "chance to leave": _format_churn(row["churn_probability"]),
        }
    facts |= {
        "seats": f"{used} active" + (f" of {sold}" if sold is not None else "; none are sold"),
        "limit": row["limit"],
        "tier": "none" if row["tier"] is None else row["tier"],
        "motion": f"{row['motion']}: {motion_text}",
    }
    if row["buyer"]:
        facts["talk to"] = row["buyer"]
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name, str(value))
    stdout.print(table)


def _format_portfolio(row: Mapping[str, Any]) -> str:
    """Say whose it is, its place there, and whether this week's time reaches it."""
    whose = row["csm"] or "nobody"
    if row["book_rank"] is None:
        return whose
    if row["ask"] is False:
        week = "no ask is made now"
    else:
        week = "within this week's time" if row["this_week"] else "beyond this week's time"
    return f"{whose}, number {row['book_rank']} there; {week}"


def _format_churn(probability: float | None) -> str:
    """Say a chance that is never quite none.

    >>> _format_churn(0.0001), _format_churn(0.031), _format_churn(None)
    ('under 0.1%', '3.1%', 'unknown')
    """
    return (
        "under 0.1%"
        if probability is not None and 0 < probability < _MIN_SHOWN
        else format_share(probability)
    )


def _print_section(heading: str, sentences: Sequence[str]) -> None:
    if sentences:
        stdout.print(f"\n{heading}")
    for sentence in sentences:
        stdout.print(f"  • {sentence}", highlight=False, markup=False)


def _format_band(row: Mapping[str, Any], bands: Sequence[Mapping[str, Any]]) -> str:
    """Say what became of accounts in the same band, where that was seen."""
    match = next((each for each in bands if each["band"] == row["band"]), None)
    if match is None:
        return f"{row['band']}; none was seen in it before"
    return (
        f"{row['band']}; {row['band_told'] or 'seen before'}: {match['value']:.1%} of"
        f" {match['snapshots']:,} ({format_share(match['low'])} – {format_share(match['high'])})"
    )


def _print_contributions(row: Mapping[str, Any]) -> None:
    parts = sorted(row["contributions"].items(), key=lambda part: -abs(part[1]))
    table = Table("signal", "log-odds", title="What moved the number", title_justify="left")
    table.add_row("starting point, horizon included", f"{row['base']:+.2f}")
    for name, value in parts[:8]:
        table.add_row(name.replace("_", " "), f"{value:+.2f}")
    table.add_row("all other signals", f"{sum(value for _, value in parts[8:]):+.2f}")
    table.add_row("[bold]sum, before calibration", f"[bold]{row['margin']:+.2f}")
    stdout.print(table)
