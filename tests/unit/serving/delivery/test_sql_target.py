"""The embedded CRM implements the CRM protocol on SQLite and on a real PostgreSQL."""

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
    RemoteObject,
    RetryableError,
)
from serving.delivery.crm.sql import TABLES, SqlTarget
from serving.store.schema import ACCOUNTS, OPPORTUNITIES, TASKS
from tests.fakes.field_values import fields_of
from tests.unit.serving.delivery.committed_list import read_table

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = {
    "text": TEXTS,
    "multiline": TEXTS,
    "number": st.floats(-1e12, 1e12),
    "date": st.dates(min_value=date(1900, 1, 1)).map(str),
}
SEATS: Fields = {"name": "Acme: more seats", "state": "open", "limit": "seats", "probability": 0.7}


@pytest.fixture
def crm(database: sa.Engine) -> SqlTarget:
    return SqlTarget(database)


def account(key: str = "acme") -> ObjectRef:
    return ObjectRef("account", key, key)


def opportunity(number: int = 1, limit: str = "seats", **ids: Any) -> ObjectRef:
    return ObjectRef("opportunity", f"acme:{limit}:{number}", "acme", limit, **ids)


def task(number: int = 1) -> ObjectRef:
    return ObjectRef("task", f"acme:seats:{number}:talk", "acme", "seats", opportunity_crm_id="7")


def read_one(crm: SqlTarget, ref: ObjectRef) -> RemoteObject:
    (live,) = crm.read([ref])
    assert live is not None
    return live


def write_one(crm: SqlTarget, ref: ObjectRef, fields: Fields) -> str:
    (answer,) = crm.write([FieldChange(ref, fields)])
    assert isinstance(answer, Applied)
    return answer.crm_id


def execute_sql(engine: sa.Engine, statement: str) -> None:
    """Run a statement as a human, or their tool, would."""
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text(statement))


# ---- Reading and writing.


def test_written_fields_are_read_back_as_normalized(crm: SqlTarget) -> None:
    @given(st.data(), st.sampled_from([account(), opportunity(), task()]))
    def law(data: st.DataObject, ref: ObjectRef) -> None:
        desired = crm.normalize(ref.kind, data.draw(fields_of(ref.kind, VALUES)))

        crm_id = write_one(crm, ref, desired)
        live = read_one(crm, ref)

        assert live.crm_id == crm_id
        assert {name: live.fields[name] for name in desired} == desired

    law()


@given(st.sampled_from(["account", "opportunity", "task"]), st.data())
def test_normalizing_is_idempotent(kind: Kind, data: st.DataObject) -> None:
    crm = SqlTarget(sa.create_engine("sqlite://"))
    normalized = crm.normalize(kind, {**data.draw(fields_of(kind, VALUES)), "unknown": 1})

    assert crm.normalize(kind, normalized) == normalized
    assert "unknown" not in normalized


def test_a_change_leaves_the_other_fields_as_they_are(crm: SqlTarget) -> None:
    crm_id = write_one(crm, opportunity(), SEATS)

    write_one(crm, opportunity(crm_id=crm_id), {"probability": 0.2})

    live = read_one(crm, opportunity())
    assert {name: live.fields[name] for name in SEATS} == {**SEATS, "probability": 0.2}


@pytest.mark.parametrize("ref", [account(), opportunity(), task()], ids=lambda ref: ref.kind)
def test_creating_the_same_object_twice_creates_one(
    ref: ObjectRef, crm: SqlTarget, database: sa.Engine
) -> None:
    first = write_one(crm, ref, {"motion": "seat add"})

    assert write_one(crm, ref, {"motion": "retain"}) == first

    (row,) = read_table(database, TABLES[ref.kind])
    assert row["motion"] == "retain"


def test_results_are_in_the_order_of_the_changes(crm: SqlTarget) -> None:
    write_one(crm, opportunity(2), SEATS)
    changes = [FieldChange(opportunity(number), SEATS) for number in (3, 2, 1)]

    results = crm.write(changes)

    live = crm.read([change.ref for change in changes])
    assert [a.crm_id for a in results if isinstance(a, Applied)] == [f.crm_id for f in live if f]
    assert crm.read([opportunity(9), opportunity(1)])[0] is None


def test_a_task_refers_to_its_opportunity(crm: SqlTarget, database: sa.Engine) -> None:
    write_one(crm, task(), {"subject": "Talk"})

    (row,) = read_table(database, TASKS)
    assert (row["opportunity_id"], row["account_id"]) == (7, "acme")


def test_human_columns_are_kept_when_we_write(crm: SqlTarget, database: sa.Engine) -> None:
    crm_id = write_one(crm, opportunity(), SEATS)
    execute_sql(database, "UPDATE opportunities SET stage = 'negotiating', owner = 'Ada'")

    write_one(crm, opportunity(crm_id=crm_id), {"probability": 0.9})

    (row,) = read_table(database, OPPORTUNITIES)
    assert (row["stage"], row["owner"], row["probability"]) == ("negotiating", "Ada", 0.9)


def test_concurrent_writers_create_each_object_once(crm: SqlTarget, database: sa.Engine) -> None:
    start = threading.Barrier(4)
    results: list[Any] = []

    def write_all() -> None:
        start.wait()
        try:
            results.append(crm.write([FieldChange(opportunity(n), SEATS) for n in range(1, 30)]))
        except RetryableError as error:
            results.append(error)

    threads = [threading.Thread(target=write_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read_table(database, OPPORTUNITIES)) == 29
    results = [each for each in results if isinstance(each, list)]
    assert results
    assert all(each == results[0] for each in results)


# ---- Opportunities created by humans.


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
def test_an_open_opportunity_of_a_human_is_adoptable(
    row: dict[str, Any], adopted: bool, crm: SqlTarget, database: sa.Engine
) -> None:
    with store.write_transaction(database) as connection:
        connection.execute(sa.insert(OPPORTUNITIES), {"account_id": "acme", "name": "Mine", **row})

    (live,) = crm.read([opportunity()])

    assert (live is not None) is adopted
    if live is not None:
        assert not live.created_by_us
        assert live.fields["name"] == "Mine"


def test_an_adopted_opportunity_is_filled_and_not_duplicated(
    crm: SqlTarget, database: sa.Engine
) -> None:
    execute_sql(database, "INSERT INTO opportunities (account_id, name) VALUES ('acme', 'Mine')")
    live = read_one(crm, opportunity())

    crm_id = write_one(crm, opportunity(crm_id=live.crm_id), {"limit": "seats", "probability": 0.7})

    (row,) = read_table(database, OPPORTUNITIES)
    assert (str(row["id"]), row["key"]) == (crm_id, None)
    assert (row["name"], row["limit"]) == ("Mine", "seats")


def test_our_opportunity_precedes_a_humans_and_a_matching_limit_precedes_none(
    crm: SqlTarget, database: sa.Engine
) -> None:
    rows = [{"account_id": "acme", "limit": limit} for limit in (None, "seats", "seats")]
    with store.write_transaction(database) as connection:
        connection.execute(sa.insert(OPPORTUNITIES), rows)
    oldest = read_table(database, OPPORTUNITIES)[1]["id"]

    adoptable = read_one(crm, opportunity())
    own_id = write_one(crm, opportunity(), SEATS)
    managed = read_one(crm, opportunity())

    assert adoptable.crm_id == str(oldest)
    assert (managed.crm_id, managed.created_by_us) == (own_id, True)


def test_an_opportunity_of_a_human_is_adopted_once(crm: SqlTarget, database: sa.Engine) -> None:
    execute_sql(database, "INSERT INTO opportunities (account_id) VALUES ('acme')")

    live = crm.read([opportunity(), opportunity(limit="usage")])

    assert [each is not None for each in live] == [True, False]


def test_a_deleted_opportunity_is_not_found(crm: SqlTarget, database: sa.Engine) -> None:
    crm_id = write_one(crm, opportunity(), SEATS)
    execute_sql(database, "DELETE FROM opportunities")

    assert crm.read([opportunity(crm_id=crm_id)]) == [None]


# ---- Human touches.


def test_completed_tasks_and_moved_opportunities_are_human_touches(
    crm: SqlTarget, database: sa.Engine
) -> None:
    write_one(crm, task(), {"subject": "Talk"})
    write_one(crm, opportunity(), SEATS)
    assert crm.fetch_human_touches(date(2025, 1, 1)) == []

    execute_sql(database, "UPDATE tasks SET done_on = '2025-06-03'")
    execute_sql(database, "UPDATE opportunities SET stage = 'talking', moved_on = '2025-06-05'")
    execute_sql(database, "INSERT INTO tasks (account_id, done_on) VALUES ('beta', '2025-06-04')")

    assert crm.fetch_human_touches(date(2025, 6, 3)) == [
        HumanTouch("acme", date(2025, 6, 3), "task done"),
        HumanTouch("acme", date(2025, 6, 5), "opportunity moved"),
    ]
    assert crm.fetch_human_touches(date(2025, 6, 6)) == []


def test_the_preflight_lists_accounts_without_a_row(crm: SqlTarget, database: sa.Engine) -> None:
    write_one(crm, account(), {"rank": 1})

    checks = crm.preflight([account(), account("beta")])

    assert all(finding.passed for finding in checks)
    assert checks[1].examples == ("beta",)
    assert crm.provision() == []


# ---- Errors.


def test_a_rejected_row_rejects_its_whole_batch(crm: SqlTarget, database: sa.Engine) -> None:
    huge = {"active_seats": 2**70}
    changes = [FieldChange(account(), {"rank": 1}), FieldChange(account("beta"), huge)]

    with pytest.raises(BatchRejectedError):
        crm.write(changes)
    (single,) = crm.write(changes[1:])

    assert isinstance(single, Rejected)
    assert single.reason
    assert read_table(database, ACCOUNTS) == []


def test_a_lock_is_retryable(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3  # noqa: PLC0415 - SQLite only

    monkeypatch.setattr("serving.store.engine.BUSY_TIMEOUT_SECONDS", 0.05)
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    holder = sqlite3.connect(tmp_path / "crm.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(RetryableError, match="locked"):
        SqlTarget(engine).write([FieldChange(account(), {"rank": 1})])

    holder.execute("COMMIT")
    write_one(SqlTarget(engine), account(), {"rank": 1})
    holder.close()
    engine.dispose()


def test_an_unreachable_server_is_retryable(request: pytest.FixtureRequest) -> None:
    url = sa.make_url(request.getfixturevalue("postgres")).set(drivername="postgresql+psycopg")
    away = SqlTarget(sa.create_engine(url.set(host=None, port=9, query={"host": "127.0.0.1"})))

    with pytest.raises(RetryableError):
        away.read([account()])
    away.close()


def test_a_terminated_connection_is_retryable(crm: SqlTarget, database: sa.Engine) -> None:
    if database.dialect.name != "postgresql":
        pytest.skip("SQLite has no connection to cut")
    write_one(crm, account(), {"rank": 1})
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    other = sa.create_engine(database.url, poolclass=sa.NullPool)
    with other.connect() as connection:
        connection.execute(sa.text(f"{cut} AND datname = current_database()"))

    with pytest.raises(RetryableError):
        crm.write([FieldChange(account(), {"rank": 2})])

    write_one(crm, account(), {"rank": 2})
    other.dispose()


def test_a_missing_table_is_an_access_error(database_url: str) -> None:
    engine = store.open_engine(database_url)
    execute_sql(engine, "DROP TABLE tasks")

    with pytest.raises(AccessDeniedError, match="tasks"):
        SqlTarget(engine).read([task()])
    (tables, _) = SqlTarget(engine).preflight([])

    assert not tables.passed
    assert "tasks" in tables.message
    engine.dispose()


def test_a_read_only_database_is_an_access_error(tmp_path: Any) -> None:
    store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}").dispose()
    crm = SqlTarget(store.open_engine(f"sqlite:///file:{tmp_path / 'crm.db'}?mode=ro&uri=true"))

    with pytest.raises(AccessDeniedError, match="readonly"):
        crm.write([FieldChange(account(), {"rank": 1})])
    (tables, _) = crm.preflight([])

    assert not tables.passed
    assert "readonly" in tables.message
    crm.close()


def make_refs(kind: Kind, count: int) -> Sequence[ObjectRef]:
    return [ObjectRef(kind, f"{number}:seats:1", str(number), "seats") for number in range(count)]


def test_a_whole_batch_is_written_and_read(crm: SqlTarget) -> None:
    refs = make_refs("opportunity", crm.rate_limit.rows_per_call)

    results = crm.write([FieldChange(ref, SEATS) for ref in refs])

    assert len({answer.crm_id for answer in results if isinstance(answer, Applied)}) == len(refs)
    assert all(live and live.fields["state"] == "open" for live in crm.read(refs))
