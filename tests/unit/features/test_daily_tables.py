"""Cached daily tables: each file read once, atomic writes, nothing counted twice."""

import errno
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.config.settings import RolesConfig, SeatsConfig, Settings
from data.errors import DeliveryError, SourceError
from data.ingest import table_loader
from data.schemas import EventSchema
from features.activity import daily_aggregates, daily_tables

DAY = datetime(2024, 3, 1, tzinfo=UTC)
SCHEMA = EventSchema.create_empty().schema

Row = dict[str, Any]


def make_event(number: int, at: datetime, known: datetime | None = None, **fields: Any) -> Row:
    """Return an event with a unique id."""
    defaults = {"account_id": "acme", "user_id": "ann", "event": "view", "event_id": f"e{number}"}
    return dict.fromkeys(SCHEMA) | defaults | {"timestamp": at, "known_at": known} | fields


JANUARY, FEBRUARY, MARCH = (
    [make_event(100 * month + day, datetime(2024, month, day, 9, tzinfo=UTC)) for day in (1, 9, 20)]
    for month in (1, 2, 3)
)


class Log:
    """A log in monthly files, and the cache folder of its daily tables."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache_folder = folder, folder / "cache"
        accounts = pl.DataFrame({"account_id": ["acme"], "created_date": [DAY]})
        accounts.write_parquet(folder / "accounts.parquet")
        sold = pl.DataFrame({"account_id": ["acme"], "effective_date": [DAY]})
        sold.write_parquet(folder / "subscriptions.parquet")
        self.put("2024-01", JANUARY)
        self.put("2024-02", FEBRUARY)
        self.put("2024-03", MARCH)

    def put(self, name: str, rows: Sequence[Row]) -> None:
        file = self.folder / "events" / f"{name}.parquet"
        file.parent.mkdir(exist_ok=True)
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(file)

    def build(self, **rules: Any) -> daily_tables.Activity:
        tables = table_loader.load_tables(Settings(base=self.folder))
        defaults = {"roles": RolesConfig(), "seats": SeatsConfig()}
        return daily_tables.build_activity(
            tables.events, folder=self.cache_folder, **{**defaults, **rules}
        )

    def tables(self) -> list[pl.DataFrame]:
        """Return the cached tables in a stated order."""
        activity = self.build()
        tables = (activity.people, activity.volume, activity.first_uses)
        return [table.collect().sort(pl.all()) for table in tables]

    def days(self) -> list[int]:
        """Return events per day, in the order of days."""
        counts = self.build().volume.group_by("day").agg(pl.col("count").sum()).sort("day")
        return counts.collect()["count"].to_list()

    def files(self, ending: str = "") -> set[str]:
        return {path.name for path in self.cache_folder.iterdir() if path.name.endswith(ending)}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_log_is_read_once_unless_rebuilt(log: Log) -> None:
    first, again, forced = log.build(), log.build(), log.build(rebuild=True)

    assert (first.rebuilt, again.rebuilt, forced.rebuilt, log.build().rebuilt) == (3, 0, 3, 0)
    assert_frame_equal(again.people.collect(), first.people.collect())
    assert_frame_equal(again.volume.collect(), first.volume.collect())
    assert_frame_equal(again.first_uses.collect(), first.first_uses.collect())


@pytest.mark.parametrize(
    ("month", "rows", "rebuilt"),
    [
        ("2024-04", [make_event(400, datetime(2024, 4, 3, tzinfo=UTC))], 1),
        ("2024-02", [*FEBRUARY, make_event(299, datetime(2024, 2, 28, tzinfo=UTC))], 1),
        ("2024-02", [*FEBRUARY, make_event(99, datetime(2024, 1, 20, 9, tzinfo=UTC))], 2),
        ("2024-02", [*FEBRUARY, JANUARY[-1]], 2),
    ],
    ids=["new file", "changed file", "overlapping file", "one shared timestamp"],
)
def test_only_a_changed_file_and_those_it_overlaps_are_read_again(
    log: Log, month: str, rows: list[Row], rebuilt: int
) -> None:
    log.build()
    before = log.files()
    log.put(month, rows)

    activity = log.build()

    assert activity.rebuilt == rebuilt
    assert activity.events == 10
    assert activity.quarantine.get("duplicate event_id", 0) == (JANUARY[-1] in rows)
    if month == "2024-02":  # its profile, and the tables of all that changed
        assert len(log.files() - before) == 1 + 5 * rebuilt


def test_without_event_ids_no_file_depends_on_another(log: Log) -> None:
    nameless = [row | {"event_id": None} for row in (*JANUARY, *FEBRUARY)]
    for name in ("2024-01", "2024-02", "2024-03"):
        log.put(name, nameless)
    log.build()
    log.put("2024-02", nameless[:-1])

    assert log.build().rebuilt == 1


@pytest.mark.parametrize(
    "rules",
    [
        {"roles": RolesConfig(login=("view",))},
        {"seats": SeatsConfig(events=("edit",))},
        {"known_at_reliable_from": DAY.date()},
    ],
    ids=["roles", "seats", "reliability"],
)
def test_changed_rules_invalidate_the_whole_log(log: Log, rules: dict[str, Any]) -> None:
    log.build()

    assert log.build(**rules).rebuilt == 3


def test_a_touched_file_is_read_again(log: Log) -> None:
    log.build()
    os.utime(log.folder / "events" / "2024-01.parquet", ns=(1, 1))

    assert log.build().rebuilt == 1


def test_duplicates_across_files_count_once_and_are_reported(log: Log) -> None:
    log.put("redelivered", [*JANUARY, *FEBRUARY, MARCH[0]])

    activity = log.build()

    assert activity.quarantine == {"duplicate event_id": 7}
    assert log.days() == [1] * 9


def test_of_two_duplicates_the_one_known_first_counts_in_any_file(log: Log) -> None:
    first = JANUARY[0] | {"quantity": 3.0}
    late = JANUARY[0] | {"known_at": DAY, "quantity": 1.0, "event": "amended"}
    log.put("2024-01", [late, *JANUARY[1:]])
    log.put("redelivered", [first])

    rows = log.build().volume.filter(pl.col("day") == JANUARY[0]["timestamp"].date()).collect()

    assert rows.select("known_day", "quantity_milli").rows() == [
        (JANUARY[0]["timestamp"].date(), 3000)
    ]


def test_a_full_disk_is_reported_and_leaves_no_partial_file(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.build()
    before = log.files(".parquet")
    log.put("2024-02", FEBRUARY[:2])
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", write_half)

        with pytest.raises(DeliveryError, match="No space left on device") as raised:
            log.build()

    assert str(log.cache_folder) in str(raised.value)
    assert log.files(".parquet") == before
    assert log.files() == log.files(".parquet") | log.files(".json")
    assert log.build().rebuilt == 1
    assert log.days() == [1] * 8


def write_half(_: pl.DataFrame, file: Path, **rest: object) -> None:
    file.write_bytes(b"PAR1")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_cannot_be_read_is_named(log: Log) -> None:
    tables = (log.folder / "events" / "2024-02.parquet").read_bytes()
    (log.folder / "events" / "2024-02.parquet").write_bytes(tables[:-20])

    with pytest.raises(SourceError, match=r"2024-02\.parquet"):
        log.build()


def test_the_time_range_and_the_tables_are_those_of_valid_events(log: Log) -> None:
    invalid = [make_event(1, datetime(1970, 1, 1, tzinfo=UTC))]
    log.put("old", invalid)

    some_valid = log.build()
    for name in ("2024-01", "2024-02", "2024-03"):
        log.put(name, invalid)
    none_valid = log.build()

    first, last = JANUARY[0]["timestamp"].date(), MARCH[-1]["timestamp"].date()
    assert (some_valid.first_day, some_valid.last_day) == (first, last)
    assert (none_valid.first_day, none_valid.last_day, none_valid.events) == (None, None, 4)
    assert sum(none_valid.quarantine.values()) == 4
    for table in (none_valid.people, none_valid.volume, none_valid.first_uses):
        assert table.collect().is_empty()


# ---- One function, several engines

instants = st.sampled_from(
    [
        DAY + timedelta(days=days, microseconds=tick)
        for days in (0, 1, 45)
        for tick in (-1, 0, 1, 43_200_000_000)
    ]
)
happenings = st.builds(
    make_event,
    st.integers(0, 9),
    instants,
    st.none() | instants,
    account_id=st.sampled_from(["acme", "beta"]),
    user_id=st.sampled_from(["ann", "bob", None]),
    event=st.sampled_from(["view", "edit", "api_call", "login", "nps", None]),
    feature=st.sampled_from([None, "slack"]),
    quantity=st.sampled_from([None, 0.0, 0.0005, 0.0015, 2.5, 1e12]),
)


def classify(rows: list[Row], **rules: Any) -> nw.LazyFrame[Any]:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    defaults = {"roles": RolesConfig(), "seats": SeatsConfig()}
    return daily_aggregates.classify_events(nw.from_native(frame.lazy()), **{**defaults, **rules})


@settings(max_examples=25, deadline=None)
@given(
    st.lists(happenings, max_size=12),
    st.sampled_from([None, DAY.date()]),
    st.sampled_from([DAY + timedelta(days=days) for days in (0, 1, 2, 45, 46)]),
)
def test_first_uses_give_the_first_use_known_at_any_time(
    rows: list[Row], reliable_from: Any, moment: datetime
) -> None:
    named = classify(rows, known_at_reliable_from=reliable_from)

    activity = daily_aggregates.first_seen_user_feature(named).to_native()

    keys = daily_aggregates.FIRST_SEEN_KEYS["first_uses"]
    known = pl.col("known_day") < moment.date()
    used = named.to_native().filter(pl.col("role") == "use", pl.col("user_id").is_not_null())
    result, expected = (
        table.filter(known).group_by(keys).agg(pl.col("day").min()).collect()
        for table in (activity, used)
    )
    assert_frame_equal(result, expected, check_row_order=False)


def test_hours_of_use_are_bits_and_an_hour_counts_once() -> None:
    hours = [(0, "view"), (0, "view"), (9, "view"), (23, "edit"), (11, "login")]
    rows = [make_event(n, DAY + timedelta(hours=h), event=e) for n, (h, e) in enumerate(hours)]

    activity = daily_aggregates.aggregate_user_activity(classify(rows)).to_native().collect()

    assert activity["hours"].to_list() == [1 + 2**9 + 2**23]


def test_an_engine_in_another_time_zone_is_rejected() -> None:
    frame = pl.DataFrame(JANUARY, schema=SCHEMA)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        relation: Any = nw.from_native(connection.from_arrow(frame.to_arrow()))

        with pytest.raises(SourceError, match="America/New_York"):
            daily_aggregates.classify_events(relation, roles=RolesConfig(), seats=SeatsConfig())


def test_roles_follow_the_event_names_in_the_settings() -> None:
    rows = [make_event(n, DAY, event=name) for n, name in enumerate(["signin", "login", None])]

    activity = classify(rows, roles=RolesConfig(login=("signin",)))

    result = activity.to_native().sort("feature").select("feature", "role", "seat").collect()
    assert result.rows() == [
        ("login", "use", True),
        ("signin", "login", False),
        ("use", "use", True),
    ]


@pytest.mark.parametrize(
    "ending", [".profile.json", ".people.parquet", ".volume.parquet", ".first_uses.parquet"]
)
def test_a_damaged_table_is_rebuilt(log: Log, ending: str) -> None:
    tables = log.tables()
    (log.cache_folder / sorted(log.files(ending))[0]).write_bytes(b"PAR1 {")

    again = log.tables()

    for left, right in zip(again, tables, strict=True):
        assert_frame_equal(left, right)


# ---- Cache eviction

DAYS = 86_400


def set_age(log: Log, days: float) -> None:
    """Set the last use of all cached files to some days ago."""
    for file in log.cache_folder.iterdir():
        stamp = file.stat().st_mtime - days * DAYS
        os.utime(file, (stamp, stamp))


def test_a_superseded_table_is_kept_for_a_day(log: Log) -> None:
    first = log.build()
    rows = len(log.files())
    log.put("2024-02", FEBRUARY[:2])

    log.build()

    assert first.volume.select(pl.col("count").sum()).collect().item() == 9
    set_age(log, 1.1)
    log.build()
    assert len(log.files()) == rows


@pytest.mark.parametrize(("days", "stay"), [(29, True), (31, False)])
def test_the_tables_of_a_removed_file_are_evicted_after_a_month(
    log: Log, days: float, stay: bool
) -> None:
    log.build()
    rows = len(log.files())
    (log.folder / "events" / "2024-03.parquet").unlink()
    set_age(log, days)

    log.build()

    assert len(log.files()) == (rows if stay else rows * 2 // 3)


def test_runs_with_different_rules_keep_each_others_tables(log: Log) -> None:
    default = log.build()
    other = log.build(roles=RolesConfig(login=("view",)))
    set_age(log, 2)

    again = log.build()

    assert again.rebuilt == 0
    assert default.people.collect().height == 9
    assert other.people.collect().height == 0
    assert log.build(roles=RolesConfig(login=("view",))).rebuilt == 0


def test_the_draft_of_a_killed_run_is_evicted_after_a_day(log: Log) -> None:
    log.build()
    draft = log.cache_folder / ".x-y-z.people.parquet.1-2.draft"
    draft.write_bytes(b"PAR1")
    log.build()
    assert draft.exists()
    os.utime(draft, (1, 1))

    log.build()

    assert not draft.exists()


def test_files_in_use_are_never_evicted(log: Log) -> None:
    log.build()
    set_age(log, 400)

    assert log.build().rebuilt == 0
    assert log.build().rebuilt == 0


# ---- Compaction of closed months


def first_uses(log: Log) -> list[tuple[Any, ...]]:
    columns = ["account_id", "user_id", "feature", "day", "known_day"]
    return log.build().first_uses.collect().select(columns).sort(columns).rows()


@pytest.fixture
def year(log: Log) -> Log:
    """Return a log in which Ann views every month, and Bob joins in April."""
    for month in range(4, 8):
        rows = [make_event(1000 + month, datetime(2024, month, 5, tzinfo=UTC))]
        bob = make_event(2000 + month, datetime(2024, month, 6, tzinfo=UTC), user_id="bob")
        log.put(f"2024-{month:02}", [*rows, bob])
    return log


def test_compacted_months_hold_each_first_use_once(year: Log) -> None:
    result = first_uses(year)

    assert [row[3].month for row in result if row[1] == "ann"] == [1, 6, 7]
    assert [row[3].month for row in result if row[1] == "bob"] == [4, 6, 7]


def test_a_late_row_of_a_closed_month_is_compacted_again(year: Log) -> None:
    year.build()
    early = make_event(1, datetime(2024, 2, 2, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    year.put("2024-02", [*FEBRUARY, early | {"user_id": "bob"}])

    bob = [row for row in first_uses(year) if row[1] == "bob"]

    # In May it was not yet known that Bob had joined in February.
    assert [(row[3].month, row[4].month) for row in bob] == [(2, 6), (4, 4), (6, 6), (7, 7)]


def test_a_new_week_leaves_the_compacted_months_unchanged(year: Log) -> None:
    year.build()
    before = {
        name: (year.cache_folder / name).read_bytes() for name in year.files("first_uses.parquet")
    }
    year.put("2024-07b", [make_event(3000, datetime(2024, 7, 20, tzinfo=UTC))])

    year.build()

    after = {name: (year.cache_folder / name).read_bytes() for name in before}
    assert after == before
    assert len(year.files("first_uses.parquet")) == len(before) + 1


def test_the_log_start_is_known_per_as_of(log: Log) -> None:
    log.put("2024-04", [make_event(400, DAY - timedelta(days=200), known=DAY)])
    as_ofs = [
        datetime(2024, 1, 1, tzinfo=UTC),
        DAY - timedelta(days=1),
        DAY,
        DAY + timedelta(days=1),
    ]

    began = log.build().find_log_starts(as_ofs)

    assert began == [None, date(2024, 1, 1), date(2024, 1, 1), date(2023, 8, 14)]


def test_events_from_before_an_account_was_created_are_known_from_then_on(log: Log) -> None:
    created = pl.DataFrame({"account_id": ["acme"], "created_date": [DAY + timedelta(days=3)]})

    early, defaults = log.build(accounts=created), log.build()

    for name in ("people", "volume", "first_uses", "first_people", "first_features"):
        default, other = (
            getattr(activity, name).collect().sort(pl.all()) for activity in (early, defaults)
        )
        day = pl.lit((DAY + timedelta(days=3)).date())
        assert_frame_equal(
            default, other.with_columns(pl.max_horizontal("known_day", day)).sort(pl.all())
        )
