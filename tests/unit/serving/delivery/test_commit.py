"""A list, its run, its episodes and the desired state are committed as a whole, or not at all."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from data.config.settings import EpisodesConfig
from data.errors import DeliveryError
from serving import store
from serving.delivery.desired.account_fields import hash_fields
from serving.delivery.desired.commit import CommittedRun, commit_run
from serving.delivery.desired.entitlements import Entitlements
from serving.scoring.score import ScoredList
from serving.store import queries
from serving.store.schema import ACCOUNT_TOUCHES, DESIRED_OBJECTS, EPISODES
from tests.unit.serving.delivery.committed_list import LIST_ROW, MONDAY, read_table

NEXT = MONDAY + timedelta(days=7)
NOW = datetime(2025, 6, 2, 6, tzinfo=UTC)


def make_list(
    as_of: date = MONDAY,
    unlisted: dict[str, str] | None = None,
    tiers: dict[str, int] | None = None,
    **probabilities: float,
) -> ScoredList:
    """Return a list of accounts by falling probability, and the unlisted ones with a reason."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    rows = [
        {
            **LIST_ROW,
            "rank": rank,
            "account_id": account,
            "name": account.title(),
            "as_of": as_of,
            "probability": probability,
            "tier": (tiers or {}).get(account),
        }
        for rank, (account, probability) in enumerate(ranked, start=1)
    ]
    unlisted_rows = [
        (account, as_of, reason, account.title(), LIST_ROW["csm"])
        for account, reason in (unlisted or {}).items()
    ]
    names = ["account_id", "as_of", "reason", "name", "csm"]
    schema = dict.fromkeys(names, pl.String) | {"as_of": pl.Date}
    frame = pl.DataFrame(rows, schema_overrides={"tier": pl.Int64})
    return ScoredList(frame, pl.DataFrame(unlisted_rows, schema=schema, orient="row"))


def commit(
    engine: sa.Engine,
    scored: ScoredList,
    as_of: date = MONDAY,
    *,
    target: str = "sql",
    entitlements: dict[str, Entitlements] | None = None,
) -> CommittedRun:
    return commit_run(
        engine,
        target,
        scored,
        as_of,
        entitlements=entitlements or {},
        episode_config=EpisodesConfig(),
        record={"listed": scored.accounts.height},
        finished_at=NOW,
    )


def count_written(committed: CommittedRun) -> tuple[int, int, int]:
    return committed.listed, committed.unlisted, committed.superseded


def read_probabilities(engine: sa.Engine) -> dict[str, float]:
    return {row["account_id"]: row["probability"] for row in queries.load_list_rows(engine)}


def read_state(engine: sa.Engine) -> tuple[Any, ...]:
    """Return the list, the desired objects, the episodes and the last run."""
    return (
        queries.load_list_rows(engine),
        read_desired(engine),
        read_table(engine, EPISODES),
        queries.load_last_run(engine),
    )


def read_history(engine: sa.Engine, account: str) -> list[tuple[date, float]]:
    rows = queries.load_score_history(engine, account)
    return [(row["as_of"], row["probability"]) for row in rows]


def load_account(engine: sa.Engine, account: str) -> dict[str, Any]:
    row = queries.load_account(engine, account)
    assert row is not None
    return dict(row)


def read_desired(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in read_table(engine, DESIRED_OBJECTS)}


# ---- The list.


def test_a_list_is_read_back_as_it_was_written(database: sa.Engine) -> None:
    written = commit(database, make_list(acme=0.7, beta=0.2))

    first, second = queries.load_list_rows(database)
    assert count_written(written) == (2, 0, 0)
    assert (first["rank"], first["account_id"], first["probability"]) == (1, "acme", 0.7)
    assert first["signals"] == LIST_ROW["signals"]
    assert first["contributions"] == {"seat_utilization": 1.5}
    assert first["readiness_date"] == LIST_ROW["readiness_date"]
    assert second["rank"] == 2
    assert queries.load_latest_as_of(database) == MONDAY
    run = queries.load_last_run(database)
    assert run is not None
    assert (run["id"], run["record"]) == (written.run_id, {"listed": 2})


def test_a_second_run_for_one_as_of_replaces_the_first(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7, beta=0.2))

    commit(database, make_list(acme=0.3, core=0.4, unlisted={"beta": "contract ended"}))

    assert read_probabilities(database) == {"core": 0.4, "acme": 0.3}
    assert read_history(database, "acme") == [(MONDAY, 0.3)]
    assert read_history(database, "beta") == []


def test_running_twice_changes_nothing(database: sa.Engine) -> None:
    scored = make_list(acme=0.7, beta=0.2, tiers={"acme": 1}, unlisted={"gone": "on trial"})
    first = commit(database, scored)
    before = read_state(database)

    again = commit(database, scored)

    rows, desired, episodes, _ = read_state(database)
    same = {key: {**row, "run_id": first.run_id} for key, row in desired.items()}
    assert (rows, same, episodes) == before[:3]
    assert {**vars(again), "run_id": first.run_id} == vars(first)


def test_the_next_week_replaces_the_list_and_keeps_the_past(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7))

    commit(database, make_list(NEXT, acme=0.5), NEXT)

    assert queries.load_latest_as_of(database) == NEXT
    assert read_history(database, "acme") == [(MONDAY, 0.7), (NEXT, 0.5)]


def test_an_older_list_is_stored_in_the_scores_only(database: sa.Engine) -> None:
    commit(database, make_list(NEXT, acme=0.5, beta=0.1, tiers={"acme": 1}), NEXT)
    before = read_state(database)

    written = commit(database, make_list(acme=0.9, gone=0.8, tiers={"gone": 1}))

    assert count_written(written) == (0, 0, 2)
    assert read_state(database)[:3] == before[:3]
    assert read_history(database, "acme") == [(MONDAY, 0.9), (NEXT, 0.5)]
    assert queries.load_account(database, "gone") is None


def test_an_unlisted_account_has_a_reason_and_no_score(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7, beta=0.2, core=0.1))

    written = commit(
        database, make_list(NEXT, core=0.1, unlisted={"acme": "no event in 90 days"}), NEXT
    )

    acme, beta = load_account(database, "acme"), load_account(database, "beta")
    assert written.unlisted == 2
    assert (acme["note"], acme["as_of"], acme["rank"]) == ("no event in 90 days", NEXT, None)
    assert beta["note"] == "unknown account"
    assert read_probabilities(database) == {"core": 0.1}
    filled = {
        name
        for name, value in read_desired(database)["acme"]["fields"].items()
        if value is not None
    }
    assert filled == {"name", "csm", "as_of", "note"}


def test_an_unknown_account_keeps_its_reason(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7, beta=0.2))
    commit(database, make_list(NEXT, acme=0.7), NEXT)
    later = NEXT + timedelta(days=7)

    commit(database, make_list(later, acme=0.7), later)

    beta = load_account(database, "beta")
    assert (beta["name"], beta["note"], beta["as_of"]) == ("Beta", "unknown account", later)


def test_an_account_that_comes_back_is_listed_again(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7, beta=0.2))
    commit(database, make_list(NEXT, beta=0.2, unlisted={"acme": "on trial"}), NEXT)

    commit(database, make_list(NEXT, acme=0.6, beta=0.2), NEXT)

    acme = load_account(database, "acme")
    assert (acme["probability"], acme["note"]) == (0.6, None)


def test_an_account_is_found_by_id_or_by_name_in_any_case(database: sa.Engine) -> None:
    scored = make_list(acme=0.7, beta=0.2)
    names = pl.Series("name", ["beta", "Ångström"])
    commit(database, ScoredList(scored.accounts.with_columns(names), scored.not_listed))

    # An id takes precedence over another account's name.
    expected = {"acme": "acme", "beta": "beta", "BETA": "acme", "Ångström": "beta", "nobody": None}
    for query, account in expected.items():
        assert (queries.load_account(database, query) or {}).get("account_id") == account


def test_an_empty_database_has_no_list(database: sa.Engine) -> None:
    assert queries.load_latest_as_of(database) is None
    assert queries.load_last_run(database) is None
    assert queries.load_list_rows(database) == []
    assert queries.load_account(database, "acme") is None
    assert queries.load_previous_list(database, MONDAY) is None


def test_the_previous_list_is_the_last_one_before_the_as_of(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7))
    commit(database, make_list(NEXT, acme=0.5, unlisted={"beta": "on trial"}), NEXT)

    assert queries.load_previous_list(database, MONDAY) is None
    for day, probability in ((NEXT, 0.7), (NEXT + timedelta(days=1), 0.5)):
        before = queries.load_previous_list(database, day)
        assert before is not None
        assert before.select("account_id", "probability").rows() == [("acme", probability)]


def test_recent_touches_are_the_last_ones_before_the_as_of(database: sa.Engine) -> None:
    days = [MONDAY - timedelta(days=days_before) for days_before in (0, 3, 9, 70)]
    with store.write_transaction(database) as connection:
        worked = [
            {"account_id": "acme", "touched_on": day, "activity": "task done"} for day in days
        ]
        connection.execute(sa.insert(ACCOUNT_TOUCHES), worked)

    assert queries.load_recent_touches(database, MONDAY, days=60) == {
        "acme": MONDAY - timedelta(days=3)
    }
    assert queries.load_recent_touches(database, NEXT, days=60) == {"acme": MONDAY}
    assert queries.load_recent_touches(database, MONDAY - timedelta(days=80), days=60) == {}


# ---- Desired state of the CRM.


def test_a_run_commits_the_desired_state_of_every_object(database: sa.Engine) -> None:
    committed = commit(
        database, make_list(acme=0.7, beta=0.2, tiers={"acme": 1}, unlisted={"gone": "on trial"})
    )

    rows = read_desired(database)
    assert {key: (row["kind"], row["priority"]) for key, row in rows.items()} == {
        "acme": ("account", 1),
        "beta": ("account", 2),
        "gone": ("account", 3),
        "acme:seats:1": ("opportunity", 1),
        "acme:seats:1:talk": ("task", 1),
    }
    for row in rows.values():
        assert (row["target"], row["as_of"], row["run_id"]) == ("sql", MONDAY, committed.run_id)
        assert row["content_hash"] == hash_fields(row["fields"])
    assert (committed.opened, committed.closed) == (1, 0)
    assert {row["limit"] for key, row in rows.items() if ":" in key} == {"seats"}


def test_an_expansion_closes_the_episode_and_its_objects(database: sa.Engine) -> None:
    ten, twelve = {"acme": Entitlements(seats=10)}, {"acme": Entitlements(seats=12)}
    commit(database, make_list(acme=0.7, tiers={"acme": 1}), entitlements=ten)

    committed = commit(database, make_list(NEXT, acme=0.2), NEXT, entitlements=twelve)

    (episode,) = read_table(database, EPISODES)
    assert (episode["close_reason"], episode["closed_on"]) == ("expanded", NEXT)
    assert episode["entitlements"]["seats"] == 10
    states = {
        row["fields"].get("state") for key, row in read_desired(database).items() if ":" in key
    }
    assert states == {"expanded"}
    assert (committed.opened, committed.closed) == (0, 1)


def test_each_crm_has_its_own_desired_state(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7, tiers={"acme": 1}))

    commit(database, make_list(NEXT, acme=0.6, tiers={"acme": 1}), NEXT, target="odoo")

    rows = read_table(database, DESIRED_OBJECTS)
    assert [(row["target"], row["as_of"]) for row in rows] == [("odoo", NEXT)] * 3 + [
        ("sql", MONDAY)
    ] * 3


# ---- Atomicity.


@pytest.mark.parametrize("table", ["runs", "scores", "episodes", "desired_objects"])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    table: str, database: sa.Engine
) -> None:
    commit(database, make_list(acme=0.7, beta=0.2))
    before = read_state(database)

    def fail(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(f"INSERT INTO {table}"):
            raise sa.exc.OperationalError(statement, parameters, OSError("the cable was pulled"))

    sa.event.listen(database, "before_cursor_execute", fail)
    try:
        with pytest.raises(DeliveryError, match="reported: the cable was pulled; nothing of this"):
            commit(database, make_list(NEXT, core=0.9, tiers={"core": 1}), NEXT)
    finally:
        sa.event.remove(database, "before_cursor_execute", fail)

    assert read_state(database) == before
    assert read_history(database, "core") == []


def test_a_value_the_database_refuses_leaves_everything_as_it_was(database: sa.Engine) -> None:
    commit(database, make_list(acme=0.7))
    duplicated = ScoredList(
        pl.concat([make_list(NEXT, acme=0.5).accounts] * 2), make_list().not_listed
    )

    with pytest.raises(DeliveryError, match="the database reported: ") as filled:
        commit(database, duplicated, NEXT)

    assert "\n" not in str(filled.value)
    assert read_probabilities(database) == {"acme": 0.7}
