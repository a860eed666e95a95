"""Bad input gets one clear sentence or a counted exclusion, and nothing is lost or half-written."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import get_ident
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from click.testing import Result
from polars.testing import assert_frame_equal

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

Refused = Callable[[Result], str]
needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="a device that is always full exists on Linux only"
)
ALWAYS_EXPANDING = [
    f"{name},2024-{month:02}-{day:02},{10 + 10 * month + day},team,100,paid"
    for name in ("acme", "beta", "core", "dune")
    for month in range(1, 13)
    for day in (1, 15)
]


def full_disk(file: Path) -> Path:
    """Make the disk full for whoever writes a file: its draft is a device that takes nothing."""
    draft = file.with_name(f".{file.name}.{os.getpid()}-{get_ident()}.draft")
    draft.symlink_to("/dev/full")
    return draft


# ---- Files and settings.


def test_the_tiny_company_is_sound(tiny: Any) -> None:
    said, panel = tiny.panel()

    assert said["excluded"] == {}
    assert panel["account_id"].to_list() == ["acme", "beta", "core", "dune"]


def test_an_unknown_setting_is_told_with_the_nearest_name(tiny: Any, refused: Refused) -> None:
    tiny.settings("[scoring]\nmax_log_age = 7\n")

    told = refused(tiny.run("check"))

    assert told == (
        "expansion.toml: unknown setting scoring.max_log_age."
        " Did you mean scoring.max_log_age_days?"
    )


@pytest.mark.parametrize("table", ["events", "subscriptions", "accounts"])
def test_a_missing_table_file_is_named(table: str, tiny: Any, refused: Refused) -> None:
    (tiny.folder / f"{table}.csv").unlink()

    told = refused(tiny.run("check"))

    assert told.startswith(f"{table}: no file at {tiny.folder / table}.csv. Put it there")


@pytest.mark.parametrize(
    ("table", "column"),
    [("events", "timestamp"), ("subscriptions", "effective_date"), ("accounts", "created_date")],
)
def test_a_missing_column_is_named(table: str, column: str, tiny: Any, refused: Refused) -> None:
    file = tiny.folder / f"{table}.csv"
    file.write_text(file.read_text().replace(column, "moment", 1))

    told = refused(tiny.run("check"))

    assert told.startswith(f"{table}: missing column(s) {column}; found ")
    assert f"Map the warehouse's names under [columns.{table}]" in told


def test_a_half_written_parquet_file_is_named(tiny: Any, refused: Refused) -> None:
    whole = tiny.folder / "whole.parquet"
    pl.read_csv(tiny.folder / "events.csv").write_parquet(whole)
    (tiny.folder / "events.parquet").write_bytes(whole.read_bytes()[:-200])
    tiny.settings(tiny.config.read_text().replace("events.csv", "events.parquet"))

    told = refused(tiny.run("check"))

    assert told.startswith("events: events.parquet cannot be read as what its name says")
    assert "half-written or damaged" in told


# ---- Rows.


def test_text_in_a_number_is_left_out_and_counted(tiny: Any) -> None:
    tiny.add("subscriptions", "acme,2024-06-01,a dozen,team,100,paid")

    checked = tiny.ask("check")

    reasons = {table["table"]: table["quarantine"] for table in checked["tables"]}
    assert list(reasons["subscriptions"].values()) == [1]
    assert "licensed_seats" in next(iter(reasons["subscriptions"]))


def test_a_table_with_too_many_bad_rows_stops_the_run(tiny: Any, refused: Refused) -> None:
    tiny.settings(tiny.config.read_text().replace("share = 1", "share = 0.05"))
    tiny.add("subscriptions", "acme,2024-06-01,a dozen,team,100,paid")

    told = refused(tiny.run("check"))

    assert told.startswith("subscriptions: 1 of 5 rows (20.0%) break the contract, above the 5.0%")


@pytest.mark.parametrize("table", ["events", "subscriptions"])
def test_a_time_without_a_zone_is_refused(table: str, tiny: Any, refused: Refused) -> None:
    rows = {
        "events": "acme,acme-1,2024-06-01T09:00:00,view,reports",
        "subscriptions": "acme,2024-06-01T09:00:00,12,team,100,paid",
    }
    tiny.add(table, rows[table])
    if table == "events":
        tiny.write("events", [rows[table], *tiny.rows("events")])

    told = refused(tiny.run("check"))

    assert told.startswith(f"{table}: ")
    assert "zone" in told


def test_an_empty_log_is_refused(tiny: Any, refused: Refused) -> None:
    tiny.write("events", [])

    told = refused(tiny.run("check"))

    assert told.startswith("events: no rows, expected at least one")


def test_a_log_without_a_valid_row_is_refused(tiny: Any, refused: Refused) -> None:
    tiny.write("events", ["acme,acme-1,never,view,reports"])

    told = refused(tiny.run("check"))

    assert told.startswith("events: 1 of 1 rows (100.0%) break the contract")


def test_future_dated_events_are_left_out_and_counted(tiny: Any) -> None:
    _, before = tiny.panel()
    tiny.add("events", "acme,acme-3,2999-01-01T09:00:00Z,view,reports")

    checked = tiny.ask("check")
    _, panel = tiny.panel()

    assert checked["tables"][0]["quarantine"] == {"timestamp is in the future": 1}
    assert checked["span"]["last_day"] < "2999"
    assert_frame_equal(panel, before)


def test_an_account_without_a_contract_is_left_out_and_counted(tiny: Any) -> None:
    tiny.add("accounts", "echo,2023-12-01,Echo")
    tiny.add("events", "echo,echo-1,2025-01-20T09:00:00Z,view,reports")

    said, panel = tiny.panel()

    assert said["excluded"] == {"no contract in force": 1}
    assert "echo" not in panel["account_id"]


def test_a_contract_without_an_account_is_left_out_and_counted(tiny: Any) -> None:
    tiny.add("subscriptions", "ghost,2024-06-01,10,team,100,paid")

    checked = tiny.ask("check")
    _, panel = tiny.panel()

    reasons = {table["table"]: table["quarantine"] for table in checked["tables"]}
    assert reasons["subscriptions"] == {"account_id is not in the accounts table": 1}
    assert panel["account_id"].to_list() == ["acme", "beta", "core", "dune"]


def test_zero_licensed_seats_are_read_as_none_sold_and_noted(tiny: Any) -> None:
    contracts = tiny.rows("subscriptions")
    tiny.write("subscriptions", [contracts[0].replace(",10,", ",0,"), *contracts[1:]])

    checked = tiny.ask("check")
    _, panel = tiny.panel()

    notes = {table["table"]: table["notes"] for table in checked["tables"]}
    assert notes["subscriptions"] == {"licensed_seats of 0 read as no seats sold": 1}
    acme, beta = panel.rows(named=True)[:2]
    assert (acme["licensed_seats"], acme["seat_utilization"]) == (None, None)
    assert (beta["licensed_seats"], beta["seat_utilization"]) == (10.0, 0.2)


# ---- Histories too poor to learn from.


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_single_month_of_history_is_too_short(command: str, tiny: Any, refused: Refused) -> None:
    tiny.write("events", [row for row in tiny.rows("events") if ",2024-01-" in row])

    told = refused(tiny.run(command))

    assert told.startswith("the log starts on 2024-01-01, and the first 180 days")
    assert "nothing is left before 2024-02-01" in told


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_history_without_any_expansion_is_told_so(
    command: str, tiny: Any, refused: Refused
) -> None:
    told = refused(tiny.run(command))

    assert "0 of " in told
    assert "complete windows of 60 days hold an expansion" in told
    assert not list((tiny.folder / "state").glob("mlartifacts"))


def test_a_history_of_nothing_but_expansions_is_told_so(tiny: Any, refused: Refused) -> None:
    tiny.write("subscriptions", ALWAYS_EXPANDING)

    told = refused(tiny.run("train"))

    assert "at least 10 with and 10 without are needed" in told


def test_check_reads_a_company_that_is_too_poor_to_learn_from(tiny: Any) -> None:
    tiny.write("events", [row for row in tiny.rows("events") if ",2024-01-" in row])

    report = tiny.ask("check")

    assert report["eligible"] == 4
    assert report["history"]["expansions"] == {}
    assert [item["holds"] for item in report["checklist"]] == [False, True, True, True, True]


# ---- A full disk.


@needs_full_disk
@pytest.mark.parametrize("name", ["panel.parquet", "panel.csv"])
def test_a_full_disk_leaves_the_features_of_before(name: str, tiny: Any, refused: Refused) -> None:
    out = tiny.folder / name
    tiny.run("features", "--out", out)
    before = out.read_bytes()
    draft = full_disk(out)

    told = refused(tiny.run("features", "--out", out, "--months", 2))

    assert told == (
        f"{out} could not be written: No space left on device; free some space or name another"
        " place. What stood there before is unchanged."
    )
    assert out.read_bytes() == before
    assert not draft.is_symlink()


@needs_full_disk
@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_a_full_disk_leaves_no_half_table_in_the_cache_and_does_not_blame_the_log(
    kind: str, tiny: Any, refused: Refused
) -> None:
    _, before = tiny.panel()
    kept = next((tiny.folder / "state" / "activity").glob(f"*.{kind}"))
    kept.unlink()
    full_disk(kept)

    told = refused(tiny.run("check"))
    _, panel = tiny.panel()

    assert "No space left on device" in told
    assert "events.csv cannot be read" not in told
    assert_frame_equal(panel, before)


@needs_full_disk
def test_a_full_disk_leaves_no_half_file_of_predictions(road: Any, refused: Refused) -> None:
    out = road.folder / "again.parquet"
    full_disk(out)

    told = refused(road.run("evaluate", "--predictions", out))

    assert "No space left on device" in told
    assert not list(road.folder.glob("*again.parquet*"))


@pytest.fixture
def full_database() -> Iterator[None]:
    """Every SQLite database is as large as it may become."""

    def limit(connection: Any, _: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(sa.Engine, "connect", limit)
    yield
    sa.event.remove(sa.Engine, "connect", limit)


def test_a_full_disk_leaves_the_list_in_the_crm_as_it_was(
    road: Any, refused: Refused, request: pytest.FixtureRequest
) -> None:
    before = road.shown()
    as_of = datetime.fromisoformat(before["as_of"]).date() + timedelta(days=1)
    request.getfixturevalue("full_database")

    told = refused(road.run("score", "--as-of", as_of))

    assert told.startswith("the CRM database refused: database or disk is full; nothing of this")
    assert road.shown() == before


def test_a_folder_in_the_place_of_a_file_is_told(tiny: Any, refused: Refused) -> None:
    (tiny.folder / "taken").write_text("a file")

    told = refused(tiny.run("features", "--out", tiny.folder / "taken" / "panel.parquet"))

    assert "could not be written: " in told


# ---- The weekly job.


@pytest.fixture
def copied(road: Any, tmp_path: Path) -> Iterator[Any]:
    """The simulated company's model files, put back after a test has spoiled them."""
    kept = tmp_path / "kept"
    models = road.folder / "mlartifacts"
    shutil.copytree(models, kept)
    yield road
    shutil.rmtree(models)
    shutil.copytree(kept, models)


@pytest.mark.parametrize("name", ["booster_0.txt", "card.json", "churn/booster_0.txt"])
def test_a_corrupted_model_is_refused_and_the_list_stays(
    name: str, copied: Any, refused: Refused
) -> None:
    before = copied.shown()
    (file,) = (copied.folder / "mlartifacts").glob(f"*/artifacts/model/{name}")
    file.write_text(file.read_text()[:-50])

    told = refused(copied.run("score"))

    which = "the churn model of model version 1" if "/" in name else "model version 1"
    assert told == (
        f"{which} is incomplete or was altered in the store ({file.name} does not match its"
        " digest); run `expansion train` again, or restore its artifacts."
    )
    assert copied.shown() == before


def test_a_log_that_ended_too_long_ago_is_refused_at_scoring(road: Any, refused: Refused) -> None:
    before = road.shown()
    last = datetime.fromisoformat(road.told("check")["span"]["last_day"]).date()
    day = last + timedelta(days=1 + 8)

    told = refused(road.run("score", "--as-of", day))
    allowed = road.run("score", "--dry-run", "--as-of", day - timedelta(days=1))

    assert told.startswith(f"the log ends on {last}, 8 days before {day}; at most 7")
    assert "scoring.max_log_age_days" in told
    assert allowed.exit_code == 0
    assert road.shown() == before


def test_an_unknown_crm_is_refused_with_those_there_are(tiny: Any, refused: Refused) -> None:
    told = refused(tiny.run("score", "--crm", "hubble"))

    assert told.startswith("no CRM named 'hubble'; this version writes to: sql, ")


def test_there_is_nothing_to_promote_or_to_go_back_to_before_training(
    tiny: Any, refused: Refused
) -> None:
    told = refused(tiny.run("promote"))

    assert told == ("there is no challenger to promote. Train one with `expansion train`.")
    told = refused(tiny.run("promote", "--force", ""))
    assert told.startswith("a model is promoted against the gate for a reason only, and none was")
    told = refused(tiny.run("rollback"))
    assert told.startswith("no champion was there before, so there is nothing to go back to (there")


def test_an_as_of_at_which_nobody_is_eligible_is_told_with_the_reasons(
    road: Any, refused: Refused
) -> None:
    told = refused(road.run("score", "--as-of", "2019-01-01"))

    assert told.startswith("no account is eligible on 2019-01-01 (")


@pytest.mark.parametrize("account", [[], ["acme"]])
def test_showing_before_any_score_says_what_comes_first(
    account: list[str], tiny: Any, refused: Refused
) -> None:
    told = refused(tiny.run("show", *account))

    assert told == "there is no list yet; run `expansion score` first."


def test_an_unknown_account_is_told_with_where_to_look(road: Any, refused: Refused) -> None:
    told = refused(road.run("show", "nobody"))

    assert told.endswith("knows no account 'nobody'; `expansion show` prints it.")
