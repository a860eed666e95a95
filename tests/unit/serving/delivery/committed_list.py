"""A row of a ranked list, and the rows of a table."""

from datetime import date
from typing import Any

import sqlalchemy as sa

from serving import store

MONDAY = date(2025, 6, 2)
LIST_ROW: dict[str, Any] = {
    "account_id": "acme",
    "rank": 1,
    "name": "Acme",
    "csm": "Ada",
    "expansion_signal": "seats: tier 1",
    "probability": 0.70049,
    "low": 0.1,
    "high": 0.9,
    "readiness_date": date(2025, 6, 12),
    "expected_date": date(2025, 7, 4),
    "expected_early": date(2025, 6, 12),
    "expected_late": date(2025, 8, 31),
    "band": "40% and more",
    "probability_180d": 0.8,
    "expected_arr": 700.4,
    "churn_probability": 0.05,
    "limit": "seats",
    "tier": 1,
    "outreach_allowed": True,
    "motion": "seat add",
    "contact_role": "department head or admin",
    "signals": ["No seat is free", "3 people joined"],
    "counter_reasons": [],
    "active_seats": 9,
    "licensed_seats": 10,
    "seat_utilization": 1 / 3,
    "margin": -0.5,
    "base": -2.0,
    "contributions": '{"seat_utilization": 1.5}',
    "model": "1",
    "crm_id": None,
}


def read_table(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    """Return the rows by primary key."""
    return store.fetch_rows(engine, sa.select(table).order_by(*table.primary_key))
