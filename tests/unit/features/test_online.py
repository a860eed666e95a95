"""Online features equal those of a batch of all accounts."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data import simulator
from data.config.settings import Settings
from data.ingest import table_loader
from features import online
from features.activity.daily_tables import Activity
from features.panel import builder
from tests.tables import build_frame, build_log

DAY = date(2026, 6, 10)
START = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = ["acme", "beta", "core"]
UNSHRUNK = [Phase.explicit, Phase.generate]  # each example takes a good part of a second
RULES = Settings.model_validate(
    {"tables": {"time_invariant_attributes": ["seat_type", "department"]}}
)
HOURS = int((online.get_next_midnight(DAY) - START).total_seconds()) // 3600
# Near today's midnight, and where the windows of 30, 60 and 90 days begin.
EDGES = [HOURS - 24 * days + hour for days in (0, 1, 2, 30, 60, 90) for hour in (-1, 0)]

rows = st.lists(
    st.tuples(
        st.sampled_from(ACCOUNTS),
        st.sampled_from([None, "u-1", "u-2", "u-3", "free"]),
        st.integers(0, HOURS - 1) | st.sampled_from(EDGES),
        st.sampled_from(["use", "api_call", "integration", "user_added", None]),
        st.sampled_from(["reports", "search", None]),
        st.sampled_from([None, 0.1, 2.0, 1000.5]),
        st.integers(0, 400),  # hours until it was known
    ),
    min_size=1,
    max_size=60,
)


def frame(events: list[Any]) -> pl.DataFrame:
    return build_frame(
        "events",
        [
            {
                "account_id": account,
                "user_id": user,
                "timestamp": START + timedelta(hours=hour),
                "event": event,
                "feature": feature,
                "quantity": quantity,
                "event_id": f"{account}-{user}-{number}",
                "known_at": START + timedelta(hours=hour + late),
            }
            for number, (account, user, hour, event, feature, quantity, late) in enumerate(events)
        ],
    )


def company(events: pl.DataFrame) -> table_loader.Tables:
    return table_loader.tables_from_frames(
        events,
        pl.DataFrame(
            {
                "account_id": ACCOUNTS,
                "effective_date": [START - timedelta(days=30)] * 3,
                "licensed_seats": [3.0, 2.0, 10.0],
                "usage_limit": [2000.0, None, 100.0],
                "plan": ["team", "team", "business"],
                "mrr": [100.0, 50.0, 900.0],
            }
        ),
        pl.DataFrame({"account_id": ACCOUNTS, "created_date": [START - timedelta(days=30)] * 3}),
        pl.DataFrame(
            {
                "user_id": ["u-1", "u-2", "free"],
                "account_id": ["acme", "acme", "beta"],
                "created_at": [START] * 3,
                "seat_type": ["paid", None, "free"],
                "department": ["sales", "it", None],
            }
        ),
    )


def build_reference(
    log: Activity, tables: table_loader.Tables, day: date
) -> builder.ReferencePopulation:
    """Return the reference population of the list of a week before."""
    last_list = online.get_next_midnight(day) - timedelta(days=7)
    return online.build_reference_population(log, tables, last_list, RULES)


@given(rows, st.integers(0, HOURS), st.sets(st.sampled_from(ACCOUNTS), min_size=1))
@settings(
    max_examples=12, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_appended_events_count_as_if_they_were_in_the_log(
    tmp_path: Path, events: list[Any], cut: int, options: set[str]
) -> None:
    # The log holds only rows known before the cutoff, so that both see the same on every day.
    full_log = frame(events)
    is_old = full_log["known_at"] < START + timedelta(hours=cut)
    first = frame([("core", "u-0", 0, "use", "reports", None, 0)])  # the log must have a start
    tables = company(pl.concat([first, full_log]))
    log = build_log(company(pl.concat([first, full_log.filter(is_old)])), tmp_path, RULES)
    reference = build_reference(log, tables, DAY)

    live = online.build_online(
        log,
        tables,
        full_log.filter(~is_old),
        accounts=list(options),
        day=DAY,
        settings=RULES,
        reference=reference,
    )

    log = build_log(tables, tmp_path, RULES)
    midnight = online.get_next_midnight(DAY)
    batch = builder.build_panel(log, tables, [midnight], RULES, reference=reference)
    is_requested = pl.col("account_id").is_in(options)
    assert_frame_equal(live.snapshots, batch.snapshots.filter(is_requested), check_exact=True)
    assert_frame_equal(live.excluded, batch.excluded.filter(is_requested))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[table_loader.Tables, Path]:
    folder = tmp_path_factory.mktemp("simulated")
    simulator.write_company(folder, accounts=60, months=14, seed=3, end=date(2026, 6, 1))
    return table_loader.load_tables(
        Settings.model_validate(
            {"tables": {"folder": str(folder), "users": "users.parquet"}, "state": str(folder)}
        )
    ), folder


def test_a_month_appended_to_the_log_gives_the_same_as_the_whole_log(
    simulated: tuple[table_loader.Tables, Path],
) -> None:
    tables, folder = simulated
    before = tables.events[:-2]
    held = pl.concat([part.valid_rows().collect() for part in tables.events[-2:]])
    held = held.unique("event_id", keep="first", maintain_order=True)
    day = held["timestamp"].max().date() - timedelta(days=3)  # type: ignore[union-attr]
    log = build_log(replace(tables, events=before), folder / "cache", RULES)
    reference = build_reference(log, tables, day)
    accounts = tables.accounts.rows["account_id"].to_list()

    live = online.build_online(
        log, tables, held, accounts=accounts, day=day, settings=RULES, reference=reference
    )

    log = build_log(tables, folder / "cache", RULES)
    midnight = online.get_next_midnight(day)
    batch = builder.build_panel(log, tables, [midnight], RULES, reference=reference)
    assert live.snapshots.height > 20
    assert_frame_equal(live.snapshots, batch.snapshots, check_exact=True)


def test_an_account_alone_has_the_same_features_as_in_a_batch(
    simulated: tuple[table_loader.Tables, Path],
) -> None:
    tables, folder = simulated
    day = date(2026, 5, 29)
    log = build_log(tables, folder / "cache", RULES)
    reference = build_reference(log, tables, day)
    none = tables.events[0].valid_rows().collect().clear()
    options = {"day": day, "settings": RULES, "reference": reference}
    names = tables.accounts.rows["account_id"].sort().to_list()[:16]

    together = online.build_online(log, tables, none, accounts=names, **options).snapshots

    alone = [
        online.build_online(log, tables, none, accounts=[name], **options).snapshots
        for name in names
    ]
    assert together.height > 5
    assert_frame_equal(pl.concat(alone), together, check_exact=True)
