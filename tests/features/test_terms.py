"""When it was heard that an account bought more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from data.schemas import TABLES
from features import subscription_timeline
from features.panel import subscription_terms
from features.panel.monthly import known_before

LIST = datetime(2026, 5, 25, tzinfo=UTC)
DAY = timedelta(days=1)


def heard(as_of: datetime, *rows: dict[str, Any]) -> datetime | None:
    """Of an account that bought five seats long ago, and of which the rows tell since."""
    schema = TABLES["subscriptions"].create_empty().schema
    first = {"effective_date": LIST - 400 * DAY, "licensed_seats": 5.0}
    told = [dict.fromkeys(schema) | {"account_id": "acme"} | row for row in (first, *rows)]
    signed = known_before(
        subscription_timeline.build_timeline(pl.DataFrame(told, schema=schema)), as_of
    )
    found = subscription_terms.last_known_increase(signed)["heard"]
    return found[0] if len(found) else None


def more(effective: datetime, known: datetime | None, seats: float = 8.0) -> dict[str, Any]:
    return {"effective_date": effective, "known_at": known, "licensed_seats": seats}


@pytest.mark.parametrize(
    ("row", "when"),
    [
        (more(LIST + DAY, None), LIST + DAY),
        (more(LIST - 5 * DAY, LIST + 3 * DAY), LIST + 3 * DAY),  # booked late
        (more(LIST + 90 * DAY, LIST + 3 * DAY), LIST + 3 * DAY),  # signed ahead
        (more(LIST - timedelta(hours=2), None), LIST - timedelta(hours=2)),  # Monday, in Berlin
        (more(LIST + DAY, LIST + 8 * DAY), None),  # not known yet
        (more(LIST + DAY, None, seats=3.0), None),  # bought less
        (more(LIST + DAY, None) | {"change": "correction"}, None),
        (more(LIST + DAY, None) | {"status": "trial"}, None),
    ],
)
def test_a_rise_is_heard_of_when_it_is_known(row: dict[str, Any], when: datetime | None) -> None:
    assert heard(LIST + 7 * DAY, row) == when


def test_of_several_rises_the_one_heard_of_last_counts() -> None:
    rows = [more(LIST - 9 * DAY, LIST + 2 * DAY), more(LIST + DAY, LIST + DAY, seats=9.0)]

    assert heard(LIST + 7 * DAY, *rows) == LIST + 2 * DAY
