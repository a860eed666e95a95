"""The kept daily tables: each file read once, nothing half-written, nothing counted twice."""

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

from data.config.settings import Roles, Seats, Settings
from data.errors import DeliveryError, SourceError
from data.ingest import table_loader
from data.schemas import EventSchema
from features.activity import daily_aggregates, daily_tables

DAY = datetime(2024, 3, 1, tzinfo=UTC)
SCHEMA = EventSchema.create_empty().schema

Row = dict[str, Any]


def happening(number: int, at: datetime, known: datetime | None = None, **more: Any) -> Row:
    """An event with its own id."""
    usual = {"account_id": "acme", "user_id": "ann", "event": "view", "event_id": f"e{number}"}
    return dict.fromkeys(SCHEMA) | usual | {"timestamp": at, "known_at": known} | more


JANUARY, FEBRUARY, MARCH = (
    [happening(100 * month + day, datetime(2024, month, day, 9, tzinfo=UTC)) for day in (1, 9, 20)]
    for month in (1, 2, 3)
)


class Log:
    """A log in monthly files, and the folder where its daily tables are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, folder / "kept"
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
        usual = {"roles": Roles(), "seats": Seats()}
        return daily_tables.build_activity(tables.events, folder=self.kept, **{**usual, **rules})

    def tables(self) -> list[pl.DataFrame]:
        """The kept tables in a stated order."""
        made = self.build()
        tables = (made.people, made.volume, made.first_uses)
        return [table.collect().sort(pl.all()) for table in tables]

    def days(self) -> list[int]:
        """Events per day, in the order of days."""
        counts = self.build().volume.group_by("day").agg(pl.col("count").sum()).sort("day")
        return counts.collect()["count"].to_list()

    def files(self, ending: str = "") -> set[str]:
        return {path.name for path in self.kept.iterdir() if path.name.endswith(ending)}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_log_is_read_once(log: Log) -> None:
    first = log.build()

    again = log.build()

    assert (first.rebuilt, again.rebuilt) == (3, 0)
    assert_frame_equal(again.people.collect(), first.people.collect())
    assert_frame_equal(again.volume.collect(), first.volume.collect())
    assert_frame_equal(again.first_uses.collect(), first.first_uses.collect())


def test_a_log_is_read_again_when_asked(log: Log) -> None:
    log.build()

    again = log.build(rebuild=True)

    assert again.rebuilt == 3
    assert log.build().rebuilt == 0


def test_a_new_file_leaves_the_others_kept(log: Log) -> None:
    log.build()
    log.put("2024-04", [happening(400, datetime(2024, 4, 3, tzinfo=UTC))])

    made = log.build()

    assert made.rebuilt == 1
    assert made.events == 10


def test_a_changed_file_alone_is_read_again_and_replaces_its_table(log: Log) -> None:
    log.build()
    before = log.files()
    log.put("2024-02", [*FEBRUARY, happening(299, datetime(2024, 2, 28, tzinfo=UTC))])

    made = log.build()

    assert made.rebuilt == 1
    assert made.events == 10
    assert len(log.files() - before) == 6  # the tables and the survey of February


def test_a_changed_file_makes_those_that_overlap_it_be_read_again(log: Log) -> None:
    log.build()
    log.put("2024-02", [*FEBRUARY, happening(99, datetime(2024, 1, 20, 9, tzinfo=UTC))])

    assert log.build().rebuilt == 2


def test_files_that_only_touch_in_one_moment_overlap(log: Log) -> None:
    log.build()
    log.put("2024-02", [*FEBRUARY, JANUARY[-1]])

    made = log.build()

    assert made.rebuilt == 2
    assert made.quarantine == {"event_id seen before": 1}


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
        {"roles": Roles(login=("view",))},
        {"seats": Seats(events=("edit",))},
        {"known_at_reliable_from": DAY.date()},
    ],
    ids=["roles", "seats", "reliability"],
)
def test_other_rules_make_the_whole_log_be_read_again(log: Log, rules: dict[str, Any]) -> None:
    log.build()

    assert log.build(**rules).rebuilt == 3


def test_a_touched_file_is_read_again(log: Log) -> None:
    log.build()
    os.utime(log.folder / "events" / "2024-01.parquet", ns=(1, 1))

    assert log.build().rebuilt == 1


def test_copies_across_files_count_once_and_are_counted_as_copies(log: Log) -> None:
    log.put("redelivered", [*JANUARY, *FEBRUARY, MARCH[0]])

    made = log.build()

    assert made.quarantine == {"event_id seen before": 7}
    assert log.days() == [1] * 9


def test_of_two_copies_the_one_known_first_counts_in_whichever_file_it_lies(log: Log) -> None:
    first = JANUARY[0] | {"quantity": 3.0}
    late = JANUARY[0] | {"known_at": DAY, "quantity": 1.0, "event": "amended"}
    log.put("2024-01", [late, *JANUARY[1:]])
    log.put("redelivered", [first])

    kept = log.build().volume.filter(pl.col("day") == JANUARY[0]["timestamp"].date()).collect()

    assert kept.select("known_day", "quantity_milli").rows() == [
        (JANUARY[0]["timestamp"].date(), 3000)
    ]


def test_a_copy_that_is_known_later_changes_not_a_byte(log: Log) -> None:
    first = log.tables()
    log.put("redelivered", [row | {"known_at": DAY} for row in JANUARY])

    again = log.tables()

    assert [table.write_csv() for table in again] == [table.write_csv() for table in first]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_half_written(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.build()
    before = log.files(".parquet")
    log.put("2024-02", FEBRUARY[:2])
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", half_written)

        with pytest.raises(DeliveryError, match="No space left on device") as raised:
            log.build()

    assert str(log.kept) in str(raised.value)
    assert log.files(".parquet") == before
    assert log.files() == log.files(".parquet") | log.files(".json")
    assert log.build().rebuilt == 1
    assert log.days() == [1] * 8


def half_written(_: pl.DataFrame, file: Path, **rest: object) -> None:
    file.write_bytes(b"PAR1")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_cannot_be_read_is_named(log: Log) -> None:
    whole = (log.folder / "events" / "2024-02.parquet").read_bytes()
    (log.folder / "events" / "2024-02.parquet").write_bytes(whole[:-20])

    with pytest.raises(SourceError, match=r"2024-02\.parquet"):
        log.build()


def test_a_log_without_valid_events_is_an_empty_activity(log: Log) -> None:
    for name in ("2024-01", "2024-02", "2024-03"):
        log.put(name, [happening(1, datetime(1970, 1, 1, tzinfo=UTC))])

    made = log.build()

    assert made.people.collect().is_empty()
    assert made.volume.collect().is_empty()
    assert made.first_uses.collect().is_empty()
    assert (made.first_day, made.last_day, made.events) == (None, None, 3)
    assert sum(made.quarantine.values()) == 3


def test_the_span_of_the_log_is_that_of_its_valid_events(log: Log) -> None:
    log.put("old", [happening(1, datetime(1970, 1, 1, tzinfo=UTC))])

    made = log.build()

    assert (made.first_day, made.last_day) == (
        JANUARY[0]["timestamp"].date(),
        MARCH[-1]["timestamp"].date(),
    )


# ---- One function, several engines

instants = st.sampled_from(
    [
        DAY + timedelta(days=days, microseconds=tick)
        for days in (0, 1, 45)
        for tick in (-1, 0, 1, 43_200_000_000)
    ]
)
happenings = st.builds(
    happening,
    st.integers(0, 9),
    instants,
    st.none() | instants,
    account_id=st.sampled_from(["acme", "beta"]),
    user_id=st.sampled_from(["ann", "bob", None]),
    event=st.sampled_from(["view", "edit", "api_call", "login", "nps", None]),
    feature=st.sampled_from([None, "slack"]),
    quantity=st.sampled_from([None, 0.0, 0.0005, 0.0015, 2.5, 1e12]),
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(happenings, max_size=12),
    st.sampled_from([None, DAY.date()]),
    st.sampled_from([DAY + timedelta(days=days) for days in (0, 1, 2, 45, 46)]),
)
def test_first_uses_know_at_any_moment_whose_first_use_was_known_and_when(
    rows: list[Row], reliable_from: Any, moment: datetime
) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    named = daily_aggregates.classify_events(
        nw.from_native(frame.lazy()),
        roles=Roles(),
        seats=Seats(),
        known_at_reliable_from=reliable_from,
    )

    made = daily_aggregates.first_seen_user_feature(named).to_native()

    keys, known = daily_aggregates.FIRST_USES_KEYS, pl.col("known_day") < moment.date()
    used = named.to_native().filter(pl.col("role") == "use", pl.col("user_id").is_not_null())
    found, expected = (
        table.filter(known).group_by(keys).agg(pl.col("day").min()).collect()
        for table in (made, used)
    )
    assert_frame_equal(found, expected, check_row_order=False)


def test_hours_of_use_are_bits_and_an_hour_counts_once() -> None:
    hours = [(0, "view"), (0, "view"), (9, "view"), (23, "edit"), (11, "login")]
    rows = [happening(n, DAY + timedelta(hours=h), event=e) for n, (h, e) in enumerate(hours)]
    frame = pl.DataFrame(rows, schema=SCHEMA)

    named = daily_aggregates.classify_events(
        nw.from_native(frame.lazy()), roles=Roles(), seats=Seats()
    )

    assert daily_aggregates.daily_user_activity(named).to_native().collect()["hours"].to_list() == [
        1 + 2**9 + 2**23
    ]


def test_an_engine_that_counts_days_in_another_zone_is_refused() -> None:
    frame = pl.DataFrame(JANUARY, schema=SCHEMA)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        relation: Any = nw.from_native(connection.from_arrow(frame.to_arrow()))

        with pytest.raises(SourceError, match="America/New_York"):
            daily_aggregates.classify_events(relation, roles=Roles(), seats=Seats())


def test_a_role_is_played_by_the_names_the_settings_give_it() -> None:
    rows = [happening(n, DAY, event=name) for n, name in enumerate(["signin", "login", None])]
    frame = pl.DataFrame(rows, schema=SCHEMA)

    made = daily_aggregates.classify_events(
        nw.from_native(frame.lazy()), roles=Roles(login=("signin",)), seats=Seats()
    )

    found = made.to_native().sort("feature").select("feature", "role", "seat").collect()
    assert found.rows() == [
        ("login", "use", True),
        ("signin", "login", False),
        ("use", "use", True),
    ]


@pytest.mark.parametrize(
    "ending", [".survey.json", ".people.parquet", ".volume.parquet", ".first_uses.parquet"]
)
def test_a_damaged_table_is_made_again(log: Log, ending: str) -> None:
    whole = log.tables()
    (log.kept / sorted(log.files(ending))[0]).write_bytes(b"PAR1 {")

    again = log.tables()

    for left, right in zip(again, whole, strict=True):
        assert_frame_equal(left, right)


# ---- What is swept away, and what is not

DAYS = 86_400


def aged(log: Log, days: float) -> None:
    """Let everything kept have been used last so many days ago."""
    for file in log.kept.iterdir():
        stamp = file.stat().st_mtime - days * DAYS
        os.utime(file, (stamp, stamp))


def test_a_replaced_table_stays_for_a_day_so_that_a_run_at_work_can_end(log: Log) -> None:
    first = log.build()
    log.put("2024-02", FEBRUARY[:2])

    log.build()

    assert first.volume.select(pl.col("count").sum()).collect().item() == 9


def test_a_replaced_table_is_gone_after_a_day(log: Log) -> None:
    log.build()
    kept = len(log.files())
    log.put("2024-02", FEBRUARY[:2])
    aged(log, 1.1)

    log.build()

    assert len(log.files()) == kept


@pytest.mark.parametrize(("days", "stay"), [(29, True), (31, False)])
def test_the_tables_of_a_removed_file_are_gone_after_a_month(
    log: Log, days: float, stay: bool
) -> None:
    log.build()
    kept = len(log.files())
    (log.folder / "events" / "2024-03.parquet").unlink()
    aged(log, days)

    log.build()

    assert len(log.files()) == (kept if stay else kept * 2 // 3)


def test_runs_with_other_rules_leave_each_other_their_tables(log: Log) -> None:
    ours = log.build()
    theirs = log.build(roles=Roles(login=("view",)))
    aged(log, 2)

    again = log.build()

    assert again.rebuilt == 0
    assert ours.people.collect().height == 9
    assert theirs.people.collect().height == 0
    assert log.build(roles=Roles(login=("view",))).rebuilt == 0


def test_a_draft_that_a_killed_run_left_is_gone_after_a_day(log: Log) -> None:
    log.build()
    draft = log.kept / ".x-y-z.people.parquet.1-2.draft"
    draft.write_bytes(b"PAR1")
    log.build()
    assert draft.exists()
    os.utime(draft, (1, 1))

    log.build()

    assert not draft.exists()


def test_what_is_in_use_is_never_swept_however_old(log: Log) -> None:
    log.build()
    aged(log, 400)

    assert log.build().rebuilt == 0
    assert log.build().rebuilt == 0


# ---- First uses of the settled months, merged


def firsts(log: Log) -> list[tuple[Any, ...]]:
    columns = ["account_id", "user_id", "feature", "day", "known_day"]
    return log.build().first_uses.collect().select(columns).sort(columns).rows()


@pytest.fixture
def year(log: Log) -> Log:
    """Ann views in every month, and Bob comes in April."""
    for month in range(4, 8):
        rows = [happening(1000 + month, datetime(2024, month, 5, tzinfo=UTC))]
        bob = happening(2000 + month, datetime(2024, month, 6, tzinfo=UTC), user_id="bob")
        log.put(f"2024-{month:02}", [*rows, bob])
    return log


def test_settled_months_tell_a_first_use_once(year: Log) -> None:
    found = firsts(year)

    assert [row[3].month for row in found if row[1] == "ann"] == [1, 6, 7]
    assert [row[3].month for row in found if row[1] == "bob"] == [4, 6, 7]


def test_a_late_row_of_a_settled_month_is_merged_anew(year: Log) -> None:
    year.build()
    early = happening(1, datetime(2024, 2, 2, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    year.put("2024-02", [*FEBRUARY, early | {"user_id": "bob"}])

    bob = [row for row in firsts(year) if row[1] == "bob"]

    # In May it was not known yet that Bob had come in February.
    assert [(row[3].month, row[4].month) for row in bob] == [(2, 6), (4, 4), (6, 6), (7, 7)]


def test_a_new_week_leaves_the_merged_months_as_they_are(year: Log) -> None:
    year.build()
    before = {name: (year.kept / name).read_bytes() for name in year.files("first_uses.parquet")}
    year.put("2024-07b", [happening(3000, datetime(2024, 7, 20, tzinfo=UTC))])

    year.build()

    after = {name: (year.kept / name).read_bytes() for name in before}
    assert after == before
    assert len(year.files("first_uses.parquet")) == len(before) + 1


def test_each_as_of_knows_when_the_log_began(log: Log) -> None:
    log.put("2024-04", [happening(400, DAY - timedelta(days=200), known=DAY)])
    as_ofs = [
        datetime(2024, 1, 1, tzinfo=UTC),
        DAY - timedelta(days=1),
        DAY,
        DAY + timedelta(days=1),
    ]

    began = log.build().log_start_as_known(as_ofs)

    assert began == [None, date(2024, 1, 1), date(2024, 1, 1), date(2023, 8, 14)]


def test_events_from_before_an_account_was_created_are_known_from_then_on(log: Log) -> None:
    created = pl.DataFrame({"account_id": ["acme"], "created_date": [DAY + timedelta(days=3)]})

    early, usual = log.build(accounts=created), log.build()

    for name in ("people", "volume", "first_uses", "first_people", "first_features"):
        ours, theirs = (getattr(made, name).collect().sort(pl.all()) for made in (early, usual))
        day = pl.lit((DAY + timedelta(days=3)).date())
        assert_frame_equal(
            ours, theirs.with_columns(pl.max_horizontal("known_day", day)).sort(pl.all())
        )
