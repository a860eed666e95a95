"""The date an account's last increase became known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.panel import subscription_terms
from features.point_in_time import known_before
from tests.tables import build_timeline

LIST = datetime(2026, 5, 25, tzinfo=UTC)
DAY = timedelta(days=1)


def known_increase(as_of: datetime, *rows: dict[str, Any]) -> datetime | None:
    """Return the last known increase of an account that bought five seats long ago, plus rows."""
    first = {"effective_date": LIST - 400 * DAY, "licensed_seats": 5.0}
    contracts = build_timeline([{"account_id": "acme"} | row for row in (first, *rows)])
    signed = known_before(contracts, as_of)
    terms = subscription_terms.subscription_terms_as_of(signed, as_of, ())
    known_at: datetime | None = terms["last_increase_known_at"].item()
    return known_at


def make_increase(
    effective: datetime, known: datetime | None, seats: float = 8.0
) -> dict[str, Any]:
    return {"effective_date": effective, "known_at": known, "licensed_seats": seats}


@pytest.mark.parametrize(
    ("row", "when"),
    [
        (make_increase(LIST + DAY, None), LIST + DAY),
        (make_increase(LIST - 5 * DAY, LIST + 3 * DAY), LIST + 3 * DAY),  # booked late
        (make_increase(LIST + 90 * DAY, LIST + 3 * DAY), LIST + 3 * DAY),  # signed in advance
        (
            make_increase(LIST - timedelta(hours=2), None),
            LIST - timedelta(hours=2),
        ),  # Monday, in Berlin
        (make_increase(LIST + DAY, LIST + 8 * DAY), None),  # not known yet
        (make_increase(LIST + DAY, None, seats=3.0), None),  # a decrease
        (make_increase(LIST + DAY, None) | {"change": "correction"}, None),
        (make_increase(LIST + DAY, None) | {"status": "trial"}, None),
    ],
)
def test_an_increase_counts_from_when_it_is_known(
    row: dict[str, Any], when: datetime | None
) -> None:
    assert known_increase(LIST + 7 * DAY, row) == when


def test_of_several_increases_the_one_known_last_counts() -> None:
    rows = [
        make_increase(LIST - 9 * DAY, LIST + 2 * DAY),
        make_increase(LIST + DAY, LIST + DAY, seats=9.0),
    ]

    assert known_increase(LIST + 7 * DAY, *rows) == LIST + 2 * DAY
