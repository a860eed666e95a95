"""Daily utilization compared with the panel and with a plain Python count."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import simulator
from data.config import settings as configured
from data.ingest import table_loader
from features import subscription_timeline
from features.activity import load
from features.panel import builder, user_activity
from tests.tables import build_log
from training.backtest import utilization
from training.backtest.utilization import DailyUtilization

NOW = datetime(2026, 6, 2, tzinfo=UTC)
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
FIRST, DAYS, SEAT_DAYS = date(2024, 3, 1), 50, 30
ACCOUNTS = ("acme", "beta")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Hours from the first day: both edges of both windows, and values between.
EDGES = [hour for day in (-30, 0, 20, DAYS) for hour in (24 * day - 1, 24 * day, 24 * day + 1)]
HOURS = st.sampled_from(EDGES) | st.integers(-24 * 45, 24 * (DAYS + 5))
LATE = st.sampled_from([None, 0, 1, 24, 24 * 29, 24 * 30, 24 * 31])


@dataclass(frozen=True)
class Scenario:
    """A log and its contracts, as rows."""

    events: Sequence[dict[str, Any]]
    subscriptions: Sequence[dict[str, Any]]
    users: Sequence[dict[str, Any]]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    events = [
        draw_event(draw, name)
        for name in draw(st.lists(st.sampled_from(["view", "api_call", "login"]), max_size=14))
    ]
    contract_rows = [
        draw_contract_row(draw, account)
        for account in ACCOUNTS
        for _ in range(draw(st.integers(1, 3)))
    ]
    users = [
        {
            "user_id": user,
            "account_id": "acme",
            "seat_type": draw(st.sampled_from(["paid", "free"])),
            "created_at": draw(st.none() | HOURS.map(at_hour)),
        }
        for user in draw(st.lists(st.sampled_from("uvw"), unique=True, min_size=1))
    ]
    # One early event, so that the length of the log is known.
    return Scenario([*events, event_row("acme", "view", "u", -24 * 60, None)], contract_rows, users)


def draw_event(draw: st.DrawFn, name: str) -> dict[str, Any]:
    account, user = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(["u", "v", "w", None]))
    return event_row(account, name, user, draw(HOURS), draw(LATE)) | {
        "quantity": draw(st.sampled_from([1.0, 0.4, 2.5, None]))
    }


def event_row(
    account: str, event: str, user: str | None, hour: int, delay: int | None
) -> dict[str, Any]:
    position = at_hour(hour)
    known_events = None if delay is None else position + timedelta(hours=delay)
    return {
        "account_id": account,
        "user_id": user,
        "timestamp": position,
        "event": event,
        "quantity": 1.0,
        "known_at": known_events,
    }


def draw_contract_row(draw: st.DrawFn, account: str) -> dict[str, Any]:
    effective, delay = draw(HOURS), draw(st.sampled_from([None, -48, -1, 0, 1, 24, 100]))
    return {
        "account_id": account,
        "effective_date": at_hour(effective),
        "licensed_seats": draw(st.sampled_from([None, 0.0, 1.0, 2.0, 3.0])),
        "usage_limit": draw(st.sampled_from([None, 0.0, 1.0, 3.3])),
        "plan": "team",
        "status": draw(st.sampled_from(["paid", "trial", "churned"])),
        "known_at": None if delay is None else at_hour(effective + delay),
    }


def at_hour(hour: int) -> datetime:
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(hours=hour)


def build_utilization(scenario: Scenario, folder: Path) -> tuple[DailyUtilization, pl.DataFrame]:
    timestamp_type = pl.Datetime("us", "UTC")
    schema_overrides = {"user_id": pl.String, "known_at": timestamp_type, "quantity": pl.Float64}
    tables = table_loader.tables_from_frames(
        pl.DataFrame(scenario.events, schema_overrides=schema_overrides),
        pl.DataFrame(
            scenario.subscriptions,
            schema_overrides={
                "licensed_seats": pl.Float64,
                "usage_limit": pl.Float64,
                "known_at": timestamp_type,
            },
        ),
        pl.DataFrame({"account_id": ACCOUNTS, "created_date": [at_hour(-24 * 90)] * 2}),
        pl.DataFrame(scenario.users, schema_overrides={"created_at": timestamp_type}),
        now=NOW,
    )
    activity = build_log(tables, folder, configured.Settings())
    contracts = subscription_timeline.build_timeline(tables.subscriptions.rows)
    daily = utilization.build_daily_utilization(
        activity,
        contracts,
        first_day=FIRST,
        days=DAYS,
        seat_days=SEAT_DAYS,
        free_seat_users=find_free_users(tables, ["seat_type"]),
    )
    return daily, contracts


def find_free_users(tables: table_loader.Tables, attributes: Sequence[str]) -> pl.DataFrame:
    users = user_activity.prepare_users(tables.users.rows, tables.accounts.rows, attributes)
    return user_activity.free_seat_users(users)


@given(scenarios())
@settings(max_examples=25, deadline=None)
def test_every_day_matches_a_plain_python_count(scenario: Scenario) -> None:
    with TemporaryDirectory() as folder:
        daily, contracts = build_utilization(scenario, Path(folder))

    for row, account in enumerate(daily.accounts):
        for day in range(DAYS):
            seats, usage, paid = count_slowly(scenario, contracts, account, at_hour(24 * day))
            assert equals(daily.seat_utilization[row, day], seats), (account, day)
            assert equals(daily.usage_ratio[row, day], usage), (account, day)
            assert bool(daily.paid[row, day]) is paid, (account, day)


def count_slowly(
    scenario: Scenario, contracts: pl.DataFrame, account: str, moment: datetime
) -> tuple[float | None, float | None, bool]:
    """Compute one account's utilization at one moment from the raw rows."""
    free_users = {
        user["user_id"]
        for user in scenario.users
        if user["seat_type"] == "free" and (user["created_at"] or EPOCH) < moment
    }
    today = moment.date()
    known_events = [row for row in scenario.events if known_day(row) < today]
    active_users = {
        row["user_id"]
        for row in known_events
        if (row["account_id"], row["event"]) == (account, "view")
        and row["user_id"] not in {None, *free_users}
        and row["timestamp"].date() >= today - timedelta(days=SEAT_DAYS)
    }
    calls = sum(
        round((1.0 if row["quantity"] is None else row["quantity"]) * 1000)
        for row in known_events
        if (row["account_id"], row["event"]) == (account, "api_call")
        and row["timestamp"].date() >= today - timedelta(days=30)
    )
    contract_rows = [
        row
        for row in contracts.rows(named=True)
        if row["account_id"] == account and row["known"] < moment and row["effective"] <= moment
    ]
    log_days = (today - min(row["timestamp"].date() for row in known_events)).days
    if not contract_rows or log_days < 30:
        return None, None, bool(contract_rows and contract_rows[-1]["paid"])
    current = contract_rows[-1]
    return (
        len(active_users) / current["seats"] if current["seats"] else None,
        calls * 0.001 / current["usage_limit"] if current["usage_limit"] else None,
        current["paid"],
    )


def known_day(row: dict[str, Any]) -> date:
    """Return the day on which an event was known."""
    timestamp: datetime = row["timestamp"]
    return max(timestamp, row["known_at"] or timestamp).date()


def equals(daily: float, expected: float | None) -> bool:
    return bool(np.isnan(daily)) if expected is None else bool(daily == expected)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=40, months=10, seed=5, corruption=0.01)
    config = configured.load_settings(folder / "expansion.toml")
    return config, *load.load_data(config, now=NOW)


@pytest.mark.parametrize("seat_days", [30, 90])
def test_daily_utilization_equals_the_panel_to_the_bit(
    company: tuple[Any, Any, Any], seat_days: int
) -> None:
    config, tables, activity = company
    config = config.model_copy(update={"seats": configured.SeatsConfig(window_days=seat_days)})
    as_ofs = [AS_OF - timedelta(days=days_back) for days_back in (0, 30, 95, 231, 260)]
    first = as_ofs[-1].date()

    snapshots = builder.build_panel(activity, tables, as_ofs, config).snapshots
    daily = utilization.build_daily_utilization(
        activity,
        subscription_timeline.build_timeline(tables.subscriptions.rows, plans=config.outcome.plans),
        first_day=first,
        days=261,
        seat_days=seat_days,
        free_seat_users=find_free_users(tables, config.tables.time_invariant_attributes),
    )

    row = {account: index for index, account in enumerate(daily.accounts)}
    position = (
        [row[account] for account in snapshots["account_id"]],
        [(day - first).days for day in snapshots["as_of"]],
    )
    for name in ("seat_utilization", "usage_ratio"):
        panel_values = snapshots[name].fill_null(np.nan).to_numpy()
        assert np.array_equal(getattr(daily, name)[position], panel_values, equal_nan=True)
        assert np.isfinite(panel_values).sum() > 30
    assert daily.paid[position].all()


def test_accounts_without_a_paid_contract_have_no_utilization(
    company: tuple[Any, Any, Any],
) -> None:
    _, tables, activity = company

    daily = utilization.build_daily_utilization(
        activity,
        subscription_timeline.build_timeline(tables.subscriptions.rows),
        first_day=date(2026, 1, 1),
        days=100,
        seat_days=30,
        free_seat_users=pl.DataFrame(schema={"user_id": pl.String, "known_day": pl.Date}),
    )

    assert np.isnan(daily.max_utilization[~daily.paid]).all()
    assert (~daily.paid).any()
    assert (
        repr(daily) == f"DailyUtilization({len(daily.accounts)} accounts, 2026-01-01 to 2026-04-10)"
    )
