"""The embedded CRM on SQLite and on a real PostgreSQL: one run is there whole, or not at all."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
import sqlalchemy as sa

from data.errors import DeliveryError
from serving.crm import sql
from serving.crm.sql import Crm, Written
from serving.score import Scored

MONDAY = date(2025, 6, 2)
NEXT = MONDAY + timedelta(days=7)
NOW = datetime(2025, 6, 2, 6, tzinfo=UTC)
ROW: dict[str, Any] = {
    "csm": "Ada",
    "expansion_signal": "seats: tier 1",
    "low": 0.1,
    "high": 0.9,
    "readiness_date": MONDAY,
    "expected_date": MONDAY + timedelta(days=40),
    "expected_early": MONDAY + timedelta(days=10),
    "expected_late": MONDAY + timedelta(days=90),
    "band": "40% and more",
    "probability_180d": 0.8,
    "expected_arr": 1200.0,
    "churn_probability": 0.05,
    "limit": "seats",
    "tier": 1,
    "motion": "seat add",
    "signals": ["9 of 10 seats active, up from 6 three months ago"],
    "active_seats": 9,
    "licensed_seats": 10,
    "seat_utilization": 0.9,
    "margin": -0.5,
    "base": -2.0,
    "contributions": json.dumps({"seat_utilization": 1.5}),
    "model": "1",
    "crm_id": None,
}


def listed(as_of: date = MONDAY, left: dict[str, str] | None = None, **chances: float) -> Scored:
    """A list of accounts by falling chance, and those that left it, with the reason."""
    ranked = sorted(chances.items(), key=lambda item: -item[1])
    rows = [
        {
            "rank": rank,
            "account_id": account,
            "name": account.title(),
            "as_of": as_of,
            "probability": chance,
            **ROW,
        }
        for rank, (account, chance) in enumerate(ranked, start=1)
    ]
    gone = [
        (account, as_of, reason, account.title(), ROW["csm"])
        for account, reason in (left or {}).items()
    ]
    names = ["account_id", "as_of", "reason", "name", "csm"]
    schema = dict.fromkeys(names, pl.String) | {"as_of": pl.Date}
    return Scored(pl.DataFrame(rows), pl.DataFrame(gone, schema=schema, orient="row"))


def write(crm: Crm, scored: Scored, as_of: date = MONDAY) -> Written:
    return crm.write(scored, as_of, record={"listed": scored.accounts.height}, finished_at=NOW)


def chances(crm: Crm) -> dict[str, float]:
    return {row["account_id"]: row["probability"] for row in crm.listed()}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'crm.db'}"
        return
    server = sa.make_url(request.getfixturevalue("postgres")).set(drivername="postgresql+psycopg")
    name = f"crm_{uuid4().hex}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def open_crm(url: str) -> Iterator[Callable[[], Crm]]:
    """Opens the CRM, and closes what was opened."""
    engines: set[sa.Engine] = set()

    def remember(connection: sa.Connection) -> None:
        engines.add(connection.engine)

    sa.event.listen(sa.Engine, "engine_connect", remember)
    yield lambda: sql.connect(url)
    sa.event.remove(sa.Engine, "engine_connect", remember)
    for engine in engines:
        engine.dispose()


@pytest.fixture
def crm(open_crm: Callable[[], Crm]) -> Crm:
    return open_crm()


def test_a_list_is_read_back_as_it_was_written(crm: Crm) -> None:
    written = write(crm, listed(acme=0.7, beta=0.2))

    first, second = crm.listed()
    assert written == Written(listed=2, unlisted=0, newer=0)
    assert (first["rank"], first["account_id"], first["probability"]) == (1, "acme", 0.7)
    assert first["signals"] == ROW["signals"]
    assert first["contributions"] == {"seat_utilization": 1.5}
    assert first["readiness_date"] == MONDAY
    assert second["rank"] == 2
    assert crm.newest() == MONDAY
    assert crm.last_run()["record"] == {"listed": 2}  # type: ignore[index]


def test_a_second_run_for_one_as_of_replaces_the_first(crm: Crm) -> None:
    write(crm, listed(acme=0.7, beta=0.2))

    write(crm, listed(acme=0.3, core=0.4, left={"beta": "contract ended"}))

    assert chances(crm) == {"core": 0.4, "acme": 0.3}
    assert [past["probability"] for past in crm.past("acme")] == [0.3]
    assert crm.past("beta") == []


def test_the_same_run_twice_leaves_the_same_crm(crm: Crm) -> None:
    scored = listed(acme=0.7, beta=0.2)
    write(crm, scored)
    before = crm.listed()

    again = write(crm, scored)

    assert crm.listed() == before
    assert again == Written(listed=2, unlisted=0, newer=0)


def test_the_next_week_replaces_the_list_and_keeps_the_past(crm: Crm) -> None:
    write(crm, listed(acme=0.7))

    write(crm, listed(NEXT, acme=0.5), NEXT)

    assert crm.newest() == NEXT
    assert [(past["as_of"], past["probability"]) for past in crm.past("acme")] == [
        (MONDAY, 0.7),
        (NEXT, 0.5),
    ]


def test_an_older_as_of_never_overwrites_a_newer_one(crm: Crm) -> None:
    write(crm, listed(NEXT, acme=0.5, beta=0.1), NEXT)
    before = crm.listed()

    written = write(crm, listed(acme=0.9, beta=0.8))

    assert written == Written(listed=0, unlisted=0, newer=2)
    assert crm.listed() == before
    assert [past["probability"] for past in crm.past("acme")] == [0.9, 0.5]


def test_an_account_of_an_older_list_does_not_slip_into_the_newer_one(crm: Crm) -> None:
    write(crm, listed(NEXT, acme=0.5), NEXT)

    write(crm, listed(acme=0.9, gone=0.8))

    assert chances(crm) == {"acme": 0.5}
    assert crm.account("gone") is None
    assert [past["probability"] for past in crm.past("gone")] == [0.8]


def test_an_account_that_left_the_list_is_blanked_with_its_reason(crm: Crm) -> None:
    write(crm, listed(acme=0.7, beta=0.2, core=0.1))

    written = write(crm, listed(NEXT, core=0.1, left={"acme": "no event in 90 days"}), NEXT)

    acme, beta = crm.account("acme"), crm.account("beta")
    assert written.unlisted == 2
    assert acme is not None
    assert acme["note"] == "no event in 90 days"
    assert acme["as_of"] == NEXT
    assert beta is not None
    assert beta["note"] == "unknown account"
    kept = {"account_id", "as_of", "note", "name", "csm"}
    assert {name for name, value in acme.items() if value is not None} == kept
    assert chances(crm) == {"core": 0.1}


def test_an_account_that_comes_back_is_listed_again(crm: Crm) -> None:
    write(crm, listed(acme=0.7, beta=0.2))
    write(crm, listed(NEXT, beta=0.2, left={"acme": "on trial"}), NEXT)

    write(crm, listed(NEXT, acme=0.6, beta=0.2), NEXT)

    acme = crm.account("acme")
    assert acme is not None
    assert (acme["probability"], acme["note"]) == (0.6, None)


def test_a_failure_in_the_middle_leaves_everything_as_it_was(crm: Crm) -> None:
    write(crm, listed(acme=0.7, beta=0.2))
    before, run = crm.listed(), crm.last_run()

    def fail(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("INSERT INTO runs"):
            raise sa.exc.OperationalError(statement, parameters, OSError("the cable was pulled"))

    sa.event.listen(sa.Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(DeliveryError, match="refused: the cable was pulled; nothing of this"):
            write(crm, listed(NEXT, core=0.9), NEXT)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", fail)

    assert crm.listed() == before
    assert crm.last_run() == run
    assert crm.past("core") == []


def test_a_value_the_database_refuses_leaves_everything_as_it_was(crm: Crm) -> None:
    write(crm, listed(acme=0.7))
    twice = Scored(pl.concat([listed(NEXT, acme=0.5).accounts] * 2), listed().left)

    with pytest.raises(DeliveryError, match="the CRM database refused: ") as told:
        write(crm, twice, NEXT)

    assert "\n" not in str(told.value)
    assert chances(crm) == {"acme": 0.7}


def test_what_was_written_is_there_for_whoever_opens_it_next(
    crm: Crm, open_crm: Callable[[], Crm]
) -> None:
    write(crm, listed(acme=0.7))

    again = open_crm()

    assert chances(again) == {"acme": 0.7}


def test_an_empty_crm_says_so(crm: Crm) -> None:
    assert crm.newest() is None
    assert crm.last_run() is None
    assert crm.listed() == []
    assert crm.account("acme") is None


def test_an_account_is_found_by_id_or_by_name_in_any_case(crm: Crm) -> None:
    scored = listed(acme=0.7, beta=0.2)
    names = pl.Series("name", ["beta", "Ångström"])
    write(crm, Scored(scored.accounts.with_columns(names), scored.left))

    found = {
        asked: (crm.account(asked) or {}).get("account_id")
        for asked in ("acme", "beta", "BETA", "Ångström", "nobody")
    }

    # An id comes before another account's name.
    assert found == {
        "acme": "acme",
        "beta": "beta",
        "BETA": "acme",
        "Ångström": "beta",
        "nobody": None,
    }


def test_a_read_only_database_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "crm.db"
    write(sql.connect(f"sqlite:///{file}"), listed(acme=0.7))
    closed = sql.connect(f"sqlite:///file:{file}?mode=ro&uri=true")

    with pytest.raises(DeliveryError, match="attempt to write a readonly database") as told:
        write(closed, listed(NEXT, acme=0.1), NEXT)

    assert "\n" not in str(told.value)
    assert chances(closed) == {"acme": 0.7}


@pytest.mark.parametrize(
    ("away", "complaint"),
    [
        ("postgresql+psycopg://nobody:secret@127.0.0.1:9/crm", "refused"),
        ("sqlite:////proc/nowhere/crm.db", "unable to open database file"),
        ("oracle+nothing://x/y", "no driver"),
        ("no url at all", "no driver"),
    ],
)
def test_a_database_out_of_reach_is_told_in_one_line(away: str, complaint: str) -> None:
    with pytest.raises(DeliveryError, match=complaint) as told:
        sql.connect(away)

    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_the_folder_of_an_sqlite_file_is_made(tmp_path: Path) -> None:
    sql.connect(f"sqlite:///{tmp_path / 'new' / 'crm.db'}")

    assert (tmp_path / "new" / "crm.db").is_file()


def test_the_place_is_told_without_its_password() -> None:
    told = sql.place("postgresql+psycopg://expansion:secret@host/crm")

    assert "secret" not in told
    assert told.startswith("postgresql+psycopg://expansion:")


def test_an_account_that_was_never_listed_says_why_not(crm: Crm) -> None:
    write(crm, listed(acme=0.3, left={"beta": "on trial"}))

    found = crm.account("beta")

    assert found is not None
    assert (found["name"], found["rank"], found["note"]) == ("Beta", None, "on trial")
