"""What was last said of when to talk: which lists count, who is remembered, what a signal says."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving import store
from serving.scoring import previous_dates
from serving.store import writers
from serving.store.event_schema import ALERTS
from serving.store.schema import SCORES

MONDAY = date(2026, 6, 1)
WEEK = timedelta(weeks=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield opened
    opened.dispose()


def listed(engine: sa.Engine, as_of: date, **ready: date | None) -> None:
    """Write a list: account → readiness date; a list of the same day is written anew."""
    lines = [
        {"account_id": name, "as_of": as_of, "rank": place, "readiness_date": day}
        for place, (name, day) in enumerate(ready.items(), start=1)
    ]
    with store.write_transaction(engine) as connection:
        writers.insert_run(connection, as_of, model="m", record={}, finished_at=datetime.now(UTC))
        connection.execute(sa.delete(SCORES).where(SCORES.c.as_of == as_of))
        connection.execute(sa.insert(SCORES), lines)


def signalled(engine: sa.Engine, account: str, told_at: datetime, **line: Any) -> None:
    signal = {"limit": "seats", "number": told_at.day, "level": "urgent", "used": 9.0, "of": 10.0}
    at = dict.fromkeys(("opened_at", "level_at", "told_at"), told_at)
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(ALERTS), {"account_id": account, **signal, **at, "line": line})


def dates(engine: sa.Engine, as_of: date) -> dict[str, date | None]:
    found = previous_dates.load_last_communicated_dates(engine, as_of)
    assert found is not None
    return dict(found.select("account_id", "readiness_date").iter_rows())


def test_before_the_first_list_nothing_was_said(engine: sa.Engine) -> None:
    assert previous_dates.load_last_communicated_dates(engine, MONDAY) is None
    listed(engine, MONDAY, acme=MONDAY)
    assert previous_dates.load_last_communicated_dates(engine, MONDAY) is None


def test_the_last_list_speaks_and_who_is_missing_from_it_is_remembered(engine: sa.Engine) -> None:
    first, second = MONDAY + 3 * WEEK, MONDAY + 4 * WEEK
    listed(engine, MONDAY, acme=first, beta=first, core=first)
    listed(engine, MONDAY + WEEK, acme=second, core=None)

    assert dates(engine, MONDAY + 2 * WEEK) == {"acme": second, "beta": first, "core": None}


def test_after_some_weeks_who_is_missing_is_forgotten(engine: sa.Engine) -> None:
    listed(engine, MONDAY, acme=MONDAY, beta=MONDAY)
    listed(engine, MONDAY + 5 * WEEK, acme=MONDAY)

    assert dates(engine, MONDAY + 6 * WEEK) == {"acme": MONDAY}


def test_the_list_before_speaks_however_long_ago_it_was(engine: sa.Engine) -> None:
    listed(engine, MONDAY, acme=MONDAY)

    assert dates(engine, MONDAY + 20 * WEEK) == {"acme": MONDAY}


def test_a_list_that_was_never_in_force_said_nothing(engine: sa.Engine) -> None:
    late, early = MONDAY + 9 * WEEK, MONDAY + 2 * WEEK
    listed(engine, MONDAY, acme=early)
    listed(engine, MONDAY + 2 * WEEK, acme=early)
    listed(engine, MONDAY + WEEK, acme=late)  # made up for later
    listed(engine, MONDAY, acme=late)  # made anew in hindsight

    assert dates(engine, MONDAY + 3 * WEEK) == {"acme": early}
    assert previous_dates.load_last_communicated_dates(engine, MONDAY + 2 * WEEK) is None


def test_a_signal_since_speaks_for_its_account(engine: sa.Engine) -> None:
    listed(engine, MONDAY, acme=MONDAY + 3 * WEEK, beta=MONDAY)
    for day, ready in ((2, 16), (4, 14)):
        at = datetime(2026, 6, 1 + day, 12, tzinfo=UTC)
        named = str(MONDAY + timedelta(days=ready))
        signalled(engine, "acme", at, probability=0.4, tier=1, readiness_date=named)

    wednesday = previous_dates.load_last_communicated_dates(engine, MONDAY + timedelta(days=3))
    assert dates(engine, MONDAY + timedelta(days=2))["acme"] == MONDAY + 3 * WEEK
    assert dates(engine, MONDAY + WEEK) == {"acme": MONDAY + timedelta(days=14), "beta": MONDAY}
    assert wednesday is not None
    assert wednesday.filter(account_id="acme").row(0) == (
        "acme",
        MONDAY + timedelta(days=3),
        0.4,
        1,
        MONDAY + timedelta(days=16),
    )


@pytest.mark.parametrize("day", [3, 7])  # Wednesday, and the Sunday before the next list
def test_the_next_list_speaks_after_a_signal(engine: sa.Engine, day: int) -> None:
    listed(engine, MONDAY, acme=MONDAY)
    at = datetime(2026, 6, day, 12, tzinfo=UTC)
    signalled(engine, "acme", at, probability=None, tier=1, readiness_date=None)
    listed(engine, MONDAY + WEEK, acme=MONDAY + 2 * WEEK)

    assert dates(engine, MONDAY + 2 * WEEK) == {"acme": MONDAY + 2 * WEEK}
