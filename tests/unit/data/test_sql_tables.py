"""Tables from SQL: SQLite and PostgreSQL give the same tables as files."""

import sqlite3
import sys

import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from data import schemas
from data.errors import ContractError, SourceError
from data.ingest import sql

TYPES = {
    "timestamp": "timestamptz",
    "created_at": "timestamptz",
    "quantity": "numeric",
    "effective_date": "date",
    "created_date": "date",
    "licensed_seats": "integer",
    "usage_limit": "double precision",
    "mrr": "numeric(12, 2)",
}


def create_sqlite(company):
    with sqlite3.connect(company.folder / "company.db") as connection:
        for table, frame in company.frames().items():
            marks = ", ".join("?" * frame.width)
            connection.execute(f"create table {table} ({', '.join(frame.columns)})")
            connection.executemany(f"insert into {table} values ({marks})", frame.rows())
    connection.close()
    return "sqlite:///company.db"


def create_postgresql(company, server):
    """Write the tables to a new schema, with typical warehouse types."""
    engine = sa.create_engine(server.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("drop schema public cascade; create schema public")
        for table, frame in company.frames().items():
            columns = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in frame.columns)
            connection.exec_driver_sql(f"create table {table} ({columns})")
            marks = ", ".join(["%s"] * frame.width)
            connection.exec_driver_sql(f"insert into {table} values ({marks})", frame.rows())
    engine.dispose()
    return server


def table_queries(url):
    return {table: {"url": url, "query": f"select * from {table}"} for table in schemas.TABLES}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, company):
    if request.param == "sqlite":
        return create_sqlite(company)
    return create_postgresql(company, request.getfixturevalue("postgres"))


def test_a_database_gives_the_same_tables_as_files(company, url):
    expected = company.read()

    tables = company.read(**table_queries(url))

    assert_frame_equal(
        tables.events[0].valid_rows().collect(),
        expected.events[0].valid_rows().collect(),
        check_row_order=False,
    )
    for table in ("subscriptions", "accounts", "users"):
        assert_frame_equal(getattr(tables, table).rows, getattr(expected, table).rows)


def test_a_query_may_contain_any_character(company, url):
    query = "select * from events where event like '%i%' and event <> 'at 12:30 :x'"

    tables = company.read(events={"url": url, "query": query})

    assert tables.events[0].count_rows() == 3


def test_a_query_without_rows_is_an_empty_table(company, url):
    with pytest.raises(ContractError, match="events: no rows"):
        company.read(events={"url": url, "query": "select * from events where 1 = 0"})


def test_a_rejected_query_reports_the_database_error(company, url):
    with pytest.raises(SourceError, match=r"events: the database rejected the query: .*nowhere"):
        company.read(events={"url": url, "query": "select * from nowhere"})


def test_a_naive_timestamp_in_a_database_is_rejected(company, postgres):
    url = create_postgresql(company, postgres)
    query = "select account_id, user_id, timestamp::timestamp from events"

    with pytest.raises(ContractError, match="events: timestamp has no time zone"):
        company.read(events={"url": url, "query": query})


def test_text_in_a_numeric_column_of_a_database_is_counted(company):
    url = create_sqlite(company)
    query = "select *, 'ten' as seats from subscriptions union all select *, 10 from subscriptions"

    tables = company.read(
        columns={"subscriptions": {"licensed_seats": "seats"}},
        subscriptions={"url": url, "query": query},
        max_quarantine_share=0.5,
    )

    assert tables.subscriptions.quarantine == {"licensed_seats is not a number": 3}


def test_a_long_log_is_exported_in_parts_of_bounded_size(company, monkeypatch):
    monkeypatch.setattr(sql, "BATCH_ROWS", 1)
    monkeypatch.setattr(sql, "PART_ROWS", 2)

    tables = company.read(**table_queries(create_sqlite(company)))

    assert [partition.count_rows() for partition in tables.events] == [2, 1]
    assert len(list((company.folder / "state/spool").rglob("*.parquet"))) == 2


def test_unchanged_parts_keep_their_identity(company, monkeypatch):
    monkeypatch.setattr(sql, "BATCH_ROWS", 1)
    monkeypatch.setattr(sql, "PART_ROWS", 2)
    url = create_sqlite(company)

    def identities():
        return [partition.identity for partition in company.read(**table_queries(url)).events]

    before = identities()
    with sqlite3.connect(company.folder / "company.db") as connection:
        connection.execute("update events set quantity = 7 where event_id = 'e3'")
    connection.close()
    after = identities()

    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_failed_query_leaves_the_last_export_unchanged(company):
    url = create_sqlite(company)
    tables = company.read(**table_queries(url))

    with pytest.raises(SourceError):
        company.read(events={"url": url, "query": "select * from nowhere"})

    assert tables.events[0].valid_rows().collect().height == 3


def test_a_missing_sqlite_file_is_named_and_not_created(company):
    with pytest.raises(SourceError, match=r"events: no database at .*gone\.db"):
        company.read(events={"url": "sqlite:///gone.db", "query": "select 1"})

    assert not (company.folder / "gone.db").exists()


def test_an_unreachable_database_is_named_without_its_password(company):
    url = "postgresql://reader:s3cret@127.0.0.1:1/warehouse?connect_timeout=2"

    with pytest.raises(SourceError, match=r"warehouse at 127\.0\.0\.1:1 cannot be rea") as refusal:
        company.read(accounts={"url": url, "query": "select 1"})

    assert "s3cret" not in str(refusal.value)


def test_a_missing_postgresql_driver_error_names_the_package(company, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(SourceError, match=r"pip install '\.\[postgres\]'"):
        company.read(accounts={"url": "postgresql://h/d", "query": "select 1"})


def test_a_missing_driver_of_another_database_is_named(company):
    with pytest.raises(SourceError, match="driver for snowflake is not installed"):
        company.read(accounts={"url": "snowflake://h/d", "query": "select 1"})


def test_an_invalid_database_url_is_rejected(company):
    with pytest.raises(SourceError, match="accounts: the database URL is invalid"):
        company.read(accounts={"url": "warehouse", "query": "select 1"})


def test_duplicate_columns_of_a_query_are_rejected(company):
    query = "select account_id, account_id, created_date from accounts"

    with pytest.raises(SourceError, match="returns account_id twice"):
        company.read(accounts={"url": create_sqlite(company), "query": query})


def test_bytes_and_booleans_are_read_as_text(company, postgres):
    columns = "'acme' as account_id, date '2024-01-01' as created_date"
    query = (
        f"select {columns}, true as paying, 'x'::bytea as raw"
        " union all select 'beta', '2024-01-01', false, null"
    )

    result = company.read(accounts={"url": postgres, "query": query}).accounts.rows

    assert result.select("paying", "raw").rows() == [("true", "x"), ("false", None)]
