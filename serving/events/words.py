"""A signal in words: what is used of what, and how that has come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from data.settings import MONTH_DAYS

__all__ = ["sentence"]


def sentence(signal: Mapping[str, Any]) -> str:
    """Say a signal without the account's name, as a sentence that a CSM reads.

    Parameters
    ----------
    signal : mapping
        ``limit``, ``used``, ``of``, ``before`` (three months earlier, or None), ``level_at``.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 11, 20, tzinfo=UTC)
    >>> sentence({"limit": "seats", "used": 9.0, "of": 10.0, "before": 6.0, "level_at": at})
    '9/10 seats in use (90 %), up from 6 in August'
    >>> sentence({"limit": "usage", "used": 5e5, "of": 5e5, "before": None, "level_at": at})
    '500,000 of 500,000 units used in 30 days (100 %)'
    """
    used, of = signal["used"], signal["of"]
    share = f"{used / of:.0%}".replace("%", " %")
    if signal["limit"] == "seats":
        told = f"{used:,.0f}/{of:,.0f} seats in use ({share})"
    else:
        told = f"{used:,.0f} of {of:,.0f} units used in {MONTH_DAYS} days ({share})"
    return told + _since(used, signal["before"], signal["level_at"])


def _since(used: float, before: float | None, at: datetime) -> str:
    if before is None or round(before) == round(used):
        return ""
    way = "up" if used > before else "down"
    return f", {way} from {before:,.0f} in {at - timedelta(days=3 * MONTH_DAYS):%B}"
