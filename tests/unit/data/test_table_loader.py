"""Loading and validation: valid rows, column names and types."""

from datetime import UTC, date, datetime

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data import schemas
from data.config import settings
from data.errors import ContractError, SettingsError, SourceError
from data.ingest import table_loader
from tests.unit.data.conftest import utc, valid_events

ALL_PASSES = settings.TablesConfig(max_quarantine_share=1)


def test_a_log_in_csv_is_loaded_typed_and_complete(company):
    log = company.log()

    assert log.schema == schemas.EventSchema.create_empty().schema
    assert log["timestamp"].to_list() == [
        utc("2024-03-01T09:30:00+00:00"),
        utc("2024-03-01T09:30:00+00:00"),
        utc("2024-03-02T00:00:00.250+00:00"),
    ]
    assert log["user_id"].to_list() == ["u1", "u2", None]
    assert log["quantity"].to_list() == [1.0, 2.5, None]
    assert log["known_at"].null_count() == 3


def test_small_tables_are_sorted_by_their_keys(company):
    tables = company.read()

    assert tables.subscriptions.rows.select("account_id", "licensed_seats", "status").rows() == [
        ("acme", 10.0, "trial"),
        ("acme", 12.0, "paid"),
        ("beta", 5.0, "paid"),
    ]
    assert tables.accounts.rows["account_id"].to_list() == ["acme", "beta"]
    assert tables.users.rows["user_id"].to_list() == ["u1", "u2"]


def test_accounts_keep_extra_columns_and_other_tables_do_not(company):
    company.put("users.csv", "user_id,account_id,phone\nu1,acme,555-0100\n")

    tables = company.read()

    assert tables.accounts.rows["industry"].to_list() == ["retail", "steel"]
    assert "phone" not in tables.users.rows.columns


def test_without_a_users_table_its_frame_is_empty_and_typed(company):
    tables = company.read(users=None)

    assert_frame_equal(tables.users.rows, schemas.UserSchema.create_empty())


@pytest.mark.parametrize("convert", [pl.DataFrame.to_pandas, pl.DataFrame.lazy])
def test_frames_in_memory_give_the_same_tables_as_files(company, convert):
    frames = {table: convert(company.frame(table)) for table in schemas.TABLES}

    assert_same_tables(company.load(**frames), company.read())


def test_parquet_gives_the_same_tables_as_csv(company):
    expected = company.read()
    for table in schemas.TABLES:
        company.put(f"{table}.parquet", company.frame(table))

    tables = company.read(**{table: f"{table}.parquet" for table in schemas.TABLES})

    assert_same_tables(tables, expected)


def assert_same_tables(tables, expected):
    assert_frame_equal(valid_events(tables), valid_events(expected))
    for table in ("subscriptions", "accounts", "users"):
        assert_frame_equal(getattr(tables, table).rows, getattr(expected, table).rows)


def test_an_argument_that_is_not_a_frame_is_rejected(company):
    with pytest.raises(SourceError, match=r"accounts: expected a Polars or pandas frame.*dict"):
        company.load(accounts={"account_id": ["acme"]})


def test_a_pandas_column_of_mixed_types_is_rejected_without_quoting_it(company):
    mixed = company.frame("subscriptions").to_pandas().astype({"mrr": "object"})
    mixed["mrr"] = [1, "secret", 2.5]

    with pytest.raises(SourceError, match="subscriptions: a column of the pandas frame mixes typ"):
        company.load(subscriptions=mixed)


def test_zoned_pandas_timestamps_are_converted(company):
    log = company.frame("events").to_pandas()
    log["timestamp"] = pd.to_datetime(log["timestamp"], format="ISO8601", utc=True)
    log["timestamp"] = log["timestamp"].dt.tz_convert("Asia/Tokyo")

    tables = company.load(events=log)

    assert valid_events(tables)["timestamp"].to_list() == company.log()["timestamp"].to_list()


def test_several_frames_of_one_log_are_its_partitions(company):
    log = company.frame("events")

    tables = company.load(events=[log.head(1), log.tail(2)])

    assert [partition.count_rows() for partition in tables.events] == [1, 2]


# Names


def test_a_missing_column_is_named_with_the_columns_found(company):
    company.put("events.csv", "account_id,user_id,event,occurred_at\nacme,u1,view,2024-03-01\n")

    with pytest.raises(ContractError) as refusal:
        company.read()

    assert str(refusal.value) == (
        "events: missing column(s) timestamp; found account_id, user_id, event, occurred_at."
        " Map the warehouse's names under [columns.events] in expansion.toml."
    )


def test_a_column_missing_in_one_file_of_several_names_the_file(company):
    company.put("log/1.csv", "account_id,user_id,timestamp\nacme,u1,2024-03-01T00:00:00Z\n")
    company.put("log/2.csv", "account_id,timestamp\nacme,2024-03-01T00:00:00Z\n")

    with pytest.raises(ContractError, match=r"missing column\(s\) user_id in log/2\.csv;"):
        company.read(events="log/*.csv")


def test_a_mapped_column_that_does_not_exist_is_reported(company):
    with pytest.raises(ContractError, match=r"missing column\(s\) plan \(mapped to tariff\); foun"):
        company.read(columns={"subscriptions": {"plan": "tariff"}})


def test_a_mapping_of_an_unknown_column_names_the_nearest(company):
    with pytest.raises(SettingsError, match=r"maps time_stamp.*Did you mean timestamp"):
        company.read(columns={"events": {"time_stamp": "occurred_at"}})


def test_an_attribute_of_accounts_can_be_renamed(company):
    tables = company.read(columns={"accounts": {"branch": "industry", "csm": "name"}})

    assert tables.accounts.rows.select("csm", "branch").rows() == [
        ("Acme", "retail"),
        ("Beta", "steel"),
    ]


@given(names=st.permutations(schemas.EventSchema.column_names()))
def test_renamed_columns_mapped_back_give_the_same_log(names):
    schema_names = schemas.EventSchema.column_names()
    log = (
        schemas.EventSchema.create_empty()
        .clear(2)
        .with_columns(account_id=pl.lit("acme"), timestamp=pl.lit(utc("2024-03-01T00:00:00+00:00")))
    )
    log = log.cast(schemas.EventSchema.create_empty().schema)
    source_names = {name: f"their_{other}" for name, other in zip(schema_names, names, strict=True)}

    mapped = table_loader.tables_from_frames(
        log.rename(source_names),
        CONTRACTS,
        ACCOUNTS,
        columns=settings.ColumnsConfig(events=source_names),
    )

    assert_frame_equal(valid_events(mapped), log)


# Duplicates, conflicts and clocks


def test_duplicate_rows_collapse_to_one_and_are_counted(company):
    text = company.frame("subscriptions")
    tables = company.load(subscriptions=pl.concat([text, text]))

    assert tables.subscriptions.rows.height == 3
    assert tables.subscriptions.quarantine == {schemas.DUPLICATE_ROW: 3}
    assert tables.subscriptions.row_count == 6


def test_a_user_in_two_accounts_is_rejected_from_both(company):
    text = "user_id,account_id\nu1,acme\nu1,beta\nu2,acme\nu2,acme\n"
    company.put("users.csv", text)

    users = company.read(max_quarantine_share=0.5).users

    assert users.rows["user_id"].to_list() == ["u2"]
    assert users.quarantine == {"duplicate row": 1, "conflicting rows for one user_id": 2}


def test_an_event_ahead_of_the_clock_by_a_day_is_left_out(company):
    header = "account_id,user_id,timestamp\n"
    rows = "acme,u1,2024-06-01T23:59:59Z\nacme,u1,2024-06-02T00:00:01Z\n"

    assert company.quarantine("events", header + rows) == {schemas.FUTURE_TIMESTAMP: 1}


# Properties

ACCOUNTS = pl.DataFrame({"account_id": ["acme", "beta"], "created_date": [date(2023, 1, 1)] * 2})
CONTRACTS = pl.DataFrame({"account_id": ["acme"], "effective_date": [date(2023, 1, 1)]})
NOW = datetime(2024, 6, 1, tzinfo=UTC)

events = st.fixed_dictionaries(
    {
        "account_id": st.sampled_from(["acme", "beta", "who", "", None]),
        "user_id": st.sampled_from(["u1", "a@x.com", None]),
        "timestamp": st.sampled_from(["2024-03-01T00:00:00Z", "2030-01-01T00:00:00Z", "?", None]),
        "quantity": st.sampled_from(["1", "-1", "1e99", "nan", "x", "", None]),
    }
)
changes = st.fixed_dictionaries(
    {
        "account_id": st.sampled_from(["acme", "beta", "who", "", None]),
        "effective_date": st.sampled_from(["2024-01-01", "2024-02-01", "1970-01-01", "?", None]),
        "licensed_seats": st.sampled_from(["0", "5", "-1", "x", None]),
        "status": st.sampled_from(["paid", "Trial", "gone", None]),
    }
)


def frame(rows):
    return pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String))


@given(rows=st.lists(events, min_size=1, max_size=12))
def test_every_event_is_valid_or_counted_once(rows):
    tables = table_loader.tables_from_frames(
        frame(rows), CONTRACTS, ACCOUNTS, tables=ALL_PASSES, now=NOW
    )

    part = tables.events[0]
    assert part.count_rows() == len(rows)
    assert part.valid_rows().collect().height + sum(part.count_rejects().values()) == len(rows)


@given(rows=st.lists(changes, min_size=1, max_size=12), data=st.data())
def test_every_change_is_valid_or_counted_in_any_row_order(rows, data):
    good = {"account_id": "acme", "effective_date": "2023-01-01"}
    rows = [*rows, good | {"licensed_seats": "1", "status": "paid"}]
    log = frame([{"account_id": "acme", "user_id": "u1", "timestamp": "2024-03-01T00:00:00Z"}])

    one, other = (
        table_loader.tables_from_frames(
            log, frame(order), ACCOUNTS, tables=ALL_PASSES
        ).subscriptions
        for order in (rows, data.draw(st.permutations(rows)))
    )

    assert one.row_count == len(rows) == one.rows.height + sum(one.quarantine.values())
    assert_frame_equal(one.rows, other.rows)
    assert one.quarantine == other.quarantine


# Identity


def identity(company, **tables):
    return company.read(**tables).events[0].identity


@pytest.mark.parametrize(
    "reading", [{"time_zone": "UTC"}, {"columns": {"events": {"feature": "event"}}}]
)
def test_other_rows_and_other_rules_change_the_identity_of_a_partition(company, reading):
    before = identity(company)

    assert identity(company) == before
    assert identity(company, **reading) != before
    company.put("events.csv", company.frame("events").write_csv() + "\n")
    assert identity(company) != before


def test_a_new_account_leaves_the_log_unchanged(company):
    before = identity(company)
    text = (company.folder / "accounts.csv").read_text()
    company.put("accounts.csv", text + "core,2024-01-01,Core,it\n")

    assert identity(company) == before


def test_the_identity_of_a_frame_is_independent_of_row_order(company):
    log = company.frame("events")

    def identity_of(events):
        return company.load(events=events).events[0].identity

    assert identity_of(log) == identity_of(log.reverse())
    assert identity_of(log) != identity_of(log.with_columns(event=pl.lit("other")))
