"""Last communicated readiness dates: active lists, look-back and alerts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving import store
from serving.scoring import list_history
from serving.store import writers
from serving.store.event_schema import ALERTS
from serving.store.schema import SCORES

MONDAY = date(2026, 6, 1)
WEEK = timedelta(weeks=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield engine
    engine.dispose()


def write_list(engine: sa.Engine, as_of: date, **ready: date | None) -> None:
    """Write a list, account → readiness date; it replaces a list of the same day."""
    rows = [
        {"account_id": name, "as_of": as_of, "rank": rank, "readiness_date": day}
        for rank, (name, day) in enumerate(ready.items(), start=1)
    ]
    with store.write_transaction(engine) as connection:
        writers.insert_run(connection, as_of, model="m", record={}, finished_at=datetime.now(UTC))
        connection.execute(sa.delete(SCORES).where(SCORES.c.as_of == as_of))
        connection.execute(sa.insert(SCORES), rows)


def write_alert(engine: sa.Engine, account: str, committed_at: datetime, **row: Any) -> None:
    alert = {"limit": "seats", "number": committed_at.day, "severity": "urgent", "used": 9.0}
    alert["limit_value"] = 10.0
    at = dict.fromkeys(("opened_at", "severity_at", "committed_at"), committed_at)
    with store.write_transaction(engine) as connection:
        connection.execute(
            sa.insert(ALERTS), {"account_id": account, **alert, **at, "list_row": row}
        )


def dates(engine: sa.Engine, as_of: date) -> dict[str, date | None]:
    frame = list_history.load_last_communicated_dates(engine, as_of)
    assert frame is not None
    return dict(frame.select("account_id", "readiness_date").iter_rows())


def test_there_is_no_date_before_the_first_list(engine: sa.Engine) -> None:
    assert list_history.load_last_communicated_dates(engine, MONDAY) is None
    write_list(engine, MONDAY, acme=MONDAY)
    assert list_history.load_last_communicated_dates(engine, MONDAY) is None


def test_the_last_list_counts_and_accounts_missing_from_it_keep_their_date(
    engine: sa.Engine,
) -> None:
    first, second = MONDAY + 3 * WEEK, MONDAY + 4 * WEEK
    write_list(engine, MONDAY, acme=first, beta=first, core=first)
    write_list(engine, MONDAY + WEEK, acme=second, core=None)

    assert dates(engine, MONDAY + 2 * WEEK) == {"acme": second, "beta": first, "core": None}


def test_a_missing_account_is_dropped_after_the_lookback(engine: sa.Engine) -> None:
    write_list(engine, MONDAY, acme=MONDAY, beta=MONDAY)
    write_list(engine, MONDAY + 5 * WEEK, acme=MONDAY)

    assert dates(engine, MONDAY + 6 * WEEK) == {"acme": MONDAY}


def test_the_previous_list_counts_regardless_of_its_age(engine: sa.Engine) -> None:
    write_list(engine, MONDAY, acme=MONDAY)

    assert dates(engine, MONDAY + 20 * WEEK) == {"acme": MONDAY}


def test_a_list_that_was_never_active_is_ignored(engine: sa.Engine) -> None:
    late, early = MONDAY + 9 * WEEK, MONDAY + 2 * WEEK
    write_list(engine, MONDAY, acme=early)
    write_list(engine, MONDAY + 2 * WEEK, acme=early)
    write_list(engine, MONDAY + WEEK, acme=late)  # backfilled later
    write_list(engine, MONDAY, acme=late)  # rescored later

    assert dates(engine, MONDAY + 3 * WEEK) == {"acme": early}
    assert list_history.load_last_communicated_dates(engine, MONDAY + 2 * WEEK) is None


def test_an_alert_since_the_list_counts_for_its_account(engine: sa.Engine) -> None:
    write_list(engine, MONDAY, acme=MONDAY + 3 * WEEK, beta=MONDAY)
    for day, ready in ((2, 16), (4, 14)):
        at = datetime(2026, 6, 1 + day, 12, tzinfo=UTC)
        date_text = str(MONDAY + timedelta(days=ready))
        write_alert(engine, "acme", at, band="20% to 40%", tier=1, readiness_date=date_text)

    wednesday = list_history.load_last_communicated_dates(engine, MONDAY + timedelta(days=3))
    assert dates(engine, MONDAY + timedelta(days=2))["acme"] == MONDAY + 3 * WEEK
    assert dates(engine, MONDAY + WEEK) == {"acme": MONDAY + timedelta(days=14), "beta": MONDAY}
    assert wednesday is not None
    assert wednesday.filter(account_id="acme").row(0) == (
        "acme",
        MONDAY + timedelta(days=3),
        "20% to 40%",
        1,
        MONDAY + timedelta(days=16),
    )


@pytest.mark.parametrize("day", [3, 7])  # Wednesday, and the Sunday before the next list
def test_the_next_list_counts_after_an_alert(engine: sa.Engine, day: int) -> None:
    write_list(engine, MONDAY, acme=MONDAY)
    at = datetime(2026, 6, day, 12, tzinfo=UTC)
    write_alert(engine, "acme", at, band=None, tier=1, readiness_date=None)
    write_list(engine, MONDAY + WEEK, acme=MONDAY + 2 * WEEK)

    assert dates(engine, MONDAY + 2 * WEEK) == {"acme": MONDAY + 2 * WEEK}
