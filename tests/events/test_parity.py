"""What comes through the webhook counts as if the log had held it: seats, usage and features."""

import asyncio
import hashlib
import hmac
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
from event_door import SECRET
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data import simulator
from data.config.settings import Settings
from data.ingest.table_loader import Tables
from features import online
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
from training import registry as models
from training.pipeline import training_run

pytestmark = pytest.mark.long

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TODAY = date(2026, 6, 10)
START = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = ["acme", "beta", "core"]
UNSHRUNK = [Phase.explicit, Phase.generate]  # each example takes a good second
LOG: dict[str, Any] = {
    "account_id": pl.String,
    "user_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "event": pl.String,
    "feature": pl.String,
    "quantity": pl.Float64,
    "event_id": pl.String,
    "known_at": pl.Datetime("us", "UTC"),
}


@dataclass
class Both:
    """A company that a server hears of as it happens, and the same with all of it in its log."""

    folder: Path
    tables: dict[str, Any]
    workspaces: dict[str, str] = field(default_factory=dict)

    def write(self, log: pl.DataFrame, stream: pl.DataFrame) -> None:
        """Write both logs: the live one ends before the stream."""
        for name, rows in {"live": [log], "whole": [log, stream]}.items():
            for month, part in _months(pl.concat(rows)):
                file = self.folder / name / f"{month:%Y-%m}.parquet"
                file.parent.mkdir(exist_ok=True)
                part.write_parquet(file)

    def settings(self, which: str) -> Settings:
        """The settings of either, each with a state of its own."""
        told = self.folder / "workspaces.csv"
        rows = [f"{workspace},{account}" for workspace, account in self.workspaces.items()]
        told.write_text("\n".join(["workspace_id,account_id", *rows]) + "\n")
        return Settings.model_validate(
            {
                "tables": {
                    "folder": str(self.folder),
                    "events": f"{which}/*.parquet",
                    **self.tables,
                },
                "state": str(self.folder / f"state-{which}"),
                "webhooks": {
                    "segment_secret": SECRET,
                    "generic_secret": SECRET,
                    "workspaces": str(told),
                },
            }
        )


def _months(rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    by = rows.sort("timestamp", maintain_order=True).group_by(
        pl.col("timestamp").dt.date().dt.month_start(), maintain_order=True
    )
    return ((month, part) for (month,), part in by)


def request(rows: Sequence[dict[str, Any]], source: str) -> tuple[dict[str, str], bytes]:
    """As the source would send them, and sign them."""
    shaped = [_segment(row) if source == "segment" else _own(row) for row in rows]
    body = json.dumps(shaped).encode()
    if source == "segment":
        return {"x-signature": hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()}, body
    return {"x-webhook-secret": SECRET}, body


def _own(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in row.items() if name not in {"known_at", "event_id"}}
    return told | {"message_id": row["event_id"], "timestamp": row["timestamp"].isoformat()}


def _segment(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": row["event_id"],
        "userId": row["user_id"],
        "event": row["event"],
        "timestamp": row["timestamp"].isoformat(),
        "context": {"groupId": row["account_id"]},
        "properties": {"feature": row["feature"], "quantity": row["quantity"]},
    }


async def sent(rules: Settings, engine: sa.Engine, rows: Sequence[dict[str, Any]]) -> None:
    """Send rows in the order in which they became known, those of one moment together."""
    store = EventWriter(engine)
    try:
        intake = WebhookHandler(rules.webhooks, store)
        for (now, bare), some in groupby(rows, lambda row: (row["known_at"], row["event"] is None)):
            while part := list(islice(some, 400)):
                # Segment has no event without a name.
                source = "generic" if bare or len(part) % 2 else "segment"
                answer = await intake.handle(source, *request(part, source), now)
                assert (answer.status, answer.body["accepted"]) == (200, len(part))
    finally:
        store.close()


def last_moment(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC)


def compared(both: Both, stream: pl.DataFrame, days: Sequence[date]) -> list[int]:
    """Let a stream come in day by day; on some, what is known must be what a batch knows.

    Returns how many accounts a batch had on each of those days.
    """
    live, whole = both.settings("live"), both.settings("whole")
    engine = store.open_engine(live.database_url)
    first = stream["known_at"].min()
    assert isinstance(first, datetime)
    held = lease.acquire_lease(engine, "parity", lambda: first)
    assert isinstance(held, lease.Lease)
    at_work = consumer.resume_consumer(engine, live, held, first)
    tables, log = training_run.load_data(whole, now=stream["known_at"].max())  # type: ignore[arg-type]
    found = []
    names = {account: name for name, account in both.workspaces.items()}
    for day in days:
        arrived = pl.col("known_at").dt.date().is_between(at_work.offset.day, day)
        some = stream.filter(arrived).sort("known_at", maintain_order=True)
        renamed = some.with_columns(pl.col("account_id").replace(names))
        asyncio.run(sent(live, engine, renamed.to_dicts()))
        while at_work.poll(last_moment(day)):
            pass
        found.append(agreed(at_work, tables, log, day))
        stream = stream.filter(~arrived)
    engine.dispose()
    return found


def agreed(at_work: EventConsumer, tables: Tables, log: Activity, day: date) -> int:
    """Compare what a watcher counts with the panel as of the coming midnight, to the bit."""
    ground = at_work.snapshot
    batch = builder.build_panel(
        log,
        tables,
        [online.next_midnight(day)],
        at_work.settings,
        reference=ground.reference_population,
        months=True,
    )
    listed = batch.months.join(batch.snapshots, on="account_id", maintain_order="left")
    for row in listed.iter_rows(named=True):
        account, counts = row["account_id"], ground.counters
        assert counts.count_active_seats(account, day) == (row["active_seats_m0"] or 0), account
        assert counts.count_api_calls(account, day) == (row["api_calls_m0"] or 0), account
        for limit, name in {"seats": "active_seats", "usage": "api_calls"}.items():
            before = counts.measure_usage_90d_ago(account, limit, day)
            assert before is None or before == (row[f"{name}_m3"] or 0), account
        assert ground.subscriptions.get_terms(account, day).seats == row["licensed_seats"], account
    everybody = tables.accounts.rows["account_id"].to_list()
    with store.read_transaction(at_work.engine) as connection:
        events = reader.load_unlogged_events(
            connection,
            ground.workspaces,
            everybody,
            ground.logged_mask,
            up_to=at_work.offset.position,
        )
    now = online.build_online(
        ground.log,
        ground.tables,
        events,
        accounts=everybody,
        day=day,
        settings=at_work.settings,
        reference=ground.reference_population,
    )
    assert_frame_equal(now.snapshots, batch.snapshots, check_exact=True)
    assert_frame_equal(now.excluded, batch.excluded)
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


def made(drawn: Sequence[Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (account, user, at, event, feature, quantity, f"e-{number}", at + late * HOUR)
            for number, (account, user, days, micros, event, feature, quantity, late) in enumerate(
                drawn
            )
            for at in [START + days * DAY + timedelta(microseconds=micros)]
        ],
        schema=LOG,
        orient="row",
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry, which takes MLflow seconds to make."""
    folder = tmp_path_factory.mktemp("registry")
    assert models.load_for_scoring(Settings.model_validate({"state": str(folder)})) is None
    return folder / "mlflow.db"


@given(rows, st.integers(60, 159), st.sampled_from([{}, {"acme-eu": "acme", "b2": "beta"}]))
@settings(max_examples=8, phases=UNSHRUNK, deadline=None)
def test_random_events_through_the_webhook_count_as_those_of_the_log(
    registry: Path, drawn: list[Any], cut: int, workspaces: dict[str, str]
) -> None:
    last = last_moment(TODAY)
    events = made([("core", "u-0", 0, 0, "use", "reports", None, 0), *drawn])
    is_old = pl.col("known_at") < START + cut * DAY
    stream = events.filter(~is_old, pl.col("known_at") <= last)
    # Something must come, or there is no stream.
    always = made([("acme", "u-9", 159, 0, "use", "forms", None, 20)])
    stream = pl.concat([stream, always]).with_columns(event_id=pl.col("event_id") + "-s")
    with TemporaryDirectory() as place:
        both = Both(Path(place), {}, workspaces)
        both.write(events.filter(is_old), stream)
        small_company(both)
        for which in ("live", "whole"):
            folder = both.settings(which).state_folder
            folder.mkdir(parents=True)
            shutil.copy(registry, folder)
        compared(both, stream, [TODAY - DAY, TODAY])


def small_company(both: Both) -> None:
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
    ).write_parquet(both.folder / "subscriptions.parquet")
    pl.DataFrame({"account_id": ACCOUNTS, "created_date": [began] * 3}).write_parquet(
        both.folder / "accounts.parquet"
    )
    pl.DataFrame(
        {
            "user_id": ["u-1", "u-2", "free"],
            "account_id": ["acme", "acme", "beta"],
            "created_at": [START] * 3,
            "seat_type": ["paid", None, "free"],
            "department": ["sales", "it", None],
        }
    ).write_parquet(both.folder / "users.parquet")
    both.tables |= {
        "subscriptions": "subscriptions.parquet",
        "accounts": "accounts.parquet",
        "users": "users.parquet",
        "time_invariant_attributes": ["seat_type", "department"],
    }


def test_a_month_of_a_company_through_the_webhook_is_what_a_batch_of_it_knows(
    registry: Path, tmp_path: Path
) -> None:
    simulator.write_company(tmp_path, accounts=40, months=12, seed=3, end=TODAY.replace(day=1))
    log = pl.concat(
        [pl.read_parquet(file) for file in sorted((tmp_path / "events").glob("*.parquet"))]
    ).unique("event_id", keep="first", maintain_order=True)
    log = log.select(pl.col(name).cast(kind) for name, kind in LOG.items())
    is_old = pl.col("known_at").fill_null(pl.col("timestamp")) < datetime(2026, 5, 1, tzinfo=UTC)
    stream = log.filter(~is_old)
    # A source that was away for some hours sends what it kept, all at once.
    known = pl.max_horizontal("timestamp", "known_at").dt.truncate("6h").dt.offset_by("6h")
    stream = stream.with_columns(known_at=known)
    both = Both(
        tmp_path,
        {
            "subscriptions": "subscriptions.parquet",
            "accounts": "accounts.parquet",
            "users": "users.parquet",
            "time_invariant_attributes": ["department", "email_domain", "seat_type"],
        },
    )
    both.write(log.filter(is_old), stream)
    for which in ("live", "whole"):
        folder = both.settings(which).state_folder
        folder.mkdir(parents=True)
        shutil.copy(registry, folder)

    counted = compared(both, stream, [date(2026, 5, day) for day in (3, 17, 31)])

    assert min(counted) >= 15
    assert stream.height > 3_000
    engine = store.open_engine(both.settings("live").database_url)
    with store.read_transaction(engine) as connection:
        stored = connection.scalar(sa.select(sa.func.count()).select_from(WEBHOOK_EVENTS))
    engine.dispose()
    assert stored == stream.filter(pl.col("known_at") < datetime(2026, 6, 1, tzinfo=UTC)).height
