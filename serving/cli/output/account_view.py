"""Terminal view of one account in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from serving.cli.output.ranked_list import format_probability, format_readiness_date
from serving.cli.output.terminal import format_amount, format_share, stdout

__all__ = ["print_account"]

_UNKNOWN = "unknown"
_MIN_SHOWN = 0.0005  # smaller values would be shown as 0.0%


def print_account(
    row: Mapping[str, Any],
    score_history: Sequence[Mapping[str, Any]],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    motion_text: str,
) -> None:
    """Print one account in full; ``motion_text`` explains its motion."""
    title = f"{row['name']} ({row['account_id']})" if row["name"] else row["account_id"]
    stdout.print(title, style="bold", markup=False, highlight=False)
    if row["rank"] is None:
        stdout.print(f"not on the list of {row['as_of']}: {row['note']}")
        return
    _print_facts(row, bands, horizon_days=horizon_days, motion_text=motion_text)
    _print_section("Reasons", row["signals"] or ["Nothing stands out"])
    _print_section("Counter-reasons", row["counter_reasons"] or [])
    _print_section("Changes", row["changes"] or [])
    _print_section("Notes", [row["note"]] if row["note"] else [])
    if row["margin"] is not None:
        stdout.print()
        _print_contributions(row)
    if len(score_history) > 1:
        previous = ", ".join(
            f"{score['as_of']}: {format_probability(score)} (#{score['rank']})"
            for score in score_history[-6:]
        )
        stdout.print(f"\nPrevious lists: {previous}", highlight=False)


def _print_facts(
    row: Mapping[str, Any],
    bands: Sequence[Mapping[str, Any]],
    *,
    horizon_days: int,
    motion_text: str,
) -> None:
    active, licensed = row["active_seats"], row["licensed_seats"]
    model = f"model version {row['model']}" if row["model"].isdigit() else row["model"]
    facts = {
        "rank": f"{row['rank']}, as of {row['as_of']}, by {model}",
        "portfolio": _format_portfolio(row),
        f"probability, {horizon_days} days": _UNKNOWN,
        "contact from": format_readiness_date(row),
    }
    if row["probability"] is not None:
        facts |= {
            f"probability, {horizon_days} days": (
                f"{row['probability']:.1%} ({row['low']:.1%} – {row['high']:.1%})"
            ),
            "band": _format_band(row, bands),
            "probability, 180 days": f"{row['probability_180d']:.1%}",
            "expected date": f"{row['expected_date']} (80 % interval"
            f" {row['expected_early']} to {row['expected_late']})",
            "expected ARR": format_amount(row["expected_arr"]),
            "churn probability": _format_churn(row["churn_probability"]),
        }
    facts |= {
        "seats": f"{active} active"
        + (f" of {licensed}" if licensed is not None else "; no licensed seats"),
        "limit": row["limit"],
        "tier": "none" if row["tier"] is None else row["tier"],
        "motion": f"{row['motion']}: {motion_text}",
    }
    if row["contact_role"]:
        facts["contact"] = row["contact_role"]
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name, str(value))
    stdout.print(table)


def _format_portfolio(row: Mapping[str, Any]) -> str:
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


def _format_churn(probability: float | None) -> str:
    """Format the churn probability; a tiny one is not shown as zero.

    >>> _format_churn(0.0001), _format_churn(0.031), _format_churn(None)
    ('under 0.1%', '3.1%', 'unknown')
    """
    if probability is not None and 0 < probability < _MIN_SHOWN:
        return "under 0.1%"
    return format_share(probability)


def _print_section(heading: str, sentences: Sequence[str]) -> None:
    if sentences:
        stdout.print(f"\n{heading}")
    for sentence in sentences:
        stdout.print(f"  • {sentence}", highlight=False, markup=False)


def _format_band(row: Mapping[str, Any], bands: Sequence[Mapping[str, Any]]) -> str:
    """Format the observed outcomes of the account's probability band."""
    match = next((band for band in bands if band["band"] == row["band"]), None)
    if match is None:
        return f"{row['band']}; no history"
    return (
        f"{row['band']}; {row['band_track_record'] or 'history'}: {match['value']:.1%} of"
        f" {match['snapshots']:,} ({format_share(match['low'])} – {format_share(match['high'])})"
    )


def _print_contributions(row: Mapping[str, Any]) -> None:
    parts = sorted(row["contributions"].items(), key=lambda part: -abs(part[1]))
    table = Table("signal", "log-odds", title="Contributions", title_justify="left")
    table.add_row("base value, horizon included", f"{row['base']:+.2f}")
    for name, value in parts[:8]:
        table.add_row(name.replace("_", " "), f"{value:+.2f}")
    table.add_row("all other signals", f"{sum(value for _, value in parts[8:]):+.2f}")
    table.add_row("[bold]total, before calibration", f"[bold]{row['margin']:+.2f}")
    stdout.print(table)
