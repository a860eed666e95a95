"""A list, its run, its episodes and the outbox: one run is there whole, or not at all."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from data.config.settings import Episodes
from data.errors import DeliveryError
from serving import store
from serving.delivery.desired.account_fields import hash_fields
from serving.delivery.desired.commit import CommittedRun, commit_run
from serving.delivery.desired.entitlements import Entitlements
from serving.scoring.score import ScoredList
from serving.store import queries
from serving.store.schema import ACCOUNT_TOUCHES, DESIRED_OBJECTS, EPISODES

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
    "tier": None,
    "ask": True,
    "motion": "seat add",
    "buyer": "champion",
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


def listed(
    as_of: date = MONDAY,
    left: dict[str, str] | None = None,
    tiers: dict[str, int] | None = None,
    **chances: float,
) -> ScoredList:
    """A list of accounts by falling chance, and those that left it, with the reason."""
    ranked = sorted(chances.items(), key=lambda item: -item[1])
    rows = [
        {
            **ROW,
            "rank": rank,
            "account_id": account,
            "name": account.title(),
            "as_of": as_of,
            "probability": chance,
            "tier": (tiers or {}).get(account),
        }
        for rank, (account, chance) in enumerate(ranked, start=1)
    ]
    gone = [
        (account, as_of, reason, account.title(), ROW["csm"])
        for account, reason in (left or {}).items()
    ]
    names = ["account_id", "as_of", "reason", "name", "csm"]
    schema = dict.fromkeys(names, pl.String) | {"as_of": pl.Date}
    frame = pl.DataFrame(rows, schema_overrides={"tier": pl.Int64})
    return ScoredList(frame, pl.DataFrame(gone, schema=schema, orient="row"))


def write(
    engine: sa.Engine,
    scored: ScoredList,
    as_of: date = MONDAY,
    *,
    target: str = "sql",
    levels: dict[str, Entitlements] | None = None,
) -> CommittedRun:
    return commit_run(
        engine,
        target,
        scored,
        as_of,
        entitlements=levels or {},
        episode_config=Episodes(),
        record={"listed": scored.accounts.height},
        finished_at=NOW,
    )


def counts(done: CommittedRun) -> tuple[int, int, int]:
    return done.listed, done.unlisted, done.newer


def chances(engine: sa.Engine) -> dict[str, float]:
    return {row["account_id"]: row["probability"] for row in queries.load_list_rows(engine)}


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with store.read_transaction(engine) as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def outbox(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in rows(engine, DESIRED_OBJECTS)}


# ---- The list.


def test_a_list_is_read_back_as_it_was_written(database: sa.Engine) -> None:
    written = write(database, listed(acme=0.7, beta=0.2))

    first, second = queries.load_list_rows(database)
    assert counts(written) == (2, 0, 0)
    assert (first["rank"], first["account_id"], first["probability"]) == (1, "acme", 0.7)
    assert first["signals"] == ROW["signals"]
    assert first["contributions"] == {"seat_utilization": 1.5}
    assert first["readiness_date"] == MONDAY
    assert second["rank"] == 2
    assert queries.load_latest_as_of(database) == MONDAY
    run = queries.load_last_run(database)
    assert run is not None
    assert (run["id"], run["record"]) == (written.run_id, {"listed": 2})


def test_a_second_run_for_one_as_of_replaces_the_first(database: sa.Engine) -> None:
    write(database, listed(acme=0.7, beta=0.2))

    write(database, listed(acme=0.3, core=0.4, left={"beta": "contract ended"}))

    assert chances(database) == {"core": 0.4, "acme": 0.3}
    assert [past["probability"] for past in queries.load_score_history(database, "acme")] == [0.3]
    assert queries.load_score_history(database, "beta") == []


def test_the_same_run_twice_leaves_the_same(database: sa.Engine) -> None:
    scored = listed(acme=0.7, beta=0.2, tiers={"acme": 1}, left={"gone": "on trial"})
    once = write(database, scored)
    before = queries.load_list_rows(database), rows(database, EPISODES), outbox(database)

    again = write(database, scored)

    after = outbox(database)
    same = {key: {**row, "run_id": once.run_id} for key, row in after.items()}
    assert (queries.load_list_rows(database), rows(database, EPISODES), same) == before
    assert {**vars(again), "run_id": once.run_id} == vars(once)


def test_the_next_week_replaces_the_list_and_keeps_the_past(database: sa.Engine) -> None:
    write(database, listed(acme=0.7))

    write(database, listed(NEXT, acme=0.5), NEXT)

    assert queries.load_latest_as_of(database) == NEXT
    assert [
        (past["as_of"], past["probability"])
        for past in queries.load_score_history(database, "acme")
    ] == [
        (MONDAY, 0.7),
        (NEXT, 0.5),
    ]


def test_an_older_as_of_goes_to_the_scores_only(database: sa.Engine) -> None:
    write(database, listed(NEXT, acme=0.5, beta=0.1, tiers={"acme": 1}), NEXT)
    before = queries.load_list_rows(database), outbox(database), rows(database, EPISODES)

    written = write(database, listed(acme=0.9, gone=0.8, tiers={"gone": 1}))

    assert counts(written) == (0, 0, 2)
    assert (queries.load_list_rows(database), outbox(database), rows(database, EPISODES)) == before
    assert [past["probability"] for past in queries.load_score_history(database, "acme")] == [
        0.9,
        0.5,
    ]
    assert queries.load_account(database, "gone") is None


def test_an_account_that_left_the_list_is_blank_with_its_reason(database: sa.Engine) -> None:
    write(database, listed(acme=0.7, beta=0.2, core=0.1))

    written = write(database, listed(NEXT, core=0.1, left={"acme": "no event in 90 days"}), NEXT)

    acme, beta = queries.load_account(database, "acme"), queries.load_account(database, "beta")
    assert written.unlisted == 2
    assert acme is not None
    assert beta is not None
    assert (acme["note"], acme["as_of"], acme["rank"]) == ("no event in 90 days", NEXT, None)
    assert beta["note"] == "unknown account"
    assert chances(database) == {"core": 0.1}
    told = {name for name, value in outbox(database)["acme"]["fields"].items() if value is not None}
    assert told == {"name", "csm", "as_of", "note"}


def test_an_account_that_is_known_no_more_keeps_its_reason(database: sa.Engine) -> None:
    write(database, listed(acme=0.7, beta=0.2))
    write(database, listed(NEXT, acme=0.7), NEXT)
    later = NEXT + timedelta(days=7)

    write(database, listed(later, acme=0.7), later)

    beta = queries.load_account(database, "beta")
    assert beta is not None
    assert (beta["name"], beta["note"], beta["as_of"]) == ("Beta", "unknown account", later)


def test_an_account_that_comes_back_is_listed_again(database: sa.Engine) -> None:
    write(database, listed(acme=0.7, beta=0.2))
    write(database, listed(NEXT, beta=0.2, left={"acme": "on trial"}), NEXT)

    write(database, listed(NEXT, acme=0.6, beta=0.2), NEXT)

    acme = queries.load_account(database, "acme")
    assert acme is not None
    assert (acme["probability"], acme["note"]) == (0.6, None)


def test_an_account_is_found_by_id_or_by_name_in_any_case(database: sa.Engine) -> None:
    scored = listed(acme=0.7, beta=0.2)
    names = pl.Series("name", ["beta", "Ångström"])
    write(database, ScoredList(scored.accounts.with_columns(names), scored.not_listed))

    found = {
        asked: (queries.load_account(database, asked) or {}).get("account_id")
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


def test_an_empty_database_says_so(database: sa.Engine) -> None:
    assert queries.load_latest_as_of(database) is None
    assert queries.load_last_run(database) is None
    assert queries.load_list_rows(database) == []
    assert queries.load_account(database, "acme") is None
    assert queries.load_previous_list(database, MONDAY) is None


def test_the_list_before_is_that_of_the_day_before_the_as_of(database: sa.Engine) -> None:
    write(database, listed(acme=0.7))
    write(database, listed(NEXT, acme=0.5, left={"beta": "on trial"}), NEXT)

    assert queries.load_previous_list(database, MONDAY) is None
    for day, chance in ((NEXT, 0.7), (NEXT + timedelta(days=1), 0.5)):
        before = queries.load_previous_list(database, day)
        assert before is not None
        assert before.select("account_id", "probability").rows() == [("acme", chance)]


def test_the_last_day_an_account_was_worked_is_known_as_of_a_day(database: sa.Engine) -> None:
    days = [MONDAY - timedelta(days=back) for back in (0, 3, 9, 70)]
    with store.write_transaction(database) as connection:
        worked = [{"account_id": "acme", "worked_on": day, "how": "task done"} for day in days]
        connection.execute(sa.insert(ACCOUNT_TOUCHES), worked)

    assert queries.load_recent_touches(database, MONDAY, days=60) == {
        "acme": MONDAY - timedelta(days=3)
    }
    assert queries.load_recent_touches(database, NEXT, days=60) == {"acme": MONDAY}
    assert queries.load_recent_touches(database, MONDAY - timedelta(days=80), days=60) == {}


# ---- What should be true at the CRM.


def test_the_outbox_says_of_every_object_what_should_be_true(database: sa.Engine) -> None:
    done = write(database, listed(acme=0.7, beta=0.2, tiers={"acme": 1}, left={"gone": "on trial"}))

    found = outbox(database)
    assert {key: (row["kind"], row["place"]) for key, row in found.items()} == {
        "acme": ("account", 1),
        "beta": ("account", 2),
        "gone": ("account", 3),
        "acme:seats:1": ("opportunity", 1),
        "acme:seats:1:talk": ("task", 1),
    }
    for row in found.values():
        assert (row["target"], row["as_of"], row["run_id"]) == ("sql", MONDAY, done.run_id)
        assert row["digest"] == hash_fields(row["fields"])
    assert (done.opened, done.closed) == (1, 0)
    assert {row["limit"] for key, row in found.items() if ":" in key} == {"seats"}


def test_an_expansion_ends_the_episode_and_its_objects(database: sa.Engine) -> None:
    ten, twelve = {"acme": Entitlements(seats=10)}, {"acme": Entitlements(seats=12)}
    write(database, listed(acme=0.7, tiers={"acme": 1}), levels=ten)

    done = write(database, listed(NEXT, acme=0.2), NEXT, levels=twelve)

    (episode,) = rows(database, EPISODES)
    assert (episode["ending"], episode["closed_on"]) == ("expanded", NEXT)
    assert episode["levels"]["seats"] == 10
    states = {row["fields"].get("state") for key, row in outbox(database).items() if ":" in key}
    assert states == {"expanded"}
    assert (done.opened, done.closed) == (0, 1)


def test_each_crm_has_an_outbox_of_its_own(database: sa.Engine) -> None:
    write(database, listed(acme=0.7, tiers={"acme": 1}))

    write(database, listed(NEXT, acme=0.6, tiers={"acme": 1}), NEXT, target="odoo")

    found = rows(database, DESIRED_OBJECTS)
    assert [(row["target"], row["as_of"]) for row in found] == [("odoo", NEXT)] * 3 + [
        ("sql", MONDAY)
    ] * 3


# ---- All of it, or nothing.


@pytest.mark.parametrize("table", ["runs", "scores", "episodes", "outbox"])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    table: str, database: sa.Engine
) -> None:
    write(database, listed(acme=0.7, beta=0.2))
    before = queries.load_list_rows(database), queries.load_last_run(database), outbox(database)

    def fail(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(f"INSERT INTO {table}"):
            raise sa.exc.OperationalError(statement, parameters, OSError("the cable was pulled"))

    sa.event.listen(database, "before_cursor_execute", fail)
    try:
        with pytest.raises(DeliveryError, match="refused: the cable was pulled; nothing of this"):
            write(database, listed(NEXT, core=0.9, tiers={"core": 1}), NEXT)
    finally:
        sa.event.remove(database, "before_cursor_execute", fail)

    assert (
        queries.load_list_rows(database),
        queries.load_last_run(database),
        outbox(database),
    ) == before
    assert queries.load_score_history(database, "core") == []
    assert rows(database, EPISODES) == []


def test_a_value_the_database_refuses_leaves_everything_as_it_was(database: sa.Engine) -> None:
    write(database, listed(acme=0.7))
    twice = ScoredList(pl.concat([listed(NEXT, acme=0.5).accounts] * 2), listed().not_listed)

    with pytest.raises(DeliveryError, match="the CRM database refused: ") as told:
        write(database, twice, NEXT)

    assert "\n" not in str(told.value)
    assert chances(database) == {"acme": 0.7}
