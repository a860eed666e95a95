"""Signals that events raised between two lists: those of an account, and who has a fresh one."""

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

_NEW_DAYS: Final = timedelta(days=7)  # before the list: what rose in its week is news on it, too
_ALERT_COLUMNS: Final = (
    *("account_id", "limit", "level", "opened_at", "level_at", "used", "of", "before"),
    *("closed_at", "ending"),
)


def select_accounts_with_alerts(as_of: date) -> sa.Select[Any]:
    """Ask for the accounts with a signal under way that rose in the list's week or since."""
    return sa.select(ALERTS.c.account_id).where(*_build_new_alert_filter(as_of))


def load_new_alerts(
    engine: sa.Engine, accounts: Sequence[str], as_of: date
) -> dict[str, list[dict[str, Any]]]:
    """Account → its fresh signals, the newest first; of those accounts that have one."""
    query = _select_alerts().where(
        *_build_new_alert_filter(as_of), ALERTS.c.account_id.in_(accounts)
    )
    alerts: dict[str, list[dict[str, Any]]] = {}
    with read_transaction(engine) as connection:
        for row in connection.execute(query).mappings():
            alerts.setdefault(row["account_id"], []).append(_with_text(dict(row)))
    return alerts


def load_account_alerts(connection: sa.Connection, account_id: str) -> list[dict[str, Any]]:
    """Every signal of an account with its words in ``says``, the newest first."""
    query = _select_alerts().where(ALERTS.c.account_id == account_id)
    return [_with_text(dict(row)) for row in connection.execute(query).mappings()]


def is_new_alert(alert: Mapping[str, Any], as_of: date) -> bool:
    """Whether a signal is under way and rose in the list's week or since."""
    return alert["closed_at"] is None and as_utc(alert["level_at"]).date() >= as_of - _NEW_DAYS


def _build_new_alert_filter(as_of: date) -> tuple[sa.ColumnElement[bool], ...]:
    since = datetime.combine(as_of - _NEW_DAYS, time(), UTC)
    return ALERTS.c.closed_at.is_(None), ALERTS.c.level_at >= since


def _select_alerts() -> sa.Select[Any]:
    newest = (ALERTS.c.level_at.desc(), ALERTS.c.limit, ALERTS.c.number.desc())
    return sa.select(*(ALERTS.c[name] for name in _ALERT_COLUMNS)).order_by(*newest)


def _with_text(row: dict[str, Any]) -> dict[str, Any]:
    # The page writes a share without a space.
    return {**row, "says": format_alert(row).replace(" %", "%")}
