"""How full every contract was on every morning: as the panel says it, and as a slow count does."""

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
from features.activity import daily_tables
from features.panel import builder, user_activity
from training.backtest import utilization
from training.backtest.utilization import DailyUtilization
from training.pipeline import training_run

NOW = datetime(2026, 6, 2, tzinfo=UTC)
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
FIRST, DAYS, SEAT_DAYS = date(2024, 3, 1), 50, 30
ACCOUNTS = ("acme", "beta")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Hours from the first morning: both edges of both windows of both ends, and anything between.
EDGES = [hour for day in (-30, 0, 20, DAYS) for hour in (24 * day - 1, 24 * day, 24 * day + 1)]
HOURS = st.sampled_from(EDGES) | st.integers(-24 * 45, 24 * (DAYS + 5))
LATE = st.sampled_from([None, 0, 1, 24, 24 * 29, 24 * 30, 24 * 31])


@dataclass(frozen=True)
class World:
    """A log and its contracts, as rows."""

    events: Sequence[dict[str, Any]]
    subscriptions: Sequence[dict[str, Any]]
    users: Sequence[dict[str, Any]]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    events = [
        _event(draw, name)
        for name in draw(st.lists(st.sampled_from(["view", "api_call", "login"]), max_size=14))
    ]
    terms = [_term(draw, account) for account in ACCOUNTS for _ in range(draw(st.integers(1, 3)))]
    users = [
        {
            "user_id": user,
            "account_id": "acme",
            "seat_type": draw(st.sampled_from(["paid", "free"])),
            "created_at": draw(st.none() | HOURS.map(_at)),
        }
        for user in draw(st.lists(st.sampled_from("uvw"), unique=True, min_size=1))
    ]
    # Somebody has to have been first, else nothing is known of the length of the log.
    return World([*events, _row("acme", "view", "u", -24 * 60, None)], terms, users)


def _event(draw: st.DrawFn, name: str) -> dict[str, Any]:
    account, user = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(["u", "v", "w", None]))
    return _row(account, name, user, draw(HOURS), draw(LATE)) | {
        "quantity": draw(st.sampled_from([1.0, 0.4, 2.5, None]))
    }


def _row(account: str, event: str, user: str | None, hour: int, late: int | None) -> dict[str, Any]:
    at = _at(hour)
    known = None if late is None else at + timedelta(hours=late)
    return {
        "account_id": account,
        "user_id": user,
        "timestamp": at,
        "event": event,
        "quantity": 1.0,
        "known_at": known,
    }


def _term(draw: st.DrawFn, account: str) -> dict[str, Any]:
    effective, late = draw(HOURS), draw(st.sampled_from([None, -48, -1, 0, 1, 24, 100]))
    return {
        "account_id": account,
        "effective_date": _at(effective),
        "licensed_seats": draw(st.sampled_from([None, 0.0, 1.0, 2.0, 3.0])),
        "usage_limit": draw(st.sampled_from([None, 0.0, 1.0, 3.3])),
        "plan": "team",
        "status": draw(st.sampled_from(["paid", "trial", "churned"])),
        "known_at": None if late is None else _at(effective + late),
    }


def _at(hour: int) -> datetime:
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(hours=hour)


def _built(world: World, folder: Path) -> tuple[DailyUtilization, pl.DataFrame]:
    stamp = pl.Datetime("us", "UTC")
    kinds = {"user_id": pl.String, "known_at": stamp, "quantity": pl.Float64}
    tables = table_loader.tables_from_frames(
        pl.DataFrame(world.events, schema_overrides=kinds),
        pl.DataFrame(
            world.subscriptions,
            schema={
                "account_id": pl.String,
                "effective_date": stamp,
                "licensed_seats": pl.Float64,
                "usage_limit": pl.Float64,
                "plan": pl.String,
                "status": pl.String,
                "known_at": stamp,
            },
        ),
        pl.DataFrame({"account_id": ACCOUNTS, "created_date": [_at(-24 * 90)] * 2}),
        pl.DataFrame(
            world.users,
            schema={
                "user_id": pl.String,
                "account_id": pl.String,
                "seat_type": pl.String,
                "created_at": stamp,
            },
        ),
        now=NOW,
    )
    log = daily_tables.build_activity(
        tables.events, folder=folder, roles=configured.Roles(), seats=configured.Seats()
    )
    contracts = subscription_timeline.build_timeline(tables.subscriptions.rows)
    found = utilization.build_daily_utilization(
        log,
        contracts,
        first_day=FIRST,
        days=DAYS,
        seat_days=SEAT_DAYS,
        free_seat_users=user_activity.free_seat_users(
            user_activity.prepare_users(tables.users.rows, tables.accounts.rows, ["seat_type"])
        ),
    )
    return found, contracts


@given(worlds())
@settings(max_examples=25, deadline=None)
def test_every_morning_is_as_a_slow_count_says(world: World) -> None:
    with TemporaryDirectory() as folder:
        found, contracts = _built(world, Path(folder))

    for row, account in enumerate(found.accounts):
        for day in range(DAYS):
            seats, usage, paid = _slow(world, contracts, account, _at(24 * day))
            assert _same(found.seat_utilization[row, day], seats), (account, day)
            assert _same(found.usage_ratio[row, day], usage), (account, day)
            assert bool(found.paid[row, day]) is paid, (account, day)


def _slow(
    world: World, contracts: pl.DataFrame, account: str, morning: datetime
) -> tuple[float | None, float | None, bool]:
    """One account on one morning, from the rows themselves."""
    free = {
        user["user_id"]
        for user in world.users
        if user["seat_type"] == "free" and (user["created_at"] or EPOCH) < morning
    }
    today = morning.date()
    known = [row for row in world.events if _heard(row) < today]
    seen = {
        row["user_id"]
        for row in known
        if (row["account_id"], row["event"]) == (account, "view")
        and row["user_id"] not in {None, *free}
        and row["timestamp"].date() >= today - timedelta(days=SEAT_DAYS)
    }
    calls = sum(
        round((1.0 if row["quantity"] is None else row["quantity"]) * 1000)
        for row in known
        if (row["account_id"], row["event"]) == (account, "api_call")
        and row["timestamp"].date() >= today - timedelta(days=30)
    )
    terms = [
        row
        for row in contracts.rows(named=True)
        if row["account_id"] == account and row["known"] < morning and row["effective"] <= morning
    ]
    log_days = (today - min(row["timestamp"].date() for row in known)).days
    if not terms or log_days < 30:
        return None, None, bool(terms and terms[-1]["paid"])
    now = terms[-1]
    return (
        len(seen) / now["seats"] if now["seats"] else None,
        calls * 0.001 / now["usage_limit"] if now["usage_limit"] else None,
        now["paid"],
    )


def _heard(row: dict[str, Any]) -> date:
    """The day on which an event was known."""
    happened: datetime = row["timestamp"]
    return max(happened, row["known_at"] or happened).date()


def _same(found: float, slow: float | None) -> bool:
    return bool(np.isnan(found)) if slow is None else bool(found == slow)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=40, months=10, seed=5, corruption=0.01)
    config = configured.load_settings(folder / "expansion.toml")
    return config, *training_run.load_data(config, now=NOW)


@pytest.mark.parametrize("seat_days", [30, 90])
def test_it_is_what_the_panel_says_of_the_same_morning_to_the_bit(
    past: tuple[Any, Any, Any], seat_days: int
) -> None:
    config, tables, log = past
    config = config.model_copy(update={"seats": configured.Seats(window_days=seat_days)})
    as_ofs = [AS_OF - timedelta(days=back) for back in (0, 30, 95, 231, 260)]
    first = as_ofs[-1].date()

    told = builder.build_panel(log, tables, as_ofs, config).snapshots
    found = utilization.build_daily_utilization(
        log,
        subscription_timeline.build_timeline(tables.subscriptions.rows, plans=config.outcome.plans),
        first_day=first,
        days=261,
        seat_days=seat_days,
        free_seat_users=user_activity.free_seat_users(
            user_activity.prepare_users(
                tables.users.rows, tables.accounts.rows, config.tables.stable
            )
        ),
    )

    row = {account: place for place, account in enumerate(found.accounts)}
    at = (
        [row[account] for account in told["account_id"]],
        [(day - first).days for day in told["as_of"]],
    )
    for name in ("seat_utilization", "usage_ratio"):
        ours, theirs = getattr(found, name)[at], told[name].fill_null(np.nan).to_numpy()
        assert np.array_equal(ours, theirs, equal_nan=True)
        assert np.isfinite(theirs).sum() > 30
    assert found.paid[at].all()


def test_nobody_without_a_paid_contract_is_full(past: tuple[Any, Any, Any]) -> None:
    _, tables, log = past

    found = utilization.build_daily_utilization(
        log,
        subscription_timeline.build_timeline(tables.subscriptions.rows),
        first_day=date(2026, 1, 1),
        days=100,
        seat_days=30,
        free_seat_users=pl.DataFrame(schema={"user_id": pl.String, "known_day": pl.Date}),
    )

    assert np.isnan(found.max_utilization[~found.paid]).all()
    assert (~found.paid).any()
    assert repr(found) == f"Daily({len(found.accounts)} accounts, 2026-01-01 to 2026-04-10)"
