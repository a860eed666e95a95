"""The embedded CRM is asked what any CRM is asked, on SQLite and on a real PostgreSQL."""

import threading
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from serving import store
from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    Fields,
    HumanTouch,
    Kind,
    ObjectRef,
    Rejected,
    RetryableError,
)
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.sql.schema import ACCOUNTS, OPPORTUNITIES, TABLES, TASKS
from serving.delivery.crm.sql.target import SqlCrm

VALUES = {
    "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "lines": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "number": st.floats(-1e12, 1e12),
    "whole": st.integers(-(2**31), 2**31 - 1),
    "day": st.dates(min_value=date(1900, 1, 1)).map(str),
    "flag": st.booleans(),
}
SEATS: Fields = {"name": "Acme: more seats", "state": "open", "limit": "seats", "probability": 0.7}


@pytest.fixture
def crm(database: sa.Engine) -> SqlCrm:
    return SqlCrm(database)


def account(key: str = "acme") -> ObjectRef:
    return ObjectRef("account", key, key)


def opportunity(number: int = 1, limit: str = "seats", **known: Any) -> ObjectRef:
    return ObjectRef("opportunity", f"acme:{limit}:{number}", "acme", limit, **known)


def task(number: int = 1) -> ObjectRef:
    return ObjectRef("task", f"acme:seats:{number}:talk", "acme", "seats", opportunity_crm_id="7")


def made(crm: SqlCrm, ref: ObjectRef, fields: Fields) -> str:
    (answer,) = crm.write([FieldChange(ref, fields)])
    assert isinstance(answer, Applied)
    return answer.crm_id


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with store.read_transaction(engine) as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def by_hand(engine: sa.Engine, statement: str) -> None:
    """What a human, or a tool of theirs, does to the tables."""
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text(statement))


def objects(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    fields = FIELDS[kind].items()
    return st.fixed_dictionaries({}, optional={n: st.none() | VALUES[f.type] for n, f in fields})


# ---- Reading and writing.


def test_what_was_written_is_read_back_as_it_was_shaped(crm: SqlCrm) -> None:
    @given(st.data(), st.sampled_from([account(), opportunity(), task()]))
    def law(data: st.DataObject, ref: ObjectRef) -> None:
        wanted = crm.normalize(ref.kind, data.draw(objects(ref.kind)))

        crm_id = made(crm, ref, wanted)
        (found,) = crm.read([ref])

        assert found is not None
        assert found.crm_id == crm_id
        assert {name: found.fields[name] for name in wanted} == wanted

    law()


@given(st.sampled_from(["account", "opportunity", "task"]), st.data())
def test_shaping_twice_changes_nothing_more(kind: Kind, data: st.DataObject) -> None:
    crm = SqlCrm(sa.create_engine("sqlite://"))
    once = crm.normalize(kind, {**data.draw(objects(kind)), "unknown": 1})

    assert crm.normalize(kind, once) == once
    assert "unknown" not in once


def test_a_change_leaves_the_other_fields_as_they_are(crm: SqlCrm) -> None:
    crm_id = made(crm, opportunity(), SEATS)

    made(crm, opportunity(crm_id=crm_id), {"probability": 0.2})

    (found,) = crm.read([opportunity()])
    assert found is not None
    assert {name: found.fields[name] for name in SEATS} == {**SEATS, "probability": 0.2}


@pytest.mark.parametrize("ref", [account(), opportunity(), task()], ids=lambda ref: ref.kind)
def test_making_the_same_object_twice_makes_one(
    ref: ObjectRef, crm: SqlCrm, database: sa.Engine
) -> None:
    first = made(crm, ref, {"motion": "seat add"})

    assert made(crm, ref, {"motion": "retain"}) == first

    (row,) = rows(database, TABLES[ref.kind])
    assert row["motion"] == "retain"


def test_answers_come_in_the_order_of_the_changes(crm: SqlCrm) -> None:
    made(crm, opportunity(2), SEATS)
    changes = [FieldChange(opportunity(number), SEATS) for number in (3, 2, 1)]

    answers = crm.write(changes)

    found = crm.read([change.ref for change in changes])
    assert [a.crm_id for a in answers if isinstance(a, Applied)] == [f.crm_id for f in found if f]
    assert crm.read([opportunity(9), opportunity(1)])[0] is None


def test_nothing_is_read_and_written_of_nothing(crm: SqlCrm) -> None:
    assert crm.read([]) == []
    assert crm.write([]) == []


def test_a_task_hangs_on_its_opportunity(crm: SqlCrm, database: sa.Engine) -> None:
    made(crm, task(), {"subject": "Talk"})

    (row,) = rows(database, TASKS)
    assert (row["opportunity_id"], row["account_id"]) == (7, "acme")


def test_what_is_a_humans_stays_when_we_write(crm: SqlCrm, database: sa.Engine) -> None:
    crm_id = made(crm, opportunity(), SEATS)
    by_hand(database, "UPDATE opportunities SET stage = 'negotiating', owner = 'Ada'")

    made(crm, opportunity(crm_id=crm_id), {"probability": 0.9})

    (row,) = rows(database, OPPORTUNITIES)
    assert (row["stage"], row["owner"], row["probability"]) == ("negotiating", "Ada", 0.9)


def test_makers_at_the_same_time_make_one(crm: SqlCrm, database: sa.Engine) -> None:
    start = threading.Barrier(4)
    told: list[Any] = []

    def make() -> None:
        start.wait()
        try:
            told.append(crm.write([FieldChange(opportunity(n), SEATS) for n in range(1, 30)]))
        except RetryableError as later:
            told.append(later)

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()

    assert len(rows(database, OPPORTUNITIES)) == 29
    answers = [each for each in told if isinstance(each, list)]
    assert answers
    assert all(each == answers[0] for each in answers)


# ---- Opportunities that humans made.


@pytest.mark.parametrize(
    ("row", "adopted"),
    [
        ({"limit": "seats"}, True),
        ({"limit": None}, True),
        ({"limit": "usage"}, False),
        ({"limit": "seats", "stage": "Negotiating"}, True),
        ({"limit": "seats", "stage": "Won"}, False),
        ({"limit": "seats", "closed_on": date(2025, 6, 1)}, False),
        ({"limit": "seats", "state": "expanded"}, False),
        ({"limit": "seats", "account_id": "beta"}, False),
    ],
)
def test_an_open_opportunity_of_a_human_is_found(
    row: dict[str, Any], adopted: bool, crm: SqlCrm, database: sa.Engine
) -> None:
    with store.write_transaction(database) as connection:
        connection.execute(sa.insert(OPPORTUNITIES), {"account_id": "acme", "name": "Mine", **row})

    (found,) = crm.read([opportunity()])

    assert (found is not None) is adopted
    if found is not None:
        assert not found.created_by_us
        assert found.fields["name"] == "Mine"


def test_an_adopted_opportunity_is_filled_and_not_doubled(crm: SqlCrm, database: sa.Engine) -> None:
    by_hand(database, "INSERT INTO opportunities (account_id, name) VALUES ('acme', 'Mine')")
    (found,) = crm.read([opportunity()])
    assert found is not None

    crm_id = made(crm, opportunity(crm_id=found.crm_id), {"limit": "seats", "probability": 0.7})

    (row,) = rows(database, OPPORTUNITIES)
    assert (str(row["id"]), row["key"], row["name"], row["limit"]) == (
        crm_id,
        None,
        "Mine",
        "seats",
    )


def test_ours_comes_before_a_humans_and_the_closest_limit_before_none(
    crm: SqlCrm, database: sa.Engine
) -> None:
    for limit in ("NULL", "'seats'", "'seats'"):
        by_hand(
            database,
            f"INSERT INTO opportunities (account_id, \"limit\") VALUES ('acme', {limit})",
        )
    oldest = rows(database, OPPORTUNITIES)[1]["id"]

    (theirs,) = crm.read([opportunity()])
    own = made(crm, opportunity(), SEATS)
    (ours,) = crm.read([opportunity()])

    assert theirs is not None
    assert theirs.crm_id == str(oldest)
    assert ours is not None
    assert (ours.crm_id, ours.created_by_us) == (own, True)


def test_one_opportunity_of_a_human_serves_one_of_ours(crm: SqlCrm, database: sa.Engine) -> None:
    by_hand(database, "INSERT INTO opportunities (account_id) VALUES ('acme')")

    found = crm.read([opportunity(), opportunity(limit="usage")])

    assert [each is not None for each in found] == [True, False]


def test_what_a_human_deleted_is_not_there(crm: SqlCrm, database: sa.Engine) -> None:
    crm_id = made(crm, opportunity(), SEATS)
    by_hand(database, "DELETE FROM opportunities")

    assert crm.read([opportunity(crm_id=crm_id)]) == [None]


# ---- What humans have dealt with.


def test_done_tasks_and_moved_opportunities_are_told(crm: SqlCrm, database: sa.Engine) -> None:
    made(crm, task(), {"subject": "Talk"})
    made(crm, opportunity(), SEATS)
    assert crm.fetch_human_touches(date(2025, 1, 1)) == []

    by_hand(database, "UPDATE tasks SET done_on = '2025-06-03'")
    by_hand(database, "UPDATE opportunities SET stage = 'talking', moved_on = '2025-06-05'")
    by_hand(database, "INSERT INTO tasks (account_id, done_on) VALUES ('beta', '2025-06-04')")

    assert crm.fetch_human_touches(date(2025, 6, 3)) == [
        HumanTouch("acme", date(2025, 6, 3), "task done"),
        HumanTouch("acme", date(2025, 6, 5), "opportunity moved"),
    ]
    assert crm.fetch_human_touches(date(2025, 6, 6)) == []


def test_a_check_says_which_accounts_have_a_row(crm: SqlCrm, database: sa.Engine) -> None:
    made(crm, account(), {"rank": 1})

    findings = crm.preflight([account(), account("beta")])

    assert all(finding.passed for finding in findings)
    assert findings[1].examples == ("beta",)
    assert crm.provision() == []


# ---- What goes wrong.


def test_a_row_the_database_refuses_refuses_the_batch_and_nothing_of_it_is_there(
    crm: SqlCrm, database: sa.Engine
) -> None:
    huge = {"active_seats": 2**70}
    changes = [FieldChange(account(), {"rank": 1}), FieldChange(account("beta"), huge)]

    with pytest.raises(BatchRejectedError):
        crm.write(changes)
    (alone,) = crm.write(changes[1:])

    assert isinstance(alone, Rejected)
    assert alone.reason
    assert rows(database, ACCOUNTS) == []


def test_a_lock_may_pass(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3  # noqa: PLC0415 - this one is of SQLite alone

    monkeypatch.setattr("serving.store.engine._BUSY_TIMEOUT_SECONDS", 0.05)
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    holder = sqlite3.connect(tmp_path / "crm.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(RetryableError, match="locked"):
        SqlCrm(engine).write([FieldChange(account(), {"rank": 1})])

    holder.execute("COMMIT")
    made(SqlCrm(engine), account(), {"rank": 1})
    holder.close()
    engine.dispose()


def test_a_server_that_went_away_may_come_back(request: pytest.FixtureRequest) -> None:
    url = sa.make_url(request.getfixturevalue("postgres")).set(drivername="postgresql+psycopg")
    away = SqlCrm(sa.create_engine(url.set(host=None, port=9, query={"host": "127.0.0.1"})))

    with pytest.raises(RetryableError):
        away.read([account()])
    away.close()


def test_a_connection_that_is_cut_may_come_back(crm: SqlCrm, database: sa.Engine) -> None:
    if database.dialect.name != "postgresql":
        pytest.skip("SQLite has no connection to cut")
    made(crm, account(), {"rank": 1})
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    other = sa.create_engine(database.url, poolclass=sa.NullPool)
    with other.connect() as connection:
        connection.execute(sa.text(f"{cut} AND datname = current_database()"))

    with pytest.raises(RetryableError):
        crm.write([FieldChange(account(), {"rank": 2})])

    made(crm, account(), {"rank": 2})
    other.dispose()


def test_a_table_that_is_missing_is_denied(database_url: str) -> None:
    engine = store.open_engine(database_url)
    by_hand(engine, "DROP TABLE tasks")

    with pytest.raises(AccessDeniedError, match="tasks"):
        SqlCrm(engine).read([task()])
    (tables, _) = SqlCrm(engine).preflight([])

    assert not tables.passed
    assert "tasks" in tables.message
    engine.dispose()


def test_a_read_only_database_denies(tmp_path: Any) -> None:
    store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}").dispose()
    crm = SqlCrm(store.open_engine(f"sqlite:///file:{tmp_path / 'crm.db'}?mode=ro&uri=true"))

    with pytest.raises(AccessDeniedError, match="readonly"):
        crm.write([FieldChange(account(), {"rank": 1})])
    (tables, _) = crm.preflight([])

    assert not tables.passed
    assert "readonly" in tables.message
    crm.close()


def many(kind: Kind, count: int) -> Sequence[ObjectRef]:
    return [ObjectRef(kind, f"{number}:seats:1", str(number), "seats") for number in range(count)]


def test_a_whole_batch_is_written_and_read(crm: SqlCrm) -> None:
    refs = many("opportunity", crm.rate_limit.rows_per_call)

    answers = crm.write([FieldChange(ref, SEATS) for ref in refs])

    assert len({answer.crm_id for answer in answers if isinstance(answer, Applied)}) == len(refs)
    assert all(found and found.fields["state"] == "open" for found in crm.read(refs))
