"""Invalid input gives one clear error or a counted exclusion; no data is lost or half-written."""

import os
import re
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

# MLflow uses a deprecated SQLAlchemy API.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ErrorMessage = Callable[[Result], str]
Spoil = Callable[[Any], object]
needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="/dev/full exists on Linux only"
)
ALWAYS_EXPANDING = [
    f"{name},2024-{month:02}-{day:02},{10 + 10 * month + day},team,100,paid"
    for name in ("acme", "beta", "core", "dune")
    for month in range(1, 13)
    for day in (1, 15)
]


def full_disk(file: Path) -> Path:
    """Simulate a full disk: link the draft of a file to /dev/full."""
    draft = file.with_name(f".{file.name}.{os.getpid()}-{get_ident()}.draft")
    draft.symlink_to("/dev/full")
    return draft


# ---- Files and settings.


def test_the_tiny_company_is_valid(tiny: Any) -> None:
    output, panel = tiny.panel()

    assert output["excluded"] == {}
    assert panel["account_id"].to_list() == ["acme", "beta", "core", "dune"]


def halve_events(tiny: Any) -> None:
    """Replace the log by a Parquet file whose end is missing."""
    whole = tiny.folder / "whole.parquet"
    pl.read_csv(tiny.folder / "events.csv").write_parquet(whole)
    (tiny.folder / "events.parquet").write_bytes(whole.read_bytes()[:-200])
    tiny.settings(tiny.config.read_text().replace("events.csv", "events.parquet"))


def replace_text(table: str, old: str, new: str) -> Spoil:
    def spoil(tiny: Any) -> None:
        file = tiny.folder / f"{table}.csv"
        file.write_text(file.read_text().replace(old, new, 1))

    return spoil


def limit_bad_rows(tiny: Any) -> None:
    tiny.settings(tiny.config.read_text().replace("share = 1", "share = 0.05"))
    tiny.add("subscriptions", "acme,2024-06-01,a dozen,team,100,paid")


def keep_one_month(tiny: Any) -> None:
    tiny.write("events", [row for row in tiny.rows("events") if ",2024-01-" in row])


TABLES = ("events", "subscriptions", "accounts")
NO_ZONE = "2024-06-01T09:00:00"
INVALID_INPUT: dict[str, tuple[Spoil, str]] = {
    "an unknown setting": (
        lambda tiny: tiny.settings("[scoring]\nmax_log_age = 7\n"),
        r"expansion\.toml: unknown setting scoring\.max_log_age\."
        r" Did you mean scoring\.max_log_age_days\?$",
    ),
    "half a Parquet file": (
        halve_events,
        r"events: events\.parquet cannot be read.*incomplete or damaged",
    ),
    "too many bad rows": (
        limit_bad_rows,
        r"subscriptions: 1 of 5 rows \(20\.0%\) are invalid, above the 5\.0%",
    ),
    "an event without a time zone": (
        lambda tiny: tiny.write("events", [f"a,a-1,{NO_ZONE},view,x", *tiny.rows("events")]),
        "events: .*zone",
    ),
    "a contract without a time zone": (
        lambda tiny: tiny.add("subscriptions", f"acme,{NO_ZONE},12,team,100,paid"),
        "subscriptions: .*zone",
    ),
    "an empty log": (lambda tiny: tiny.write("events", []), "events: no rows, expected at least"),
    "a log without a valid row": (
        lambda tiny: tiny.write("events", ["acme,acme-1,never,view,reports"]),
        r"events: 1 of 1 rows \(100\.0%\) are invalid",
    ),
}
for name in TABLES:
    INVALID_INPUT[f"no table of {name}"] = (
        lambda tiny, name=name: (tiny.folder / f"{name}.csv").unlink(),  # type: ignore[misc]
        rf"{name}: no file at \S+{name}\.csv\. Create it",
    )
for name, column in zip(TABLES, ("timestamp", "effective_date", "created_date"), strict=True):
    INVALID_INPUT[f"no column {column}"] = (
        replace_text(name, column, "moment"),
        rf"{name}: missing column\(s\) {column}; found .*"
        rf"Map the warehouse's names under \[columns\.{name}\]",
    )


@pytest.mark.parametrize(("spoil", "message"), INVALID_INPUT.values(), ids=INVALID_INPUT)
def test_invalid_input_is_reported_in_one_line(
    spoil: Spoil, message: str, tiny: Any, error_message: ErrorMessage
) -> None:
    spoil(tiny)

    assert re.match(message, error_message(tiny.run("check")))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train", "0 of .*complete windows of 60 days contain an expansion"),
        ("evaluate", "the history is too short .*: 0 of .*windows of 60 days contain an expansion"),
        ("score --crm hubble", "no CRM named 'hubble'; this version supports: sql, "),
        ("promote", r"there is no challenger to promote\. Train one with `expansion train`\.$"),
        ("promote --force=", "promoting a model against the gate requires a reason"),
        ("rollback", "there is no previous champion to roll back to"),
        ("show", r"there is no list yet; run `expansion score` first\.$"),
        ("show acme", r"there is no list yet; run `expansion score` first\.$"),
        ("features --out accounts.csv/panel.parquet", ".*could not be written: "),
    ],
)
def test_a_command_that_cannot_run_names_what_is_missing(
    command: str,
    message: str,
    tiny: Any,
    error_message: ErrorMessage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny.folder)

    assert re.match(message, error_message(tiny.run(*command.split())))
    assert not list((tiny.folder / "state").glob("mlartifacts"))


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_single_month_of_history_is_too_short(
    command: str, tiny: Any, error_message: ErrorMessage
) -> None:
    keep_one_month(tiny)

    message = error_message(tiny.run(command))

    assert message.startswith("the log starts on 2024-01-01, and its first 180 days")
    assert "no snapshot remains before 2024-02-01" in message


def test_a_history_of_only_expansions_is_reported(tiny: Any, error_message: ErrorMessage) -> None:
    tiny.write("subscriptions", ALWAYS_EXPANDING)

    message = error_message(tiny.run("train"))

    assert "at least 10 with and 10 without are needed" in message


# ---- Rows.


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("subscriptions", "acme,2024-06-01,a dozen,team,100,paid", "licensed_seats"),
        (
            "subscriptions",
            "ghost,2024-06-01,10,team,100,paid",
            "^account_id is not in the accounts table$",
        ),
        (
            "events",
            "acme,acme-3,2999-01-01T09:00:00Z,view,reports",
            "^timestamp is in the future$",
        ),
    ],
    ids=["text in a number", "contract without an account", "event in the future"],
)
def test_an_invalid_row_is_rejected_and_counted(
    table: str, row: str, reason: str, tiny: Any
) -> None:
    _, before = tiny.panel()
    tiny.add(table, row)

    checked = tiny.run_json("check")
    _, panel = tiny.panel()

    ((found, count),) = {each["table"]: each["quarantine"] for each in checked["tables"]}[
        table
    ].items()
    assert re.search(reason, found)
    assert count == 1
    assert checked["span"]["last_day"] < "2999"
    assert_frame_equal(panel, before)


def test_an_account_without_a_contract_is_excluded_and_counted(tiny: Any) -> None:
    tiny.add("accounts", "echo,2023-12-01,Echo")
    tiny.add("events", "echo,echo-1,2025-01-20T09:00:00Z,view,reports")

    output, panel = tiny.panel()

    assert output["excluded"] == {"no contract in force": 1}
    assert "echo" not in panel["account_id"]


def test_zero_licensed_seats_are_read_as_missing_and_noted(tiny: Any) -> None:
    contracts = tiny.rows("subscriptions")
    tiny.write("subscriptions", [contracts[0].replace(",10,", ",0,"), *contracts[1:]])

    checked = tiny.run_json("check")
    _, panel = tiny.panel()

    notes = {table["table"]: table["notes"] for table in checked["tables"]}
    assert notes["subscriptions"] == {"licensed_seats of 0 read as no seat limit": 1}
    acme, beta = panel.rows(named=True)[:2]
    assert (acme["licensed_seats"], acme["seat_utilization"]) == (None, None)
    assert (beta["licensed_seats"], beta["seat_utilization"]) == (10.0, 0.2)


def test_check_reports_on_a_company_that_is_too_small_to_train(tiny: Any) -> None:
    keep_one_month(tiny)

    report = tiny.run_json("check")

    assert report["eligible"] == 4
    assert report["history"]["expansions"] == {}
    assert [item["passed"] for item in report["checklist"]] == [False, True, True, True, True]


# ---- A full disk.


@needs_full_disk
@pytest.mark.parametrize("name", ["panel.parquet", "panel.csv"])
def test_a_full_disk_keeps_the_previous_features(
    name: str, tiny: Any, error_message: ErrorMessage
) -> None:
    out = tiny.folder / name
    tiny.run("features", "--out", out)
    before = out.read_bytes()
    draft = full_disk(out)

    message = error_message(tiny.run("features", "--out", out, "--months", 2))

    assert message == (
        f"{out} could not be written: No space left on device; free some space or use another"
        " folder. The previous content is unchanged."
    )
    assert out.read_bytes() == before
    assert not draft.is_symlink()


@needs_full_disk
@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_a_full_disk_leaves_no_partial_table_in_the_cache_and_does_not_blame_the_log(
    kind: str, tiny: Any, error_message: ErrorMessage
) -> None:
    _, before = tiny.panel()
    cached = next((tiny.folder / "state" / "activity").glob(f"*.{kind}"))
    cached.unlink()
    full_disk(cached)

    message = error_message(tiny.run("check"))
    _, panel = tiny.panel()

    assert "No space left on device" in message
    assert "events.csv cannot be read" not in message
    assert_frame_equal(panel, before)


@needs_full_disk
def test_a_full_disk_leaves_no_partial_file_of_predictions(
    trained_company: Any, error_message: ErrorMessage
) -> None:
    out = trained_company.folder / "again.parquet"
    full_disk(out)

    message = error_message(trained_company.run("evaluate", "--predictions", out))

    assert "No space left on device" in message
    assert not list(trained_company.folder.glob("*again.parquet*"))


@pytest.fixture
def full_database() -> Iterator[None]:
    """No SQLite database can grow."""

    def limit(connection: Any, _: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(sa.Engine, "connect", limit)
    yield
    sa.event.remove(sa.Engine, "connect", limit)


def test_a_full_disk_leaves_the_list_in_the_crm_unchanged(
    trained_company: Any, error_message: ErrorMessage, request: pytest.FixtureRequest
) -> None:
    before = trained_company.active_list()
    as_of = datetime.fromisoformat(before["as_of"]).date() + timedelta(days=1)
    request.getfixturevalue("full_database")

    message = error_message(trained_company.run("score", "--as-of", as_of))

    assert message.startswith("the database reported: database or disk is full; nothing of this")
    assert trained_company.active_list() == before


# ---- The weekly job.


@pytest.fixture
def copied(trained_company: Any, tmp_path: Path) -> Iterator[Any]:
    """The trained company; its model files are restored after a test has corrupted them."""
    backup = tmp_path / "backup"
    models = trained_company.folder / "mlartifacts"
    shutil.copytree(models, backup)
    yield trained_company
    shutil.rmtree(models)
    shutil.copytree(backup, models)


@pytest.mark.parametrize("name", ["booster_0.txt", "card.json", "churn/booster_0.txt"])
def test_a_corrupted_model_is_rejected_and_the_list_is_unchanged(
    name: str, copied: Any, error_message: ErrorMessage
) -> None:
    before = copied.active_list()
    (file,) = (copied.folder / "mlartifacts").glob(f"*/artifacts/model/{name}")
    file.write_text(file.read_text()[:-50])

    message = error_message(copied.run("score"))

    which = "the churn model of model version 1" if "/" in name else "model version 1"
    assert message == (
        f"{which} is incomplete or was altered in the store ({file.name} does not match its"
        " digest); run `expansion train` again, or restore its artifacts."
    )
    assert copied.active_list() == before


def test_a_stale_log_is_rejected_at_scoring(
    trained_company: Any, error_message: ErrorMessage
) -> None:
    before = trained_company.active_list()
    last = datetime.fromisoformat(trained_company.result("check")["span"]["last_day"]).date()
    day = last + timedelta(days=1 + 8)

    message = error_message(trained_company.run("score", "--as-of", day))
    allowed = trained_company.run("score", "--dry-run", "--as-of", day - timedelta(days=1))

    assert message.startswith(f"the log ends on {last}, 8 days before {day}; at most 7")
    assert "scoring.max_log_age_days" in message
    assert allowed.exit_code == 0
    assert trained_company.active_list() == before


def test_an_as_of_without_eligible_accounts_is_reported_with_the_reasons(
    trained_company: Any, error_message: ErrorMessage
) -> None:
    message = error_message(trained_company.run("score", "--as-of", "2019-01-01"))

    assert message.startswith("no account is eligible on 2019-01-01 (")


def test_an_unknown_account_is_reported_with_the_command_that_lists_accounts(
    trained_company: Any, error_message: ErrorMessage
) -> None:
    message = error_message(trained_company.run("show", "nobody"))

    assert message.startswith("no account 'nobody' on the list of ")
