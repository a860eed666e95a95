"""Alerts raised between two lists: those of an account, and the new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import sqlalchemy as sa

from serving.events.alert_text import format_alert
from serving.store.engine import read_transaction
from serving.store.event_schema import ALERTS
from serving.web.templating import as_utc

__all__ = ["is_new_alert", "load_account_alerts", "load_new_alerts", "select_accounts_with_alerts"]

_NEW_DAYS: Final = timedelta(days=7)  # before the list date
_ALERT_COLUMNS: Final = (
    *("account_id", "limit", "severity", "opened_at", "severity_at", "used", "limit_value"),
    *("used_90d_ago", "closed_at", "close_reason"),
)


def select_accounts_with_alerts(as_of: date) -> sa.Select[Any]:
    """Build a query of accounts with an open alert raised in the week before the list, or since."""
    return sa.select(ALERTS.c.account_id).where(*_build_new_alert_filter(as_of))


def load_new_alerts(
    engine: sa.Engine, accounts: Sequence[str], as_of: date
) -> dict[str, list[dict[str, Any]]]:
    """Return account → its new alerts, newest first, for accounts that have any."""
    query = _select_alerts().where(
        *_build_new_alert_filter(as_of), ALERTS.c.account_id.in_(accounts)
    )
    alerts: dict[str, list[dict[str, Any]]] = {}
    with read_transaction(engine) as connection:
        for row in connection.execute(query).mappings():
            alerts.setdefault(row["account_id"], []).append(_with_text(dict(row)))
    return alerts


def load_account_alerts(connection: sa.Connection, account_id: str) -> list[dict[str, Any]]:
    """Return every alert of an account with its text in ``text``, newest first."""
    query = _select_alerts().where(ALERTS.c.account_id == account_id)
    return [_with_text(dict(row)) for row in connection.execute(query).mappings()]


def is_new_alert(alert: Mapping[str, Any], as_of: date) -> bool:
    """Return True if an alert is open and rose in the week before the list, or since."""
    return alert["closed_at"] is None and as_utc(alert["severity_at"]).date() >= as_of - _NEW_DAYS


def _build_new_alert_filter(as_of: date) -> tuple[sa.ColumnElement[bool], ...]:
    since = datetime.combine(as_of - _NEW_DAYS, time(), UTC)
    return ALERTS.c.closed_at.is_(None), ALERTS.c.severity_at >= since


def _select_alerts() -> sa.Select[Any]:
    newest = (ALERTS.c.severity_at.desc(), ALERTS.c.limit, ALERTS.c.number.desc())
    return sa.select(*(ALERTS.c[name] for name in _ALERT_COLUMNS)).order_by(*newest)


def _with_text(row: dict[str, Any]) -> dict[str, Any]:
    # Pages format percentages without a space.
    return {**row, "text": format_alert(row).replace(" %", "%")}
