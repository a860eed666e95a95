"""Who is not asked, why, and whom to talk to instead; by hand, and as laws over any line."""

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
from serving.scoring.text.ui_strings import load_default_strings

AS_OF = date(2026, 6, 1)
LINE: dict[str, Any] = {
    "account_id": "acme",
    "tier": 1,
    "limit": "seats",
    "motion": "seat add",
    "seat_utilization": 0.95,
    "churn_probability": 0.01,
    "pushes_down": ["Only 3 features in use"],
}
SCHEMA: dict[str, Any] = {
    "account_id": pl.String,
    "tier": pl.Int32,
    "limit": pl.String,
    "motion": pl.String,
    "seat_utilization": pl.Float64,
    "churn_probability": pl.Float64,
    "pushes_down": pl.List(pl.String),
}
FACTS = {"plateau_months": 0.0, "departments_90d": 1.0, "departments_new_90d": 0.0}
FLAT = {"motion": "consolidate", "tier": 2}
LEAVING = {"churn_probability": 0.25}


def decided(
    *lines: dict[str, Any],
    worked: dict[str, date] | None = None,
    not_now: dict[str, date] | None = None,
    **facts: float | None,
) -> list[dict[str, Any]]:
    frame = pl.DataFrame([LINE | line for line in lines], schema=SCHEMA)
    read = pl.Schema(dict.fromkeys(FACTS, pl.Float64))
    snapshots = pl.DataFrame([FACTS | facts] * len(lines), schema=read).with_columns(
        account_id=frame["account_id"]
    )
    return suppression.suppress_outreach(
        frame,
        snapshots,
        worked or {},
        AS_OF,
        Playbook(),
        strings=load_default_strings(),
        horizon_days=60,
        snoozed_until=not_now,
    ).rows(named=True)


def days_ago(days: int) -> dict[str, date]:
    return {"acme": AS_OF - timedelta(days=days)}


def test_an_account_of_which_nothing_speaks_against_it_is_asked() -> None:
    (line,) = decided({})

    assert line["ask"]
    assert (line["motion"], line["buyer"]) == ("seat add", "department head or admin")
    assert line["expansion_signal"] == "seats: tier 1"
    assert line["holds_back"] == ["Only 3 features in use"]
    assert "pushes_down" not in line


@pytest.mark.parametrize(
    ("line", "worked", "motion", "why"),
    [
        (LEAVING, {}, "retain", "25% chance to leave within 60 days: first keep them"),
        ({"churn_probability": 0.2}, {}, "retain", "20% chance to leave within 60 days"),
        ({}, days_ago(12), "rest", "Worked 12 days ago: left alone until 19 July"),
        ({}, days_ago(59), "rest", "Worked 59 days ago: left alone until 2 June"),
        ({}, days_ago(1), "rest", "Worked yesterday: left alone until 30 July"),
        ({}, days_ago(0), "rest", "Worked today: left alone until 31 July"),
        (FLAT, {}, "consolidate", "Flat at 95% of the seats for 7 months, nobody new"),
        # The first of these that holds is told.
        (FLAT | LEAVING, days_ago(3), "retain", "25% chance to leave"),
        (FLAT, days_ago(3), "rest", "Worked 3 days ago"),
    ],
)
def test_no_ask_is_made_of_who_may_leave_was_worked_or_stands_still(
    line: dict[str, Any], worked: dict[str, date], motion: str, why: str
) -> None:
    (found,) = decided(line, worked=worked, plateau_months=7.0)

    assert found["ask"] is False
    assert found["motion"] == motion
    assert found["holds_back"][0].startswith(why)
    assert found["holds_back"][1] == "Only 3 features in use"
    assert found["expansion_signal"] is None
    assert found["tier"] == (LINE | line)["tier"]
    assert found["limit"] == "seats"


@pytest.mark.parametrize(
    ("line", "worked"),
    [
        ({"churn_probability": 0.19}, {}),
        ({"churn_probability": None}, {}),
        ({}, days_ago(60)),
        ({}, days_ago(-1)),  # not known yet
        ({}, {"other": AS_OF}),
    ],
)
def test_what_does_not_suffice_keeps_nobody_from_asking(
    line: dict[str, Any], worked: dict[str, date]
) -> None:
    (found,) = decided(line, worked=worked)

    assert found["ask"]


lines = st.fixed_dictionaries(
    {
        "account_id": st.just("acme"),
        "tier": st.sampled_from([None, 1, 2]),
        "limit": st.sampled_from(["seats", "usage", "plan", "none"]),
        "motion": st.sampled_from([name for name in MOTIONS if name not in {"retain", "rest"}]),
        "seat_utilization": st.floats(0.8, 3),
        "churn_probability": st.none() | st.floats(0, 1),
        "pushes_down": st.lists(st.just("Only 3 features in use"), max_size=3),
    }
)


@given(
    line=lines,
    worked=st.none() | st.integers(-5, 500),
    months=st.integers(6, 12),
    new=st.sampled_from([None, 0.0, 1.0]),
)
def test_every_line_holds_together(
    line: dict[str, Any], worked: int | None, months: int, new: float | None
) -> None:
    known = {} if worked is None else days_ago(worked)

    (found,) = decided(
        line,
        worked=known,
        plateau_months=float(months),
        departments_90d=2.0,
        departments_new_90d=new,
    )

    assert found["ask"] == (found["motion"] not in SUPPRESSED_MOTIONS)
    assert found["motion"] in MOTIONS
    assert (found["tier"], found["limit"]) == (line["tier"], line["limit"])
    assert (found["expansion_signal"] is None) == (found["tier"] is None or not found["ask"])
    assert (found["buyer"] is None) == (found["motion"] == "rest")
    assert len(found["holds_back"]) == min(2, len(line["pushes_down"]) + (not found["ask"]))
    assert found["ask"] or found["holds_back"][0] != "Only 3 features in use"
    told = " ".join(found["holds_back"])
    assert not re.search(r"nan|None|null|inf|\b1 (days|months|weeks)\b|-\d", told)


@given(worked=st.integers(0, 59))
def test_the_day_until_which_an_account_rests_is_still_to_come(worked: int) -> None:
    (found,) = decided({}, worked=days_ago(worked))

    day = AS_OF + timedelta(days=60 - worked)
    assert found["holds_back"][0].endswith(f"left alone until {day.day} {day:%B}")
    assert found["rest_until"] == day


@pytest.mark.parametrize(
    ("days", "worked", "why"),
    [
        (1, {}, "Not now, they said: left alone until 2 June"),
        (400, {}, "Not now, they said: left alone until 6 July 2027"),
        # What they said themselves goes before the rest that is ours.
        (9, days_ago(3), "Not now, they said: left alone until 10 June"),
        (0, days_ago(3), "Worked 3 days ago: left alone until 28 July"),
    ],
)
def test_no_ask_is_made_until_the_day_that_was_said(
    days: int, worked: dict[str, date], why: str
) -> None:
    (found,) = decided({}, worked=worked, not_now={"acme": AS_OF + timedelta(days=days)})

    assert (found["ask"], found["motion"], found["holds_back"][0]) == (False, "rest", why)
    until = found["rest_until"]
    assert f"until {until.day} {until:%B}" in why
    (free,) = decided({}, not_now={"acme": AS_OF})
    assert (free["ask"], free["rest_until"]) == (True, None)
