"""Webhook events count as if the log contained them: seats, usage and features."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data import simulator
from data.config.settings import Settings
from data.ingest.table_loader import Tables
from data.schemas import TABLES
from features import online
from features.activity import load
from features.activity.daily_tables import Activity
from features.panel import builder
from serving import store
from serving.events.ingest import reader
from serving.events.ingest.handler import WebhookHandler
from serving.events.ingest.writer import EventWriter
from serving.events.monitor import consumer
from serving.events.monitor.consumer import EventConsumer
from serving.store import lease
from serving.store.event_schema import WEBHOOK_EVENTS
from tests.integration.events.webhook_client import SECRET, sign_body
from training import registry as models
from training.rules import tiers

pytestmark = pytest.mark.long

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TODAY = date(2026, 6, 10)
START = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = ["acme", "beta", "core"]
UNSHRUNK = [Phase.explicit, Phase.generate]  # each example takes about a second
LOG = TABLES["events"].create_empty().schema


@dataclass
class PairedCompany:
    """One company twice: events by webhook, and all events in its log."""

    folder: Path
    registry: Path
    time_invariant_attributes: list[str]
    workspaces: dict[str, str] = field(default_factory=dict)

    def write_logs(self, log: pl.DataFrame, stream: pl.DataFrame) -> None:
        """Write both logs, the live one ending before the stream, and both registries."""
        for name, rows in {"live": [log], "whole": [log, stream]}.items():
            state = self.load_settings(name).state_folder
            state.mkdir(parents=True)
            shutil.copy(self.registry, state)
            for month, part in split_by_month(pl.concat(rows)):
                file = self.folder / name / f"{month:%Y-%m}.parquet"
                file.parent.mkdir(exist_ok=True)
                part.write_parquet(file)

    def load_settings(self, which: str) -> Settings:
        """Return the settings of either, each with its own state folder."""
        workspace_file = self.folder / "workspaces.csv"
        rows = [f"{workspace},{account}" for workspace, account in self.workspaces.items()]
        workspace_file.write_text("\n".join(["workspace_id,account_id", *rows]) + "\n")
        return Settings.model_validate(
            {
                "tables": {
                    "folder": str(self.folder),
                    "events": f"{which}/*.parquet",
                    **{name: f"{name}.parquet" for name in ("subscriptions", "accounts", "users")},
                    "time_invariant_attributes": self.time_invariant_attributes,
                },
                "state": str(self.folder / f"state-{which}"),
                # Low, so that tier 1 fires often.
                "playbook": {"seat_utilization": 0.3, "usage_utilization": 0.1, "api_growth": 0},
                "webhooks": {
                    "segment_secret": SECRET,
                    "generic_secret": SECRET,
                    "workspaces": str(workspace_file),
                },
            }
        )


def split_by_month(rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    by = rows.sort("timestamp", maintain_order=True).group_by(
        pl.col("timestamp").dt.date().dt.month_start(), maintain_order=True
    )
    return ((month, part) for (month,), part in by)


def shape_request(rows: Sequence[dict[str, Any]], source: str) -> bytes:
    """Return the body as the source would send it."""
    shape = to_segment if source == "segment" else to_native
    return json.dumps([shape(row) for row in rows]).encode()


def to_native(row: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in row.items() if name not in {"known_at", "event_id"}}
    return fields | {"message_id": row["event_id"], "timestamp": row["timestamp"].isoformat()}


def to_segment(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": row["event_id"],
        "userId": row["user_id"],
        "event": row["event"],
        "timestamp": row["timestamp"].isoformat(),
        "context": {"groupId": row["account_id"]},
        "properties": {"feature": row["feature"], "quantity": row["quantity"]},
    }


async def send_events(rules: Settings, engine: sa.Engine, rows: Sequence[dict[str, Any]]) -> None:
    """Send rows in the order in which they became known, in batches per moment."""
    store = EventWriter(engine)
    try:
        intake = WebhookHandler(rules.webhooks, store)
        for (now, bare), some in groupby(rows, lambda row: (row["known_at"], row["event"] is None)):
            while part := list(islice(some, 400)):
                # Segment events always have a name.
                source = "generic" if bare or len(part) % 2 else "segment"
                body = shape_request(part, source)
                answer = await intake.handle(source, sign_body(body, source), body, now)
                assert (answer.status, answer.body["accepted"]) == (200, len(part))
    finally:
        store.close()


def last_moment(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC)


def compare_days(pair: PairedCompany, stream: pl.DataFrame, days: Sequence[date]) -> list[int]:
    """Send a stream day by day, and compare the online state with the batch on some days.

    Returns the number of accounts in the batch on each of those days.
    """
    live, whole = pair.load_settings("live"), pair.load_settings("whole")
    engine = store.open_engine(live.database_url)
    first = stream["known_at"].min()
    assert isinstance(first, datetime)
    acquired = lease.acquire_lease(engine, "parity", lambda: first)
    assert isinstance(acquired, lease.Lease)
    event_consumer = consumer.resume_consumer(engine, live, acquired, first)
    tables, log = load.load_data(whole, now=stream["known_at"].max())  # type: ignore[arg-type]
    counts = []
    names = {account: name for name, account in pair.workspaces.items()}
    for day in days:
        arrived = pl.col("known_at").dt.date().is_between(event_consumer.offset.day, day)
        day_events = stream.filter(arrived).sort("known_at", maintain_order=True)
        renamed = day_events.with_columns(pl.col("account_id").replace(names))
        asyncio.run(send_events(live, engine, renamed.to_dicts()))
        while event_consumer.poll(last_moment(day)):
            pass
        counts.append(compare_snapshot(event_consumer, tables, log, day))
        stream = stream.filter(~arrived)
    engine.dispose()
    return counts


def compare_snapshot(
    event_consumer: EventConsumer, tables: Tables, log: Activity, day: date
) -> int:
    """Compare the consumer's counters with the panel as of the next midnight, exactly."""
    snapshot = event_consumer.snapshot
    batch = builder.build_panel(
        log,
        tables,
        [online.get_next_midnight(day)],
        event_consumer.settings,
        reference=snapshot.reference_population,
        months=True,
    )
    listed = batch.months.join(batch.snapshots, on="account_id", maintain_order="left")
    tier_rules = event_consumer.settings.playbook
    listed = listed.with_columns(
        tier_1_seats=tiers.tier1_seats(tier_rules).fill_null(value=False),
        tier_1_usage=tiers.tier1_volume(tier_rules).fill_null(value=False),
    )
    for row in listed.iter_rows(named=True):
        account, counts = row["account_id"], snapshot.counters
        assert counts.count_active_seats(account, day) == (row["active_seats_m0"] or 0), account
        assert counts.count_api_calls(account, day) == (row["api_calls_m0"] or 0), account
        for limit, name in {"seats": "active_seats", "usage": "api_calls"}.items():
            before = counts.measure_usage_90d_ago(account, limit, day)
            assert before is None or before == (row[f"{name}_m3"] or 0), account
            reading = counts.read_utilization(account, limit, day, snapshot.subscriptions)
            assert reading.tier_1 == row[f"tier_1_{limit}"], (account, limit)
        assert snapshot.subscriptions.get_terms(account, day).seats == row["licensed_seats"], (
            account
        )
    accounts = tables.accounts.rows["account_id"].to_list()
    with store.read_transaction(event_consumer.engine) as connection:
        events = reader.load_unlogged_events(
            connection,
            snapshot.workspaces,
            accounts,
            snapshot.logged_mask,
            up_to=event_consumer.offset.position,
        )
    online_panel = online.build_online(
        snapshot.log,
        snapshot.tables,
        events,
        accounts=accounts,
        day=day,
        settings=event_consumer.settings,
        reference=snapshot.reference_population,
    )
    assert_frame_equal(online_panel.snapshots, batch.snapshots, check_exact=True)
    assert_frame_equal(online_panel.excluded, batch.excluded)
    return listed.height


rows = st.lists(
    st.tuples(
        st.sampled_from(ACCOUNTS),
        st.sampled_from([None, "u-1", "u-2", "u-3", "free"]),
        st.integers(0, 159),  # days since the log began
        st.integers(0, 86_399_999_999),  # microseconds of the day
        st.sampled_from(["use", "view", "api_call", "integration", "user_added", None]),
        st.sampled_from([None, "reports", "search"]),
        st.sampled_from([None, 0.0, 0.1, 2.0, 1000.5]),
        st.integers(0, 400),  # hours until it was known
    ),
    min_size=1,
    max_size=60,
)


def build_log(raw_rows: Sequence[Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (account, user, at, event, feature, quantity, f"e-{number}", at + late * HOUR)
            for number, (account, user, days, micros, event, feature, quantity, late) in enumerate(
                raw_rows
            )
            for at in [START + days * DAY + timedelta(microseconds=micros)]
        ],
        schema=LOG,
        orient="row",
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty registry; creating one takes MLflow seconds."""
    folder = tmp_path_factory.mktemp("registry")
    assert models.load_for_scoring(Settings.model_validate({"state": str(folder)})) is None
    return folder / "mlflow.db"


@given(rows, st.integers(60, 159), st.sampled_from([{}, {"acme-eu": "acme", "b2": "beta"}]))
@settings(max_examples=8, phases=UNSHRUNK, deadline=None)
def test_random_webhook_events_count_like_log_events(
    registry: Path, raw_rows: list[Any], cutoff_day: int, workspaces: dict[str, str]
) -> None:
    last = last_moment(TODAY)
    events = build_log([("core", "u-0", 0, 0, "use", "reports", None, 0), *raw_rows])
    is_old = pl.col("known_at") < START + cutoff_day * DAY
    stream = events.filter(~is_old, pl.col("known_at") <= last)
    # The stream must not be empty.
    always = build_log([("acme", "u-9", 159, 0, "use", "forms", None, 20)])
    stream = pl.concat([stream, always]).with_columns(event_id=pl.col("event_id") + "-s")
    with TemporaryDirectory() as folder_name:
        pair = PairedCompany(Path(folder_name), registry, ["seat_type", "department"], workspaces)
        pair.write_logs(events.filter(is_old), stream)
        write_small_company(pair.folder)
        compare_days(pair, stream, [TODAY - DAY, TODAY])


def write_small_company(folder: Path) -> None:
    began = START - 30 * DAY
    pl.DataFrame(
        {
            "account_id": ACCOUNTS,
            "effective_date": [began] * 3,
            "licensed_seats": [3.0, 2.0, 10.0],
            "usage_limit": [2000.0, None, 100.0],
            "plan": ["team", "team", "business"],
            "mrr": [100.0, 50.0, 900.0],
        }
    ).write_parquet(folder / "subscriptions.parquet")
    pl.DataFrame({"account_id": ACCOUNTS, "created_date": [began] * 3}).write_parquet(
        folder / "accounts.parquet"
    )
    pl.DataFrame(
        {
            "user_id": ["u-1", "u-2", "free"],
            "account_id": ["acme", "acme", "beta"],
            "created_at": [START] * 3,
            "seat_type": ["paid", None, "free"],
            "department": ["sales", "it", None],
        }
    ).write_parquet(folder / "users.parquet")


def test_a_month_of_webhook_events_equals_the_batch_features(
    registry: Path, tmp_path: Path
) -> None:
    simulator.write_company(tmp_path, accounts=40, months=12, seed=3, end=TODAY.replace(day=1))
    log = pl.concat(
        [pl.read_parquet(file) for file in sorted((tmp_path / "events").glob("*.parquet"))]
    ).unique("event_id", keep="first", maintain_order=True)
    log = log.select(pl.col(name).cast(kind) for name, kind in LOG.items())
    is_old = pl.col("known_at").fill_null(pl.col("timestamp")) < datetime(2026, 5, 1, tzinfo=UTC)
    stream = log.filter(~is_old)
    # A source that was offline for hours sends its backlog at once.
    delivered_at = pl.max_horizontal("timestamp", "known_at").dt.truncate("6h").dt.offset_by("6h")
    stream = stream.with_columns(known_at=delivered_at)
    pair = PairedCompany(tmp_path, registry, ["department", "email_domain", "seat_type"])
    pair.write_logs(log.filter(is_old), stream)

    counted = compare_days(pair, stream, [date(2026, 5, day) for day in (3, 17, 31)])

    assert min(counted) >= 15
    assert stream.height > 3_000
    engine = store.open_engine(pair.load_settings("live").database_url)
    with store.read_transaction(engine) as connection:
        stored = connection.scalar(sa.select(sa.func.count()).select_from(WEBHOOK_EVENTS))
    engine.dispose()
    assert stored == stream.filter(pl.col("known_at") < datetime(2026, 6, 1, tzinfo=UTC)).height
