"""Outreach suppression: hand-worked examples, and properties of any row."""

import re
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Playbook
from serving.scoring import suppression
from serving.scoring.playbook import MOTIONS, SUPPRESSED_MOTIONS
from serving.scoring.text.ui_strings import load_ui_strings

AS_OF = date(2026, 6, 1)
ROW: dict[str, Any] = {
    "account_id": "acme",
    "tier": 1,
    "limit": "seats",
    "motion": "seat add",
    "seat_utilization": 0.95,
    "churn_probability": 0.01,
    "negative_reasons": ["Only 3 features in use"],
    "plateau_months": 0.0,
    "departments_90d": 1.0,
    "departments_new_90d": 0.0,
}
SCHEMA: dict[str, Any] = {
    "account_id": pl.String,
    "tier": pl.Int32,
    "limit": pl.String,
    "motion": pl.String,
    "seat_utilization": pl.Float64,
    "churn_probability": pl.Float64,
    "negative_reasons": pl.List(pl.String),
    **dict.fromkeys(("plateau_months", "departments_90d", "departments_new_90d"), pl.Float64),
}
FLAT = {"motion": "consolidate", "tier": 2}
AT_RISK = {"churn_probability": 0.25}


def suppress(
    *rows: dict[str, Any],
    touches: dict[str, date] | None = None,
    snoozed_until: dict[str, date] | None = None,
    **features: float | None,
) -> list[dict[str, Any]]:
    return suppression.suppress_outreach(
        pl.DataFrame([ROW | features | row for row in rows], schema=SCHEMA),
        touches or {},
        AS_OF,
        Playbook(),
        strings=load_ui_strings({}),
        horizon_days=60,
        snoozed_until=snoozed_until or {},
    ).rows(named=True)


def days_ago(days: int) -> dict[str, date]:
    return {"acme": AS_OF - timedelta(days=days)}


def test_outreach_is_allowed_by_default() -> None:
    (row,) = suppress({})

    assert row["outreach_allowed"]
    assert (row["motion"], row["contact_role"]) == ("seat add", "department head or admin")
    assert row["expansion_signal"] == "seats: tier 1"
    assert row["counter_reasons"] == ["Only 3 features in use"]
    assert "negative_reasons" not in row


@pytest.mark.parametrize(
    ("row", "touches", "motion", "reason"),
    [
        (AT_RISK, {}, "retain", "25% churn probability within 60 days: retain first"),
        ({"churn_probability": 0.2}, {}, "retain", "20% churn probability within 60 days"),
        ({}, days_ago(12), "cooldown", "Contacted 12 days ago: cool-down until 19 July"),
        ({}, days_ago(59), "cooldown", "Contacted 59 days ago: cool-down until 2 June"),
        ({}, days_ago(1), "cooldown", "Contacted yesterday: cool-down until 30 July"),
        ({}, days_ago(0), "cooldown", "Contacted today: cool-down until 31 July"),
        (FLAT, {}, "consolidate", "Flat at 95% of the seats for 7 months, no new users"),
        # The first rule that applies gives the reason.
        (FLAT | AT_RISK, days_ago(3), "retain", "25% churn probability"),
        (FLAT, days_ago(3), "cooldown", "Contacted 3 days ago"),
    ],
)
def test_outreach_is_suppressed_for_churn_risk_cooldown_and_plateau(
    row: dict[str, Any], touches: dict[str, date], motion: str, reason: str
) -> None:
    (result,) = suppress(row, touches=touches, plateau_months=7.0)

    assert result["outreach_allowed"] is False
    assert result["motion"] == motion
    assert result["counter_reasons"][0].startswith(reason)
    assert result["counter_reasons"][1] == "Only 3 features in use"
    assert result["expansion_signal"] is None
    assert result["tier"] == (ROW | row)["tier"]
    assert result["limit"] == "seats"


@pytest.mark.parametrize(
    ("row", "touches"),
    [
        ({"churn_probability": 0.19}, {}),
        ({"churn_probability": None}, {}),
        ({}, days_ago(60)),
        ({}, days_ago(-1)),  # in the future
        ({}, {"other": AS_OF}),
    ],
)
def test_outreach_is_allowed_below_the_thresholds(
    row: dict[str, Any], touches: dict[str, date]
) -> None:
    (result,) = suppress(row, touches=touches)

    assert result["outreach_allowed"]


rows = st.fixed_dictionaries(
    {
        "account_id": st.just("acme"),
        "tier": st.sampled_from([None, 1, 2]),
        "limit": st.sampled_from(["seats", "usage", "plan", "none"]),
        "motion": st.sampled_from([name for name in MOTIONS if name not in {"retain", "cooldown"}]),
        "seat_utilization": st.floats(0.8, 3),
        "churn_probability": st.none() | st.floats(0, 1),
        "negative_reasons": st.lists(st.just("Only 3 features in use"), max_size=3),
    }
)


@given(
    row=rows,
    days=st.none() | st.integers(-5, 500),
    months=st.integers(6, 12),
    new=st.sampled_from([None, 0.0, 1.0]),
)
def test_every_row_is_consistent(
    row: dict[str, Any], days: int | None, months: int, new: float | None
) -> None:
    touches = {} if days is None else days_ago(days)

    (result,) = suppress(
        row,
        touches=touches,
        plateau_months=float(months),
        departments_90d=2.0,
        departments_new_90d=new,
    )

    assert result["outreach_allowed"] == (result["motion"] not in SUPPRESSED_MOTIONS)
    assert result["motion"] in MOTIONS
    assert (result["tier"], result["limit"]) == (row["tier"], row["limit"])
    assert (result["expansion_signal"] is None) == (
        result["tier"] is None or not result["outreach_allowed"]
    )
    assert (result["contact_role"] is None) == (result["motion"] == "cooldown")
    assert len(result["counter_reasons"]) == min(
        2, len(row["negative_reasons"]) + (not result["outreach_allowed"])
    )
    assert result["outreach_allowed"] or result["counter_reasons"][0] != "Only 3 features in use"
    text = " ".join(result["counter_reasons"])
    assert not re.search(r"nan|None|null|inf|\b1 (days|months|weeks)\b|-\d", text)


@given(days=st.integers(0, 59))
def test_the_end_of_a_cooldown_is_in_the_future(days: int) -> None:
    (result,) = suppress({}, touches=days_ago(days))

    day = AS_OF + timedelta(days=60 - days)
    assert result["counter_reasons"][0].endswith(f"cool-down until {day.day} {day:%B}")
    assert result["cooldown_until"] == day


@pytest.mark.parametrize(
    ("days", "touches", "reason"),
    [
        (1, {}, "Snoozed until 2 June"),
        (400, {}, "Snoozed until 6 July 2027"),
        # A snooze takes precedence over a cool-down.
        (9, days_ago(3), "Snoozed until 10 June"),
        (0, days_ago(3), "Contacted 3 days ago: cool-down until 28 July"),
    ],
)
def test_outreach_is_suppressed_until_the_snoozed_day(
    days: int, touches: dict[str, date], reason: str
) -> None:
    (result,) = suppress({}, touches=touches, snoozed_until={"acme": AS_OF + timedelta(days=days)})

    assert not result["outreach_allowed"]
    assert result["motion"] == "cooldown"
    assert result["counter_reasons"][0] == reason
    until = result["cooldown_until"]
    assert f"until {until.day} {until:%B}" in reason
    (allowed,) = suppress({}, snoozed_until={"acme": AS_OF})
    assert (allowed["outreach_allowed"], allowed["cooldown_until"]) == (True, None)
