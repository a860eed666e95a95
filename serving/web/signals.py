"""Signals that events raised between two lists: those of an account, and who has a fresh one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import sqlalchemy as sa

from serving.events.tables import SIGNALS
from serving.events.words import sentence
from serving.state.database import reading
from serving.web.pages import utc

__all__ = ["fresh", "is_fresh", "of_account", "who"]

_FRESH: Final = timedelta(days=7)  # before the list: what rose in its week is news on it, too
_COLUMNS: Final = (
    *("account_id", "limit", "level", "opened_at", "level_at", "used", "of", "before"),
    *("closed_at", "ending"),
)


def who(as_of: date) -> sa.Select[Any]:
    """Ask for the accounts with a signal under way that rose in the list's week or since."""
    return sa.select(SIGNALS.c.account_id).where(*_rose(as_of))


def fresh(
    engine: sa.Engine, accounts: Sequence[str], as_of: date
) -> dict[str, list[dict[str, Any]]]:
    """Account → its fresh signals, the newest first; of those accounts that have one."""
    query = _signals().where(*_rose(as_of), SIGNALS.c.account_id.in_(accounts))
    found: dict[str, list[dict[str, Any]]] = {}
    with reading(engine) as connection:
        for row in connection.execute(query).mappings():
            found.setdefault(row["account_id"], []).append(_told(dict(row)))
    return found


def of_account(connection: sa.Connection, account_id: str) -> list[dict[str, Any]]:
    """Every signal of an account with its words in ``says``, the newest first."""
    query = _signals().where(SIGNALS.c.account_id == account_id)
    return [_told(dict(row)) for row in connection.execute(query).mappings()]


def is_fresh(signal: Mapping[str, Any], as_of: date) -> bool:
    """Whether a signal is under way and rose in the list's week or since."""
    return signal["closed_at"] is None and utc(signal["level_at"]).date() >= as_of - _FRESH


def _rose(as_of: date) -> tuple[sa.ColumnElement[bool], ...]:
    since = datetime.combine(as_of - _FRESH, time(), UTC)
    return SIGNALS.c.closed_at.is_(None), SIGNALS.c.level_at >= since


def _signals() -> sa.Select[Any]:
    newest = (SIGNALS.c.level_at.desc(), SIGNALS.c.limit, SIGNALS.c.number.desc())
    return sa.select(*(SIGNALS.c[name] for name in _COLUMNS)).order_by(*newest)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    # The page writes a share without a space.
    return {**row, "says": sentence(row).replace(" %", "%")}
