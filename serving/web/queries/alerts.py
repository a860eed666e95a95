"""Alerts raised between two lists: those of an account, and the new ones.

An alert is new if it is open and rose in the week before the list date, or since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import sqlalchemy as sa

from serving.events.alert_text import format_alert
from serving.store import as_utc, fetch_rows
from serving.store.event_schema import ALERTS

__all__ = ["is_new_alert", "load_account_alerts", "load_new_alerts", "select_accounts_with_alerts"]

_NEW_DAYS: Final = timedelta(days=7)  # before the list date
_ALERT_COLUMNS: Final = (
    *("account_id", "limit", "severity", "opened_at", "severity_at", "used", "limit_value"),
    *("used_90d_ago", "closed_at", "close_reason"),
)


def select_accounts_with_alerts(as_of: date) -> sa.Select[Any]:
    """Build a query of the accounts with a new alert."""
    return sa.select(ALERTS.c.account_id).where(_build_new_alert_filter(as_of))


def load_new_alerts(
    engine: sa.Engine, accounts: Sequence[str], as_of: date
) -> dict[str, list[dict[str, Any]]]:
    """Return account → its new alerts, newest first, for accounts that have any."""
    alerts: dict[str, list[dict[str, Any]]] = {}
    is_shown = _build_new_alert_filter(as_of) & ALERTS.c.account_id.in_(accounts)
    for alert in _load_alerts(engine, is_shown):
        alerts.setdefault(alert["account_id"], []).append(alert)
    return alerts


def load_account_alerts(source: sa.Engine | sa.Connection, account_id: str) -> list[dict[str, Any]]:
    """Return every alert of an account with its text in ``text``, newest first."""
    return _load_alerts(source, ALERTS.c.account_id == account_id)


def is_new_alert(alert: Mapping[str, Any], as_of: date) -> bool:
    """Return True if a loaded alert is new."""
    return alert["closed_at"] is None and as_utc(alert["severity_at"]).date() >= as_of - _NEW_DAYS


def _build_new_alert_filter(as_of: date) -> sa.ColumnElement[bool]:
    since = datetime.combine(as_of - _NEW_DAYS, time(), UTC)
    return ALERTS.c.closed_at.is_(None) & (ALERTS.c.severity_at >= since)


def _load_alerts(
    source: sa.Engine | sa.Connection, condition: sa.ColumnElement[bool]
) -> list[dict[str, Any]]:
    newest = (ALERTS.c.severity_at.desc(), ALERTS.c.limit, ALERTS.c.number.desc())
    query = sa.select(*(ALERTS.c[name] for name in _ALERT_COLUMNS)).where(condition)
    return [
        # Pages format percentages without a space.
        row | {"text": format_alert(row).replace(" %", "%")}
        for row in fetch_rows(source, query.order_by(*newest))
    ]
