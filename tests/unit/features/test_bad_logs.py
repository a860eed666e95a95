"""Handling of bad input: each case is documented in the page of bad input."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data import schemas
from data.config.settings import OutcomeConfig, Settings, TablesConfig
from data.errors import ContractError
from data.ingest import table_loader
from features import subscription_timeline
from features.activity.daily_tables import Activity
from features.panel import builder
from tests import ROOT
from tests.tables import build_frame, build_log, build_panel
from training import labels

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
JOINED = AS_OF - timedelta(days=900)
DAY = timedelta(days=1)

Row = dict[str, Any]


def use(account: str, user: str | None, at: datetime, **fields: Any) -> Row:
    return {"account_id": account, "user_id": user, "timestamp": at, "event": "view"} | fields


def deal(account: str, days: int, seats: float | None, **fields: Any) -> Row:
    """Return a subscription row that came into force some days before the as-of."""
    day = AS_OF - days * DAY
    return {"account_id": account, "effective_date": day, "licensed_seats": seats} | fields


def weekly(account: str, *users: str, since: int = 800, until: int = 0) -> list[Row]:
    """Return weekly use by users, starting some days before the as-of."""
    days = range(since, until, -7)
    return [use(account, user, AS_OF - day * DAY) for user in users for day in days]


@dataclass(frozen=True)
class Company:
    """Tables as rows; the log may consist of several files."""

    files: Sequence[Sequence[Row]]
    deals: Sequence[Row]
    users: Sequence[Row] = ()
    accounts: Sequence[str] = ("acme", "beta")
    parents: dict[str, str] = field(default_factory=dict)

    def tables(self) -> table_loader.Tables:
        named = [
            {"account_id": name, "created_date": JOINED, "parent_id": self.parents.get(name)}
            for name in self.accounts
        ]
        return table_loader.tables_from_frames(
            [build_frame("events", rows) for rows in self.files],
            build_frame("subscriptions", self.deals),
            build_frame("accounts", named),
            build_frame("users", self.users) if self.users else None,
            tables=TablesConfig(max_quarantine_share=1),
        )

    def log(self, folder: Path) -> Activity:
        return build_log(self.tables(), folder, Settings())

    def panel(self, folder: Path, *as_ofs: datetime) -> builder.Panel:
        return build_panel(self.tables(), as_ofs or [AS_OF], Settings(), folder)

    def feature_values(
        self, folder: Path, feature: str, *as_ofs: datetime
    ) -> dict[str, float | None]:
        """Return a feature by account."""
        rows = self.panel(folder, *as_ofs).snapshots.select("account_id", feature)
        return dict(rows.iter_rows())

    def expanded(self, days_ago: int) -> dict[str, bool | None]:
        """Return whether each account expanded in the 60 days from some days ago."""
        as_of = AS_OF - days_ago * DAY
        terms = subscription_timeline.build_timeline(self.tables().subscriptions.rows)
        keys = pl.DataFrame({"account_id": self.accounts, "as_of": [as_of.date()] * 2})
        result = labels.build_outcomes(keys, terms, cutoff=AS_OF, rules=OutcomeConfig())
        return dict(result.select("account_id", labels.expansion_label(60)).iter_rows())


SOLD = [deal("acme", 800, 10), deal("beta", 800, 10)]
USED = [*weekly("acme", "ann", "bob"), *weekly("beta", "eve")]


# ---- Users


def test_a_user_in_two_accounts_is_rejected_and_their_events_count_where_they_occurred(
    tmp_path: Path,
) -> None:
    people = [
        {"user_id": "ann", "account_id": "acme", "created_at": JOINED},
        {"user_id": "ann", "account_id": "beta", "created_at": JOINED},
        {"user_id": "bob", "account_id": "acme", "created_at": JOINED},
        {"user_id": "eve", "account_id": "beta", "created_at": JOINED},
    ]
    company = Company([[*USED, *weekly("beta", "ann")]], SOLD, people)

    assert company.tables().users.quarantine == {"conflicting rows for one user_id": 2}
    assert company.feature_values(tmp_path, "provisioned_users") == {"acme": 1, "beta": 1}
    assert company.feature_values(tmp_path, "active_users_30d") == {"acme": 2, "beta": 2}


def test_an_event_without_a_user_counts_as_volume_only(tmp_path: Path) -> None:
    machines = [use("acme", None, AS_OF - DAY * day) for day in range(1, 6)]
    company = Company([[*USED, *machines]], SOLD)

    assert company.log(tmp_path).machine_events == 5
    assert company.feature_values(tmp_path, "events_30d") == {"acme": 15, "beta": 5}
    assert company.feature_values(tmp_path, "active_users_30d") == {"acme": 2, "beta": 1}


def test_an_empty_users_table_is_rejected(tmp_path: Path) -> None:
    company = Company([USED], SOLD)
    tables = company.tables()

    with pytest.raises(ContractError, match="users: no rows, expected at least one"):
        table_loader.tables_from_frames(
            build_frame("events", USED),
            tables.subscriptions.rows,
            tables.accounts.rows,
            build_frame("users", []),
        )


NAMES = ["same", "ü-株式会社-🦊", "x" * 10_000, "a\tb\n", "acme' or 1=1"]


@pytest.mark.parametrize("name", NAMES, ids=["plain", "unicode", "long", "control", "quote"])
def test_an_account_and_a_user_may_share_any_id(name: str, tmp_path: Path) -> None:
    company = Company(
        [[*weekly(name, name), *weekly("beta", name)]],
        [deal(name, 800, 10), deal("beta", 800, 10)],
        [{"user_id": name, "account_id": name, "created_at": JOINED}],
        accounts=(name, "beta"),
    )

    assert company.feature_values(tmp_path, "active_users_30d") == {name: 1, "beta": 1}
    assert company.feature_values(tmp_path, "provisioned_users")[name] == 1


# ---- Accounts


def test_a_merger_is_no_expansion_and_the_childs_users_are_new_to_the_parent(
    tmp_path: Path,
) -> None:
    merged = 120
    company = Company(
        [
            [
                *weekly("acme", "ann"),
                *weekly("beta", "eve", "eli", since=800, until=merged),
                *weekly("acme", "eve", "eli", since=merged),
            ]
        ],
        [
            deal("acme", 800, 10),
            deal("beta", 800, 10),
            deal("acme", merged, 20, change="merger"),
            deal("beta", merged, None, status="churned", change="merger"),
        ],
        parents={"beta": "acme"},
    )

    result = company.panel(tmp_path)

    assert company.expanded(150) == {"acme": False, "beta": False}
    assert result.snapshots["account_id"].to_list() == ["acme"]
    assert result.excluded["reason"].to_list() == ["contract ended"]
    row = result.snapshots.row(0, named=True)
    assert (row["licensed_seats"], row["expansions_so_far"]) == (20, 0)
    assert (row["new_users_90d"], row["new_users_180d"]) == (0, 2)


def test_events_of_unknown_accounts_are_counted_and_left_out(tmp_path: Path) -> None:
    ghost = [use("ghost", "gil", AS_OF - DAY * day) for day in range(1, 4)]
    clean, company = Company([USED], SOLD), Company([[*USED, *ghost]], SOLD)

    log = company.log(tmp_path)

    assert log.quarantine == {schemas.UNKNOWN_ACCOUNT: 3}
    assert_frame_equal(company.panel(tmp_path).snapshots, clean.panel(tmp_path).snapshots)


# ---- Contracts


@pytest.mark.parametrize("stamped", [True, False])
def test_of_two_changes_on_one_day_the_later_known_applies_else_the_larger(
    stamped: bool, tmp_path: Path
) -> None:
    morning, evening = (
        AS_OF - 100 * DAY + timedelta(hours=hour) if stamped else None for hour in (9, 17)
    )
    twice = [deal("acme", 100, 30, known_at=morning), deal("acme", 100, 20, known_at=evening)]
    company = Company([USED], [*SOLD, *twice])

    seats = company.feature_values(tmp_path, "licensed_seats")["acme"]
    rises = company.feature_values(tmp_path, "expansions_so_far")["acme"]

    assert seats == (20 if stamped else 30)
    assert rises == 1
    assert company.expanded(120) == {"acme": True, "beta": False}


def test_the_order_of_subscription_rows_has_no_effect(tmp_path: Path) -> None:
    rows = [*SOLD, deal("acme", 100, 20), deal("acme", 300, 12), deal("acme", 200, 15)]

    forward = Company([USED], rows).panel(tmp_path)
    back = Company([USED], rows[::-1]).panel(tmp_path)

    assert_frame_equal(back.snapshots, forward.snapshots)


@pytest.mark.parametrize(
    ("days", "reason"),
    [(850, "no contract in force"), (800, "no contract in force"), (799, None)],
)
def test_before_its_contract_is_known_an_account_is_not_eligible(
    days: int, reason: str | None, tmp_path: Path
) -> None:
    used = weekly("acme", "ann", since=880), weekly("beta", "eve", since=880)
    company = Company(used, SOLD)

    result = company.panel(tmp_path, AS_OF - days * DAY).excluded

    assert set(result["reason"]) == ({reason} if reason else set())


# ---- The log


def test_a_gap_of_months_is_zero_and_not_missing(tmp_path: Path) -> None:
    gap = [
        *weekly("acme", "ann", since=800, until=200),
        *weekly("acme", "ann", since=20),
        *weekly("beta", "eve", since=800, until=200),
    ]
    company = Company([gap], SOLD)

    result = company.panel(tmp_path)

    assert result.excluded.select("account_id", "reason").rows() == [
        ("beta", "no event in 90 days")
    ]
    row = result.snapshots.row(0, named=True)
    assert (row["events_90d_ago"], row["active_users_90d_ago"], row["new_users_90d"]) == (0, 0, 0)


def test_before_the_first_event_no_account_is_eligible(tmp_path: Path) -> None:
    company = Company([weekly("acme", "ann", since=100)], SOLD)

    result = company.panel(tmp_path, AS_OF - 200 * DAY)

    assert result.snapshots.is_empty()
    assert result.excluded["reason"].to_list() == ["no event in 90 days"] * 2


def test_a_file_without_a_valid_row_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    bad = [use("acme", "ann", AS_OF - DAY, quantity=-1.0), use("", "ann", AS_OF - DAY)]
    clean, company = Company([USED], SOLD), Company([USED, bad], SOLD)

    log = company.log(tmp_path)

    assert log.quarantine == {"account_id is empty": 1, "quantity is below 0": 1}
    assert_frame_equal(company.panel(tmp_path).snapshots, clean.panel(tmp_path).snapshots)


def test_a_log_of_one_timestamp_has_one_month_and_no_history(tmp_path: Path) -> None:
    moment = AS_OF - DAY * 29
    once = [use(name, f"{name}-{n}", moment) for name in ("acme", "beta") for n in range(9)]
    company = Company([once], SOLD)

    row = company.panel(tmp_path).snapshots.row(0, named=True)

    assert row["events_30d"] is None  # the log is a day shorter than the window
    assert company.feature_values(tmp_path, "events_30d", AS_OF + DAY) == {"acme": 9, "beta": 9}
    assert company.feature_values(tmp_path, "new_users_90d", AS_OF + DAY) == {
        "acme": None,
        "beta": None,
    }


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        (-5.0, "quantity is below 0"),
        (1e300, "quantity is above 1,000,000,000,000"),
        (float("inf"), "quantity is above 1,000,000,000,000"),
        (float("-inf"), "quantity is below 0"),
    ],
)
def test_a_quantity_out_of_bounds_is_left_out_with_its_reason(
    quantity: float, reason: str, tmp_path: Path
) -> None:
    called = use("acme", None, AS_OF - DAY, event="api_call", quantity=quantity)
    company = Company([[*USED, called]], SOLD)

    assert company.log(tmp_path).quarantine == {reason: 1}
    assert company.feature_values(tmp_path, "api_calls_30d") == {"acme": 0, "beta": 0}


@pytest.mark.parametrize(
    ("quantity", "calls"), [(float("nan"), 1), (None, 1), (0.0, 0), (1e12, 1e12)]
)
def test_a_missing_quantity_is_one_and_the_largest_counts(
    quantity: float | None, calls: float, tmp_path: Path
) -> None:
    called = use("acme", None, AS_OF - DAY, event="api_call", quantity=quantity)
    company = Company([[*USED, called]], SOLD)

    assert company.log(tmp_path).quarantine == {}
    assert company.feature_values(tmp_path, "api_calls_30d") == {"acme": calls, "beta": 0}


# ---- Size

MOST_MB = 700
STATUS = Path("/proc/self/status")
READ = r"""
import re
from datetime import UTC, datetime
from pathlib import Path
from data.config.settings import load_settings
from data.ingest.table_loader import load_tables
from features.activity.daily_tables import build_activity
from features.panel.builder import build_panel
config = load_settings(Path("expansion.toml"))
tables = load_tables(config)
log = build_activity(
    tables.events, folder=Path("cache"), roles=config.roles, seats=config.seats
)
found = build_panel(log, tables, [datetime(2024, 6, 1, tzinfo=UTC)], config).snapshots
found.select("account_id", "features_ever", "events_30d").write_parquet("found.parquet")
# VmHWM, because the peak of getrusage is inherited from the parent process.
print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def run_in_new_process(company: Path) -> tuple[pl.DataFrame, int]:
    """Load a folder in a new process; return the result and the peak memory in MB."""
    root = str(ROOT)
    ran = subprocess.run(
        [sys.executable, "-c", READ],
        capture_output=True,
        text=True,
        check=True,
        cwd=company,
        env=os.environ | {"PYTHONPATH": root},
    )
    return pl.read_parquet(company / "found.parquet"), int(ran.stdout) // 1024


@pytest.mark.skipif(not STATUS.exists(), reason="peak memory is available on Linux only")
def test_ten_thousand_feature_names_and_one_dominant_account_fit_in_memory(
    tmp_path: Path,
) -> None:
    rows = 1_000_000
    number = pl.int_range(rows)
    small = number % 10 == 0
    log = pl.select(
        account_id=pl.when(small).then("a-" + (number // 10 % 100).cast(pl.String)).otherwise(
            pl.lit("whale")),
        user_id="u-" + (number * 7919 % 20_000).cast(pl.String),
        timestamp=pl.lit(AS_OF - DAY * 400) + pl.duration(milliseconds=number * 34_560),
        feature="feature " + (number * 31 % 10_000).cast(pl.String),
    )  # fmt: skip
    log.write_parquet(tmp_path / "events.parquet")
    names = log["account_id"].unique()
    pl.DataFrame({"account_id": names, "created_date": JOINED}).write_parquet(
        tmp_path / "accounts.parquet"
    )
    pl.DataFrame(
        {"account_id": names, "effective_date": JOINED, "licensed_seats": 10.0}
    ).write_parquet(tmp_path / "subscriptions.parquet")
    (tmp_path / "expansion.toml").write_text('[tables]\nevents = "events.parquet"\n')

    result, peak_mb = run_in_new_process(tmp_path)

    assert result.height == 101
    assert result.filter(account_id="whale")["features_ever"].to_list() == [9000]
    assert result["events_30d"].sum() == rows * 30 / 400
    assert peak_mb < MOST_MB


# ---- The page


def test_every_test_named_on_the_page_exists() -> None:
    root = ROOT
    page = (root / "docs/reference/input-validation.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ")][1:]

    for line in lines:
        file, _, name = line.split("`")[-2].partition("::")

        assert f"def {name}(" in (root / file).read_text("utf-8")
