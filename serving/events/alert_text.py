"""A signal in words: what is used of what, and how that has come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from data.config.settings import MONTH_DAYS

__all__ = ["format_alert"]


def format_alert(alert: Mapping[str, Any]) -> str:
    """Say a signal without the account's name, as a sentence that a CSM reads.

    Parameters
    ----------
    alert : mapping
        ``limit``, ``used``, ``limit_value``, ``before`` (three months earlier, or None), ``level_at``.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 11, 20, tzinfo=UTC)
    >>> format_alert({"limit": "seats", "used": 9.0, "of": 10.0, "before": 6.0, "level_at": at})
    '9/10 seats in use (90 %), up from 6 in August'
    >>> format_alert({"limit": "usage", "used": 5e5, "of": 5e5, "before": None, "level_at": at})
    '500,000 of 500,000 units used in 30 days (100 %)'
    """
    used, limit_value = alert["used"], alert["of"]
    percentage = f"{used / limit_value:.0%}".replace("%", " %")
    if alert["limit"] == "seats":
        text = f"{used:,.0f}/{limit_value:,.0f} seats in use ({percentage})"
    else:
        text = f"{used:,.0f} of {limit_value:,.0f} units used in {MONTH_DAYS} days ({percentage})"
    return text + _format_change(used, alert["before"], alert["level_at"])


def _format_change(used: float, before: float | None, at: datetime) -> str:
    if before is None or round(before) == round(used):
        return ""
    direction = "up" if used > before else "down"
    return f", {direction} from {before:,.0f} in {at - timedelta(days=3 * MONTH_DAYS):%B}"
