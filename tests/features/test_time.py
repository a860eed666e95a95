"""The law of time: a snapshot holds what was known before its as-of, and nothing else.

Worlds are tiny and drawn on the edges: windows that open and shut on the microsecond, rows known
exactly at an as-of, copies of events, contracts signed ahead and corrected later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data import schemas
from data.config.settings import Eligibility, Settings, TablesConfig
from data.ingest import table_loader
from features.activity import daily_tables
from features.catalogue import FEATURES
from features.panel import builder

ANCHOR = datetime(2024, 6, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
# A world takes a second or so: a few at every run, many by the profile of `make test-laws`.
LAWS = settings(max_examples=max(8, settings().max_examples // 50))

Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """The four tables of a company as rows, and from when its booking times are believed."""

    events: Sequence[Row]
    subscriptions: Sequence[Row]
    users: Sequence[Row] = ()
    accounts: Sequence[str] = ("acme", "beta", "coop", "dyne")
    reliable_from: date | None = None
    created: Mapping[str, datetime] = field(default_factory=dict)

    def known_before(self, as_of: datetime) -> "World":
        """What the tables held at the as-of, had they been read a moment before it."""
        dates = ("created_at", "deactivated_at")
        return replace(
            self,
            events=[row for row in self.events if self.visible(row) < as_of],
            subscriptions=[row for row in self.subscriptions if self.signed(row) < as_of],
            users=[
                user | {name: before(user[name], as_of) for name in dates}
                for user in self.users
                if max(self.entered(user), self.since(user["account_id"])) < as_of
            ],
            accounts=[name for name in self.accounts if self.since(name) < as_of],
        )

    def since(self, account: str) -> datetime:
        return self.created.get(account, ANCHOR - timedelta(days=2000))

    def visible(self, row: Row) -> datetime:
        happened: datetime = row["timestamp"]
        return max(happened, self._believed(row) or happened, self.since(row["account_id"]))

    def entered(self, user: Row) -> datetime:
        """Who was taken back on a day was there on it; who has no dates was there always."""
        dates = [user[name] for name in ("created_at", "deactivated_at") if user[name]]
        first = min(dates, default=datetime.min.replace(tzinfo=UTC))
        return max(first, self._believed(user) or first)

    def signed(self, row: Row) -> datetime:
        in_force: datetime = row["effective_date"]
        return self._believed(row) or in_force

    def _believed(self, row: Row) -> datetime | None:
        stamp: datetime | None = row["known_at"]
        if stamp is None or (self.reliable_from and stamp.date() < self.reliable_from):
            return None
        return stamp

    def shifted(self, by: timedelta) -> "World":
        return replace(
            self,
            events=[moved(row, by) for row in self.events],
            subscriptions=[moved(row, by) for row in self.subscriptions],
            users=[moved(row, by) for row in self.users],
            reliable_from=self.reliable_from and self.reliable_from + by,
            created={name: day + by for name, day in self.created.items()},
        )


def before(moment: datetime | None, as_of: datetime) -> datetime | None:
    return moment if moment is not None and moment < as_of else None


def moved(row: Row, by: timedelta) -> Row:
    return {
        name: value + by if isinstance(value, datetime) else value for name, value in row.items()
    }


def frame(table: str, rows: Sequence[Row]) -> pl.DataFrame:
    schema = schemas.TABLES[table].create_empty().schema
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def build(
    world: World,
    as_ofs: Sequence[datetime],
    *,
    files: Sequence[Sequence[Row]] | None = None,
    folder: Path | None = None,
) -> builder.Panel:
    """The panel of a world whose log lies in the given files, else in one."""
    if folder is None:
        with TemporaryDirectory() as made:
            return collected(world, as_ofs, files or [world.events], Path(made))
    return collected(world, as_ofs, files or [world.events], folder)


def collected(
    world: World, as_ofs: Sequence[datetime], files: Sequence[Sequence[Row]], folder: Path
) -> builder.Panel:
    config = Settings(
        tables=TablesConfig(
            known_at_reliable_from=world.reliable_from,
            time_invariant_attributes=("department", "email_domain"),
            max_quarantine_share=1,
        ),
        eligibility=Eligibility(silent_days=360),
    )
    tables = table_loader.tables_from_frames(
        [frame("events", rows) for rows in files],
        frame("subscriptions", world.subscriptions),
        frame(
            "accounts",
            [{"account_id": name, "created_date": world.since(name)} for name in world.accounts],
        ),
        frame("users", world.users) if world.users else None,
        tables=config.tables,
    )
    made = daily_tables.build_activity(
        tables.events,
        folder=folder,
        roles=config.roles,
        seats=config.seats,
        known_at_reliable_from=world.reliable_from,
        accounts=tables.accounts.rows,
    )
    return builder.build_panel(made, tables, as_ofs, config)


def assert_same(left: builder.Panel, right: builder.Panel) -> None:
    """Equal to the bit, the order of rows included."""
    assert_frame_equal(left.snapshots, right.snapshots, check_exact=True)
    assert_frame_equal(left.excluded, right.excluded, check_exact=True)


# ---- Worlds

SOLD: list[Row] = [
    {
        "account_id": account,
        "effective_date": ANCHOR - timedelta(days=700),
        "known_at": None,
        "licensed_seats": 2.0,
        "plan": "team",
        "mrr": 50.0,
    }
    for account in World.accounts
]

WINDOWS = (0, 1, 2, 29, 30, 31, 60, 61, 89, 90, 91, 120, 150, 180, 181, 210, 360, 361, 390)
ticks = st.sampled_from([-TICK, timedelta(0), timedelta(0), TICK, timedelta(hours=9)])
ages = st.builds(
    lambda days, tick: timedelta(days=days) + tick, st.sampled_from(WINDOWS), ticks
) | st.integers(-24 * 40, 24 * 420).map(lambda hours: timedelta(hours=hours))
moments = ages.map(lambda age: ANCHOR - age)
delays = st.sampled_from([0, 1, 30, 31, 59, 60, 90, 400]).map(lambda days: timedelta(days=days))
accounts = st.sampled_from(["acme", "acme", "acme", "beta", "coop"])
happenings = st.fixed_dictionaries(
    {
        "account_id": accounts,
        "user_id": st.sampled_from(["ann", "ann", "bob", "bob", "cem", None]),
        "timestamp": moments,
        "event": st.sampled_from(
            [*["view"] * 4, "edit", "share", "api_call", "integration_sync", "login", "ticket"]
        ),
        "feature": st.sampled_from([None, None, "slack", "reports"]),
        "quantity": st.sampled_from([None, None, 0.0, 0.0004, 2.5, 1e6]),
    }
)


def happening(account: str, at: datetime, known: datetime | None = None, **more: Any) -> Row:
    usual = {"user_id": "eve", "event": "view"}
    return {"account_id": account, "timestamp": at, "known_at": known} | usual | more


@st.composite
def events(draw: st.DrawFn) -> Row:
    row: Row = draw(happenings)
    seen = st.one_of(
        st.none(),
        delays.map(lambda delay: row["timestamp"] + delay),
        moments,  # may lie before the event: clocks differ
        st.sampled_from([ANCHOR - timedelta(days=30 * back) - TICK for back in range(4)]),
        st.sampled_from([ANCHOR - timedelta(days=30 * back) for back in range(4)]),
    )
    return row | {"known_at": draw(seen)}


statuses = st.sampled_from([None, "paid", "paid", "paid", "trial", "lapsed"])
signatures = st.fixed_dictionaries(
    {
        "account_id": accounts,
        "effective_date": moments,
        "known_at": st.none() | moments,
        "licensed_seats": st.sampled_from([None, 1.0, 2.0, 3.0, 8.0]),
        "plan": st.sampled_from([None, "team", "business"]),
        "usage_limit": st.sampled_from([None, 2.0, 1000.0]),
        "mrr": st.sampled_from([None, 50.0, 80.0]),
        "renewal_date": st.none() | moments,
        "status": statuses,
        "change": st.sampled_from([None, None, None, "correction", "ramp", "price"]),
    }
)
people = st.fixed_dictionaries(
    {
        "account_id": accounts,
        "created_at": st.none() | moments,
        "known_at": st.none() | st.none() | moments,
        "deactivated_at": st.none() | moments,
        "department": st.sampled_from([None, "sales", "law"]),
        "email_domain": st.sampled_from([None, "acme.example"]),
    }
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Four accounts, one of them silent; a log of some 400 days, older in most worlds."""
    rows: list[Row] = draw(st.lists(events(), min_size=5, max_size=30))
    oldest = draw(st.sampled_from([900, 900, 391, 390, 389, 100]))
    first = ANCHOR - timedelta(days=oldest)
    rows = [happening("dyne", first), *rows]
    # More of the same person on the same day, heard of at another time.
    for row in draw(st.lists(st.sampled_from(rows), max_size=6)):
        rows.append(row | {"known_at": row["timestamp"] + draw(delays)})
    sold = [*SOLD, *draw(st.lists(signatures, max_size=5))]
    # The same signature with another renewal or status: a tie in everything that orders rows.
    for row in draw(st.lists(st.sampled_from(sold), max_size=2)):
        sold.append(row | {"renewal_date": draw(moments), "status": draw(statuses)})
    users = [
        draw(people) | {"user_id": name}
        for name in draw(st.sampled_from([[], ["ann"], ["ann", "bob", "cem"]]))
    ]
    return World(
        events=[row | {"event_id": f"e{number}"} for number, row in enumerate(rows)],
        subscriptions=sold,
        users=users,
        reliable_from=draw(st.sampled_from([None, (ANCHOR - timedelta(days=100)).date()])),
        created=draw(st.sampled_from([{}, {"coop": draw(moments)}])),
    )


grid_lines = st.sampled_from([0, 30, 60, 90]).map(lambda days: ANCHOR - timedelta(days=days))


# ---- Laws


@LAWS
@given(worlds(), grid_lines)
def test_what_is_known_at_or_after_the_as_of_changes_nothing(world: World, as_of: datetime) -> None:
    told = build(world.known_before(as_of), [as_of])

    assert_same(build(world, [as_of]), told)


@LAWS
@given(worlds(), st.sampled_from([0, 7, 30, 60, 90]))
def test_a_snapshot_alone_is_the_same_snapshot_in_a_batch(world: World, days: int) -> None:
    as_of = ANCHOR - timedelta(days=days)
    batch = build(world, [ANCHOR, ANCHOR - timedelta(days=30), as_of])

    alone = build(world, [as_of])

    assert_frame_equal(of(batch.snapshots, as_of), alone.snapshots, check_exact=True)
    assert_frame_equal(of(batch.excluded, as_of), alone.excluded, check_exact=True)


@LAWS
@given(worlds(), grid_lines, st.data())
def test_a_replay_after_late_rows_and_corrections_gives_the_same_bytes(
    world: World, as_of: datetime, data: st.DataObject
) -> None:
    then = world.known_before(as_of)
    copies = data.draw(st.lists(st.sampled_from(then.events), max_size=4))
    amended = {"known_at": as_of + timedelta(days=3), "event": "amended", "quantity": 0.0}
    redelivered = [row | amended for row in copies]
    late = [row for row in world.events if row not in then.events]
    with TemporaryDirectory() as folder:
        first = build(then, [as_of], folder=Path(folder))

        replay = build(
            world, [as_of], files=[then.events, [*late, *redelivered]], folder=Path(folder)
        )

    assert replay.snapshots.write_csv().encode() == first.snapshots.write_csv().encode()
    assert_same(replay, first)


def test_a_login_that_was_taken_back_and_is_given_again_after_the_as_of_was_taken_back() -> None:
    used = happening("acme", ANCHOR - timedelta(days=80))
    given = {
        "user_id": "ann",
        "account_id": "acme",
        "known_at": None,
        "created_at": ANCHOR - timedelta(days=600),
        "deactivated_at": None,
    }
    taken = given | {"user_id": "eve", "deactivated_at": ANCHOR - timedelta(days=20)}
    again = taken | {"created_at": ANCHOR + timedelta(days=9)}
    worlds = [
        World([happening("dyne", ANCHOR - timedelta(days=900)), used], SOLD, [given, user])
        for user in (taken, again)
    ]

    before, after = (build(world, [ANCHOR]).snapshots for world in worlds)

    kept = "people_kept_90d_per_seat"
    assert before.filter(account_id="acme")[kept].to_list() == [0.0]
    assert after.filter(account_id="acme")[kept].to_list() == [0.0]


@LAWS
@given(worlds(), grid_lines, st.data())
def test_row_order_files_their_order_and_copies_change_nothing(
    world: World, as_of: datetime, data: st.DataObject
) -> None:
    rows = data.draw(st.permutations(world.events))
    rows += data.draw(st.lists(st.sampled_from(rows), max_size=5))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows) - 1), max_size=3, unique=True)))
    files = [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    shuffled = replace(
        world,
        subscriptions=data.draw(st.permutations(world.subscriptions)),
        users=world.users[::-1],
    )

    assert_same(build(shuffled, [as_of], files=files), build(world, [as_of]))


@LAWS
@given(worlds(), grid_lines, st.sampled_from([1, 7, 29, 30, 365, 1461]))
def test_moving_the_whole_world_by_days_changes_only_the_calendar(
    world: World, as_of: datetime, days: int
) -> None:
    by = timedelta(days=days)
    timeless = [feature.name for feature in FEATURES if feature.family != "calendar"]

    here, there = build(world, [as_of]), build(world.shifted(by), [as_of + by])

    assert_frame_equal(
        here.snapshots.select("account_id", pl.col("as_of") + by, *timeless),
        there.snapshots.select("account_id", "as_of", *timeless),
        check_exact=True,
    )


# ---- Edges, by hand


def told(feature: str, *happenings: Row) -> dict[str, float | None]:
    """A feature of each account at the anchor, the log being three years old."""
    old = [happening("dyne", ANCHOR - timedelta(days=1000), user_id="old")]
    world = World(events=[*old, *happenings], subscriptions=SOLD)
    rows = build(world, [ANCHOR]).snapshots.select("account_id", feature).iter_rows()
    return dict(rows)


@pytest.mark.parametrize(
    ("feature", "days"),
    [("events_30d", 30), ("new_users_60d", 60), ("people_90d", 90), ("new_users_180d", 180)],
)
def test_a_window_holds_its_first_moment_and_not_the_as_of(feature: str, days: int) -> None:
    opens = ANCHOR - timedelta(days=days)

    found = told(
        feature,
        happening("acme", opens, user_id="first moment"),
        happening("beta", opens - TICK, user_id="a moment too early"),
        happening("coop", ANCHOR - TICK, user_id="last moment"),
        happening("dyne", ANCHOR, user_id="a moment too late"),
        # Keeps the two that are empty eligible, without being use by a person.
        happening("beta", ANCHOR - TICK, event="login"),
        happening("dyne", ANCHOR - TICK, event="login"),
    )

    assert found == {"acme": 1, "beta": 0, "coop": 1, "dyne": 0}


def test_an_event_counts_once_it_is_known_in_the_window_in_which_it_happened() -> None:
    long_ago = ANCHOR - timedelta(days=100)
    rows = [
        happening("acme", long_ago, ANCHOR - TICK),
        happening("beta", long_ago, ANCHOR),
        happening("coop", long_ago, long_ago - timedelta(days=5)),
        *(happening(name, ANCHOR - TICK, event="login") for name in World.accounts),
    ]

    assert told("events_90d_ago", *rows) == {"acme": 1, "beta": 0, "coop": 1, "dyne": 0}
    assert told("events_30d", *rows) == {"acme": 0, "beta": 0, "coop": 0, "dyne": 0}


def test_what_becomes_known_of_a_day_later_does_not_count_with_the_day() -> None:
    day, as_of = ANCHOR - timedelta(days=40), ANCHOR - timedelta(days=30)
    known_then = [happening("acme", day), happening("acme", day, user_id="bob")]
    late = [happening("acme", day, ANCHOR - timedelta(days=5)) for _ in range(8)]
    old = happening("acme", ANCHOR - timedelta(days=1000))
    world = World(events=[old, *known_then, *late], subscriptions=SOLD)

    found = build(world, [as_of, ANCHOR]).snapshots.select("as_of", "champion_share_90d")

    assert found.rows() == [(as_of.date(), 0.5), (ANCHOR.date(), 0.9)]


@pytest.mark.parametrize(("tick", "seen"), [(-TICK, 1), (timedelta(0), 0)])
def test_a_stamp_is_believed_from_the_first_reliable_day_on(tick: timedelta, seen: int) -> None:
    reliable, as_of = ANCHOR - timedelta(days=5), ANCHOR - timedelta(days=10)
    stamped = happening("acme", as_of - timedelta(days=1), reliable + tick)
    alive = happening("acme", as_of - timedelta(days=100), event="login")
    world = World(events=[alive, stamped], subscriptions=SOLD, reliable_from=reliable.date())

    found = build(world, [as_of]).snapshots

    assert found["events_30d"].to_list() == [seen]


def test_a_log_of_machines_alone_has_no_people() -> None:
    robot = happening("acme", ANCHOR - TICK, user_id=None, event="api_call")

    assert told("people_90d", robot) == {"acme": 0}
    assert told("api_calls_30d", robot) == {"acme": 1}


def test_before_the_first_event_nobody_is_eligible() -> None:
    as_of = ANCHOR - timedelta(days=690)
    world = World(events=[happening("acme", ANCHOR - TICK)], subscriptions=SOLD)

    found = build(world, [as_of])

    assert found.snapshots.is_empty()
    assert found.excluded["reason"].unique().to_list() == ["no event in 360 days"]


def of(rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("as_of") == as_of.date())
