"""Spark gives the same results as Polars: rows, duplicates and rejects."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import boto3
import narwhals as nw
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal
from pyarrow import parquet

from data import simulator
from data.config import settings
from data.config.settings import EngineConfig, RolesConfig, SeatsConfig
from data.errors import DeliveryError, SettingsError, SourceError
from data.ingest import table_loader
from data.schemas import EventSchema
from features.activity import cache, daily_aggregates, daily_tables, load
from features.activity.daily_tables import Activity
from features.activity.spark import spark_engine, worker
from features.activity.spark.session import open_session
from features.panel import builder, monthly
from serving.cli.main import main
from tests import ROOT
from tests.fakes import object_store
from training.evaluation import splits

OPENSTACK = ROOT / "data/examples/openstack.toml"
SCHEMA = EventSchema.create_empty().schema
DAY = datetime(2024, 3, 1, tzinfo=UTC)
SPARK = EngineConfig(
    kind="spark",
    master="local[2]",
    task_rows=1_500,  # small files in several slices
    options={
        "spark.sql.shuffle.partitions": "1",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",  # short jobs
    },
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """Start an S3 server; Spark's workers inherit its environment variables."""
    with object_store.serve_s3() as url, pytest.MonkeyPatch.context() as patch:
        object_store.set_environment(patch, url)
        yield url


@pytest.fixture(scope="module")
def spark(store: str) -> Iterator[Any]:
    """Start one session for all tests; the engine joins it."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java here")
    pytest.importorskip("pyspark", reason="the extra spark is not installed")
    session = open_session(SPARK)
    yield session
    session.stop()


def built(log: table_loader.Tables, folder: Path, engine: EngineConfig, **rules: Any) -> Activity:
    defaults = {"roles": RolesConfig(), "seats": SeatsConfig()}
    return daily_tables.build_activity(
        log.events, folder=folder, engine=engine, **{**defaults, **rules}
    )


def build_both(log: table_loader.Tables, folder: Path, **rules: Any) -> tuple[Activity, Activity]:
    """Return the activity of a log as built by Polars and by Spark."""
    return tuple(  # type: ignore[return-value]
        built(log, folder / engine.kind, engine, **rules) for engine in (EngineConfig(), SPARK)
    )


def assert_same_rows(with_polars: Activity, with_spark: Activity) -> None:
    for table in ("people", "volume", "first_uses", "first_people", "first_features"):
        left, right = (getattr(activity, table).collect() for activity in (with_polars, with_spark))
        assert left.schema == right.schema
        assert_frame_equal(ordered(right), ordered(left))


def assert_same(with_polars: Activity, with_spark: Activity) -> None:
    assert_same_rows(with_polars, with_spark)
    for name in ("events", "machine_events", "quarantine", "first_day", "last_day", "rebuilt"):
        assert getattr(with_spark, name) == getattr(with_polars, name), name


def ordered(table: pl.DataFrame) -> pl.DataFrame:
    names = [name for name, kind in table.schema.items() if kind == pl.Categorical]
    return table.with_columns(pl.col(names).cast(pl.String)).sort(pl.all())


# ---- Synthetic rows


def make_edge_cases() -> list[Row]:
    """Return every combination of special cases, each at the edge of a day."""
    ticks = [timedelta(days=days, microseconds=tick) for days in (0, 31) for tick in (-1, 0)]
    combinations = product(
        ("acme", "beta"),
        ("ann", "bob@acme.test", "", None),
        ("view", "api_call", "login", None),
        (None, "slack"),
        ticks,
        (None, timedelta(0), timedelta(days=40)),
    )
    quantities = [None, 0.0, 0.0005, 0.0015, 0.3, 2.5, 1e12]
    return [
        {
            "account_id": account,
            "user_id": user,
            "timestamp": DAY + tick,
            "event": event,
            "feature": feature,
            "quantity": quantities[number % len(quantities)],
            # Some ids twice, some three times, some null, some in another file.
            "event_id": None if number % 11 == 0 else f"e{number * 7 % 700}",
            "known_at": None if lag is None else DAY + tick + lag,
        }
        for number, (account, user, event, feature, tick, lag) in enumerate(combinations)
    ]


SMALL: dict[str, Any] = {
    "subscriptions": pl.DataFrame({"account_id": ["acme"], "effective_date": [DAY]}),
    "accounts": pl.DataFrame({"account_id": ["acme", "beta"], "created_date": [DAY, DAY]}),
}


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.DataFrame(make_edge_cases(), schema=SCHEMA)


class Log:
    """A log in files, and its company's other tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, table in SMALL.items():
            table.write_parquet(folder / f"{name}.parquet")

    def put(self, name: str, rows: pl.DataFrame) -> Path:
        file = self.folder / "events" / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith(".csv"):
            rows.write_csv(file)
        else:
            rows.write_parquet(file, row_group_size=500)
        return file

    def tables(self, **engine_section: Any) -> table_loader.Tables:
        return table_loader.load_tables(
            settings.Settings(base=self.folder, tables={"events": "events", **engine_section})
        )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.mark.spark
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {
            "roles": RolesConfig(login=("view",)),
            "seats": SeatsConfig(events=("view", "login")),
            "known_at_reliable_from": DAY.date(),
        },
    ],
    ids=["usual rules", "other rules"],
)
def test_edge_case_rows_give_the_same_tables(
    spark: Any, rows: pl.DataFrame, tmp_path: Path, rules: dict[str, Any]
) -> None:
    early = rows.filter(rows["timestamp"] < DAY + timedelta(days=30))
    tables = table_loader.tables_from_frames([early, rows], **SMALL)

    with_polars, with_spark = build_both(tables, tmp_path, **rules)

    assert with_polars.quarantine["duplicate event_id"] > 300
    assert_same(with_polars, with_spark)


@pytest.fixture
def cached_log(rows: pl.DataFrame, tmp_path: Path) -> tuple[Activity, Activity]:
    """Return one log of several months, cached once, for aggregation by Polars and Spark."""
    months = [
        rows.with_columns(pl.col("timestamp", "known_at") + timedelta(days=days, hours=5))
        for days in (0, 1, 61, 122)
    ]
    tables = table_loader.tables_from_frames(months, **SMALL)
    polars, spark = (tmp_path / f"{name} {{in}} [its] own* \\ place" for name in ("here", "there"))
    # All events of the second account's first months precede its creation.
    created = [DAY - timedelta(days=400), DAY + timedelta(days=65)]
    exist = pl.DataFrame({"account_id": ["beta", "gamma"], "created_date": created})
    rules = {"accounts": exist}
    with_polars = built(tables, polars, EngineConfig(), **rules)
    shutil.copytree(polars, spark)
    merged = list(spark.glob(f"{cache.hash_strings('first days')}-*"))
    assert len(merged) == len(daily_aggregates.FIRST_SEEN_KEYS)
    for file in merged:
        file.unlink()
    return with_polars, built(tables, spark, SPARK.model_copy(update={"task_rows": 40}), **rules)


@pytest.mark.spark
def test_edge_case_rows_are_aggregated_the_same(
    spark: Any, cached_log: tuple[Activity, Activity], tmp_path: Path
) -> None:
    anchor = DAY + timedelta(days=155)

    with_polars, with_spark = (
        monthly.aggregate_monthly(log, anchor, months=5, detail_months=2) for log in cached_log
    )

    assert_same_rows(*cached_log)
    for name in ("people", "roles", "features", "first_uses", "first_people", "first_features"):
        left, right = (getattr(activity, name) for activity in (with_polars, with_spark))
        assert not left.is_empty(), name
        assert right.schema == left.schema
        assert_frame_equal(ordered(right), ordered(left))
    assert not list(tmp_path.glob("there*/.*")), "drafts were left"


@pytest.mark.spark
def test_workers_aggregate_all_rows_of_a_key_together(
    spark: Any, cached_log: tuple[Activity, Activity]
) -> None:
    person = ["account_id", "user_id"]

    def persons(rows: pl.LazyFrame) -> pl.DataFrame:
        result = rows.group_by(person).agg(pl.len().cast(pl.Int64))
        return result.with_columns(process=pl.lit(os.getpid())).collect()

    with_polars, with_spark = (
        log.aggregate("people", person, persons, since=DAY.date()) for log in cached_log
    )

    assert_frame_equal(ordered(with_spark.drop("process")), ordered(with_polars.drop("process")))
    assert os.getpid() not in with_spark["process"]


@pytest.mark.spark
def test_a_failed_aggregation_leaves_no_drafts(
    spark: Any, cached_log: tuple[Activity, Activity], tmp_path: Path
) -> None:
    def late(rows: pl.LazyFrame) -> pl.DataFrame:
        if rows.filter(pl.col("user_id") == "ann").collect().height:
            raise DeliveryError("no room for ann")
        return rows.collect()

    with pytest.raises(DeliveryError, match="no room for ann"):
        cached_log[1].aggregate("people", ["user_id"], late)

    assert not list(tmp_path.glob("there*/.*"))


@pytest.mark.spark
def test_files_of_every_format_give_the_same_tables(
    spark: Any, rows: pl.DataFrame, log: Log
) -> None:
    instant = pl.col("timestamp")
    local = instant.dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None)
    log.put("categories.parquet", rows.cast({"account_id": pl.Categorical}))
    log.put("nanoseconds.parquet", rows.with_columns(instant.cast(pl.Datetime("ns", "UTC"))))
    log.put("another zone.parquet", rows.with_columns(instant.dt.convert_time_zone("Asia/Tokyo")))
    log.put("no zone.parquet", rows.with_columns(local))
    log.put("numbers.parquet", rows.with_columns(user_id=pl.int_range(pl.len()).cast(pl.UInt64)))
    log.put(
        "more columns.parquet", rows.with_columns(page=pl.struct(a=1), took=pl.duration(days=1))
    )
    log.put("text.csv", rows)
    parquet.write_table(
        rows.drop("known_at").to_arrow(),
        log.put("96 bits.parquet", rows),
        use_deprecated_int96_timestamps=True,
        row_group_size=300,
    )

    with_polars, with_spark = build_both(log.tables(time_zone="Europe/Berlin"), log.folder)

    assert with_polars.events == 8 * rows.height
    assert_same(with_polars, with_spark)


@pytest.mark.spark
def test_rejects_and_duplicates_across_files_are_counted_the_same(
    spark: Any, tmp_path: Path
) -> None:
    simulator.write_company(tmp_path, accounts=15, months=3, seed=5, corruption=0.03)
    first, *_, last = sorted((tmp_path / "events").glob("*.parquet"))
    again = pl.concat([pl.read_parquet(first).tail(400), pl.read_parquet(last).head(300)])
    again.write_parquet(first.with_name("redelivered.parquet"))
    tables = table_loader.load_tables(
        settings.load_settings(tmp_path / "expansion.toml"), datetime.now(UTC)
    )

    with_polars, with_spark = build_both(tables, tmp_path)

    assert len(with_polars.quarantine) > 5
    assert with_polars.quarantine["duplicate event_id"] > 500
    assert_same(with_polars, with_spark)


@pytest.mark.spark
def test_objects_of_a_store_are_read_by_the_workers(
    spark: Any, store: str, rows: pl.DataFrame, log: Log
) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="warehouse")
    for name in ("1.parquet", "2.parquet"):
        client.upload_file(str(log.put(name, rows)), "warehouse", f"events/{name}")

    with_polars, with_spark = build_both(
        log.tables(events="s3a://warehouse/events/*.parquet"), log.folder
    )

    assert with_polars.events == 2 * rows.height
    assert_same(with_polars, with_spark)


@pytest.mark.spark
def test_a_second_run_of_either_engine_rebuilds_nothing_and_reads_without_spark(
    spark: Any, rows: pl.DataFrame, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.put("1.parquet", rows)
    first = built(log.tables(), log.folder / "cache", SPARK)
    monkeypatch.setattr(spark_engine, "open_session", lambda _: pytest.fail("Spark was started"))

    again = built(log.tables(), log.folder / "cache", SPARK)
    with_polars = built(log.tables(), log.folder / "cache", EngineConfig())

    assert (first.rebuilt, again.rebuilt, with_polars.rebuilt) == (1, 0, 0)


@pytest.mark.spark
def test_a_log_without_valid_events_is_an_empty_activity(
    spark: Any, rows: pl.DataFrame, log: Log
) -> None:
    log.put("1.parquet", rows.with_columns(timestamp=pl.lit(datetime(1970, 1, 1, tzinfo=UTC))))
    log.put("2.parquet", rows.with_columns(user_id=pl.lit(None, pl.String)))

    with_polars, with_spark = build_both(log.tables(), log.folder)

    assert with_spark.people.collect().is_empty()
    assert_same(with_polars, with_spark)


@pytest.mark.spark
def test_a_damaged_file_gives_a_one_line_error(spark: Any, rows: pl.DataFrame, log: Log) -> None:
    damage(log.put("1.parquet", pl.concat([rows] * 4)))

    with pytest.raises(SourceError, match=r"^events: events/1\.parquet cannot be read"):
        built(log.tables(), log.folder / "cache", SPARK)


@pytest.mark.spark
def test_a_failed_job_leaves_no_partial_file(spark: Any, rows: pl.DataFrame, log: Log) -> None:
    log.put("1.parquet", rows.head(100))
    broken, folder = log.put("2.parquet", pl.concat([rows] * 4)), log.folder / "cache"
    built(log.tables(), folder, SPARK)
    surveys, stamp = sorted(folder.glob("*.json")), broken.stat().st_mtime_ns
    for table in folder.glob("*.parquet"):
        table.unlink()
    damage(broken)
    os.utime(broken, ns=(stamp, stamp))  # the profile is still valid, the rows are damaged

    with pytest.raises(SourceError, match=r"^events: events/2\.parquet cannot be read"):
        built(log.tables(), folder, SPARK)

    assert sorted(folder.iterdir()) == surveys


def damage(file: Path) -> None:
    """Overwrite the last rows and keep the footer."""
    last = parquet.read_metadata(file)
    group = last.row_group(last.num_row_groups - 1)
    offsets = [group.column(number).dictionary_page_offset for number in range(8)]
    start = min(offset for offset in offsets if offset)
    content = bytearray(file.read_bytes())
    content[start : start + 500] = b"\xff" * 500
    file.write_bytes(content)


@pytest.mark.spark
def test_a_session_in_another_time_zone_is_rejected(spark: Any, rows: pl.DataFrame) -> None:
    elsewhere = spark.newSession()
    elsewhere.conf.set("spark.sql.session.timeZone", "America/New_York")
    frame = elsewhere.createDataFrame([(DAY,)], "timestamp timestamp")

    with pytest.raises(SourceError, match="America/New_York"):
        daily_aggregates.classify_events(
            nw.from_native(frame), roles=RolesConfig(), seats=SeatsConfig()
        )


# ---- End to end


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=30, months=9, seed=7, corruption=0.01)
    return folder


def panels(config: settings.Settings, as_ofs: int) -> list[builder.Panel]:
    """Return the panel of the log's last months, by Polars and by Spark."""
    activity = []
    for engine in (EngineConfig(), SPARK.model_copy(update={"task_rows": 50_000})):
        state = f"state-{engine.kind}"
        chosen = config.model_copy(update={"engine": engine, "state": state})
        tables, log = load.load_data(chosen, now=datetime.now(UTC))
        assert log.last_day is not None
        end = splits.to_utc_midnight(log.last_day + timedelta(days=1))
        back = [end - timedelta(days=30 * month) for month in range(as_ofs)]
        activity.append(builder.build_panel(log, tables, back, chosen))
    return activity


@pytest.mark.spark
def test_a_company_has_the_same_panel(spark: Any, company: Path) -> None:
    with_polars, with_spark = panels(settings.load_settings(company / "expansion.toml"), as_ofs=3)

    assert with_polars.snapshots.height > 50
    assert_frame_equal(with_spark.snapshots, with_polars.snapshots, check_exact=True)
    assert_frame_equal(with_spark.excluded, with_polars.excluded, check_exact=True)


@pytest.mark.slow
@pytest.mark.spark
def test_a_real_log_has_the_same_panel(spark: Any, tmp_path: Path) -> None:
    config = settings.load_settings(OPENSTACK)
    folder = config.base / config.tables.folder
    if not folder.exists():
        pytest.skip(f"no data at {folder}")
    tables = config.tables.model_copy(update={"folder": str(folder)})

    with_polars, with_spark = panels(
        config.model_copy(update={"base": tmp_path, "tables": tables}), as_ofs=36
    )

    assert with_polars.snapshots.height > 500
    assert_frame_equal(with_spark.snapshots, with_polars.snapshots, check_exact=True)


@pytest.mark.spark
def test_the_check_command_prints_the_same(spark: Any, company: Path) -> None:
    config = company / "expansion.toml"
    configs = {"polars": config, "spark": company / "spark.toml"}
    options = "options = {'spark.sql.shuffle.partitions' = '1'}"
    engine_section = f'[engine]\nkind = "spark"\nmaster = "local[2]"\n{options}\n'
    name = config.read_text().replace('state = "."', 'state = "spark"')
    configs["spark"].write_text(f"{name}\n{engine_section}")

    with_polars, with_spark = (
        CliRunner().invoke(main, ["check", "-c", str(file), "--json"]) for file in configs.values()
    )

    assert with_polars.exit_code == with_spark.exit_code == 0, with_spark.output
    assert json.loads(with_spark.stdout) == json.loads(with_polars.stdout)


# ---- Without Spark


def test_without_java_the_error_names_what_to_install(
    rows: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(SettingsError, match=r"needs Java 17 or later.*or set kind = \"polars\""):
        built(table_loader.tables_from_frames(rows, **SMALL), tmp_path, SPARK)


def test_without_pyspark_the_error_names_what_to_install(
    rows: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)

    with pytest.raises(SettingsError, match=r"needs PySpark.*pip install '\.\[spark\]'"):
        built(table_loader.tables_from_frames(rows, **SMALL), tmp_path, SPARK)


def test_a_spark_connect_server_is_rejected() -> None:
    with pytest.raises(ValueError, match="not Spark Connect"):
        EngineConfig(kind="spark", master="sc://cluster:15002")


def test_a_failed_task_deletes_its_drafts(tmp_path: Path) -> None:
    schema = pl.Schema({"account_id": pl.Categorical(), "count": pl.Int64()})
    part = pl.DataFrame({"file": pl.Series([0, 1], dtype=pl.Int32), "account_id": "a", "count": 1})

    def batches() -> Iterator[Any]:
        yield from part.to_arrow().to_batches()
        raise OSError(errno.ENOSPC, "No space left on device")

    files = [tmp_path / "1.people.parquet", tmp_path / "2.people.parquet"]

    with pytest.raises(DeliveryError, match="No space left on device"):
        list(worker.write_drafts(batches(), files=files, schema=schema, copies={}))

    assert list(tmp_path.iterdir()) == []
