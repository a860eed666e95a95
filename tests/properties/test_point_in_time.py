"""Point-in-time laws: a snapshot depends only on rows known before its as-of.

Worlds are tiny and generated on the edges: windows that start and end on the microsecond, rows
known exactly at an as-of, duplicate events, contracts signed ahead and corrected later.
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

from data.config.settings import EligibilityConfig, Settings, TablesConfig
from data.ingest import table_loader
from features.catalogue import FEATURES
from features.panel import builder
from tests.tables import build_frame, build_panel

ANCHOR = datetime(2024, 6, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
# A world takes about a second: a few per run, many under the profile of `make test-laws`.
LAWS = settings(max_examples=max(8, settings().max_examples // 50))

Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """The four tables of a company as rows, and the date from which booking times are reliable."""

    events: Sequence[Row]
    subscriptions: Sequence[Row]
    users: Sequence[Row] = ()
    accounts: Sequence[str] = ("acme", "beta", "coop", "dyne")
    reliable_from: date | None = None
    created: Mapping[str, datetime] = field(default_factory=dict)

    def known_before(self, as_of: datetime) -> "World":
        """Return the tables as known just before the as-of."""
        dates = ("created_at", "deactivated_at")
        return replace(
            self,
            events=[row for row in self.events if self.visible(row) < as_of],
            subscriptions=[row for row in self.subscriptions if self.signed(row) < as_of],
            users=[
                user | {name: before(user[name], as_of) for name in dates}
                for user in self.users
                if max(self.first_existed(user), self.since(user["account_id"])) < as_of
            ],
            accounts=[name for name in self.accounts if self.since(name) < as_of],
        )

    def since(self, account: str) -> datetime:
        return self.created.get(account, ANCHOR - timedelta(days=2000))

    def visible(self, row: Row) -> datetime:
        happened: datetime = row["timestamp"]
        return max(happened, self._believed(row) or happened, self.since(row["account_id"]))

    def first_existed(self, user: Row) -> datetime:
        """Return when a user first existed: the deactivation date if earlier."""
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

    def shifted_by(self, by: timedelta) -> "World":
        return replace(
            self,
            events=[shift_row(row, by) for row in self.events],
            subscriptions=[shift_row(row, by) for row in self.subscriptions],
            users=[shift_row(row, by) for row in self.users],
            reliable_from=self.reliable_from and self.reliable_from + by,
            created={name: day + by for name, day in self.created.items()},
        )


def before(moment: datetime | None, as_of: datetime) -> datetime | None:
    return moment if moment is not None and moment < as_of else None


def shift_row(row: Row, by: timedelta) -> Row:
    return {
        name: value + by if isinstance(value, datetime) else value for name, value in row.items()
    }


def build(
    world: World,
    as_ofs: Sequence[datetime],
    *,
    files: Sequence[Sequence[Row]] | None = None,
    folder: Path | None = None,
) -> builder.Panel:
    """Build the panel of a world whose log is in the given files, else in one."""
    config = Settings(
        tables=TablesConfig(
            known_at_reliable_from=world.reliable_from,
            time_invariant_attributes=("department", "email_domain"),
            max_quarantine_share=1,
        ),
        eligibility=EligibilityConfig(max_inactive_days=360),
    )
    tables = table_loader.tables_from_frames(
        [build_frame("events", rows) for rows in files or [world.events]],
        build_frame("subscriptions", world.subscriptions),
        build_frame(
            "accounts",
            [{"account_id": name, "created_date": world.since(name)} for name in world.accounts],
        ),
        build_frame("users", world.users) if world.users else None,
        tables=config.tables,
    )
    with TemporaryDirectory() as activity:
        return build_panel(tables, as_ofs, config, folder or Path(activity))


def assert_same(left: builder.Panel, right: builder.Panel) -> None:
    """Assert equality to the bit, row order included."""
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


def make_event(account: str, at: datetime, known: datetime | None = None, **fields: Any) -> Row:
    defaults = {"user_id": "eve", "event": "view"}
    return {"account_id": account, "timestamp": at, "known_at": known} | defaults | fields


@st.composite
def events(draw: st.DrawFn) -> Row:
    row: Row = draw(happenings)
    known = st.one_of(
        st.none(),
        delays.map(lambda delay: row["timestamp"] + delay),
        moments,  # may precede the event: clocks differ
        st.sampled_from([ANCHOR - timedelta(days=30 * back) - TICK for back in range(4)]),
        st.sampled_from([ANCHOR - timedelta(days=30 * back) for back in range(4)]),
    )
    return row | {"known_at": draw(known)}


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
    """Generate four accounts, one inactive; a log of some 400 days, longer in most worlds."""
    rows: list[Row] = draw(st.lists(events(), min_size=5, max_size=30))
    oldest = draw(st.sampled_from([900, 900, 391, 390, 389, 100]))
    first = ANCHOR - timedelta(days=oldest)
    rows = [make_event("dyne", first), *rows]
    # More use by the same user on the same day, known at another time.
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


# ---- Properties


@LAWS
@given(worlds(), grid_lines)
def test_rows_known_at_or_after_the_as_of_change_nothing(world: World, as_of: datetime) -> None:
    feature_values = build(world.known_before(as_of), [as_of])

    assert_same(build(world, [as_of]), feature_values)


@LAWS
@given(worlds(), st.sampled_from([0, 7, 30, 60, 90]))
def test_a_snapshot_alone_is_the_same_snapshot_in_a_batch(world: World, days: int) -> None:
    as_of = ANCHOR - timedelta(days=days)
    batch = build(world, [ANCHOR, ANCHOR - timedelta(days=30), as_of])

    alone = build(world, [as_of])

    assert_frame_equal(select_as_of(batch.snapshots, as_of), alone.snapshots, check_exact=True)
    assert_frame_equal(select_as_of(batch.excluded, as_of), alone.excluded, check_exact=True)


@LAWS
@given(worlds(), grid_lines, st.data())
def test_a_replay_after_late_rows_and_corrections_gives_the_same_bytes(
    world: World, as_of: datetime, data: st.DataObject
) -> None:
    earlier = world.known_before(as_of)
    copies = data.draw(st.lists(st.sampled_from(earlier.events), max_size=4))
    amended = {"known_at": as_of + timedelta(days=3), "event": "amended", "quantity": 0.0}
    redelivered = [row | amended for row in copies]
    late = [row for row in world.events if row not in earlier.events]
    with TemporaryDirectory() as folder:
        first = build(earlier, [as_of], folder=Path(folder))

        replay = build(
            world, [as_of], files=[earlier.events, [*late, *redelivered]], folder=Path(folder)
        )

    assert replay.snapshots.write_csv().encode() == first.snapshots.write_csv().encode()
    assert_same(replay, first)


def test_a_login_reactivated_after_the_as_of_is_deactivated_at_it() -> None:
    used = make_event("acme", ANCHOR - timedelta(days=80))
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
        World([make_event("dyne", ANCHOR - timedelta(days=900)), used], SOLD, [given, user])
        for user in (taken, again)
    ]

    before, after = (build(world, [ANCHOR]).snapshots for world in worlds)

    feature_name = "people_kept_90d_per_seat"
    assert before.filter(account_id="acme")[feature_name].to_list() == [0.0]
    assert after.filter(account_id="acme")[feature_name].to_list() == [0.0]


@LAWS
@given(worlds(), grid_lines, st.data())
def test_row_order_file_order_and_duplicates_change_nothing(
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

    original, shifted_panel = build(world, [as_of]), build(world.shifted_by(by), [as_of + by])

    assert_frame_equal(
        original.snapshots.select("account_id", pl.col("as_of") + by, *timeless),
        shifted_panel.snapshots.select("account_id", "as_of", *timeless),
        check_exact=True,
    )


# ---- Hand-worked edge cases


def feature_values(feature: str, *happenings: Row) -> dict[str, float | None]:
    """Return a feature of each account at the anchor of a log of three years."""
    old = [make_event("dyne", ANCHOR - timedelta(days=1000), user_id="old")]
    world = World(events=[*old, *happenings], subscriptions=SOLD)
    rows = build(world, [ANCHOR]).snapshots.select("account_id", feature).iter_rows()
    return dict(rows)


@pytest.mark.parametrize(
    ("feature", "days"),
    [("events_30d", 30), ("new_users_60d", 60), ("people_90d", 90), ("new_users_180d", 180)],
)
def test_a_window_includes_its_start_and_excludes_the_as_of(feature: str, days: int) -> None:
    opens = ANCHOR - timedelta(days=days)

    result = feature_values(
        feature,
        make_event("acme", opens, user_id="first moment"),
        make_event("beta", opens - TICK, user_id="a moment too early"),
        make_event("coop", ANCHOR - TICK, user_id="last moment"),
        make_event("dyne", ANCHOR, user_id="a moment too late"),
        # Keeps the two empty accounts eligible, without use by a person.
        make_event("beta", ANCHOR - TICK, event="login"),
        make_event("dyne", ANCHOR - TICK, event="login"),
    )

    assert result == {"acme": 1, "beta": 0, "coop": 1, "dyne": 0}


def test_an_event_counts_once_it_is_known_in_the_window_in_which_it_happened() -> None:
    long_ago = ANCHOR - timedelta(days=100)
    rows = [
        make_event("acme", long_ago, ANCHOR - TICK),
        make_event("beta", long_ago, ANCHOR),
        make_event("coop", long_ago, long_ago - timedelta(days=5)),
        *(make_event(name, ANCHOR - TICK, event="login") for name in World.accounts),
    ]

    assert feature_values("events_90d_ago", *rows) == {"acme": 1, "beta": 0, "coop": 1, "dyne": 0}
    assert feature_values("events_30d", *rows) == {"acme": 0, "beta": 0, "coop": 0, "dyne": 0}


def test_rows_of_a_day_known_later_do_not_count_with_the_day() -> None:
    day, as_of = ANCHOR - timedelta(days=40), ANCHOR - timedelta(days=30)
    known_then = [make_event("acme", day), make_event("acme", day, user_id="bob")]
    late = [make_event("acme", day, ANCHOR - timedelta(days=5)) for _ in range(8)]
    old = make_event("acme", ANCHOR - timedelta(days=1000))
    world = World(events=[old, *known_then, *late], subscriptions=SOLD)

    result = build(world, [as_of, ANCHOR]).snapshots.select("as_of", "champion_share_90d")

    assert result.rows() == [(as_of.date(), 0.5), (ANCHOR.date(), 0.9)]


@pytest.mark.parametrize(("tick", "visible_events"), [(-TICK, 1), (timedelta(0), 0)])
def test_known_at_stamps_are_used_from_the_first_reliable_day(
    tick: timedelta, visible_events: int
) -> None:
    reliable, as_of = ANCHOR - timedelta(days=5), ANCHOR - timedelta(days=10)
    stamped = make_event("acme", as_of - timedelta(days=1), reliable + tick)
    alive = make_event("acme", as_of - timedelta(days=100), event="login")
    world = World(events=[alive, stamped], subscriptions=SOLD, reliable_from=reliable.date())

    result = build(world, [as_of]).snapshots

    assert result["events_30d"].to_list() == [visible_events]


def select_as_of(rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("as_of") == as_of.date())
