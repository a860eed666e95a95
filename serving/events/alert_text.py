"""Text of an alert: usage against the limit, and its change over three months."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from data.config.settings import MONTH_DAYS

__all__ = ["format_alert"]


def format_alert(alert: Mapping[str, Any]) -> str:
    """Format an alert as a sentence for a CSM, without the account's name.

    It reads ``limit``, ``used``, ``limit_value``, ``used_90d_ago`` (or None) and ``severity_at``.

    Examples
    --------
    >>> from datetime import UTC
    >>> alert = {"limit": "seats", "used": 9.0, "limit_value": 10.0, "used_90d_ago": 6.0}
    >>> alert["severity_at"] = datetime(2026, 11, 20, tzinfo=UTC)
    >>> format_alert(alert)
    '9/10 seats in use (90 %), up from 6 in August'
    >>> alert |= {"limit": "usage", "used": 5e5, "limit_value": 5e5, "used_90d_ago": None}
    >>> format_alert(alert)
    '500,000 of 500,000 units used in 30 days (100 %)'
    """
    used, limit_value = alert["used"], alert["limit_value"]
    percentage = f"{used / limit_value:.0%}".replace("%", " %")
    if alert["limit"] == "seats":
        text = f"{used:,.0f}/{limit_value:,.0f} seats in use ({percentage})"
    else:
        text = f"{used:,.0f} of {limit_value:,.0f} units used in {MONTH_DAYS} days ({percentage})"
    return text + _format_change(used, alert["used_90d_ago"], alert["severity_at"])


def _format_change(used: float, before: float | None, at: datetime) -> str:
    if before is None or round(before) == round(used):
        return ""
    direction = "up" if used > before else "down"
    return f", {direction} from {before:,.0f} in {at - timedelta(days=3 * MONTH_DAYS):%B}"
