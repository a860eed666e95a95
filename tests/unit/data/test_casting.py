"""Casting of single values: timestamps, numbers, and names without e-mail addresses."""

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from data.config import settings
from data.errors import ContractError, SettingsError
from data.ingest import table_loader
from data.ingest.validation import ZERO_SEATS_NOTE
from tests.unit.data.conftest import utc, valid_events


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2024-03-01T09:30:00Z", "2024-03-01T09:30:00+00:00"),
        ("2024-03-01 09:30:00+00", "2024-03-01T09:30:00+00:00"),
        ("2024-03-01 09:30:00 UTC", "2024-03-01T09:30:00+00:00"),
        ("2024-03-01 09:30:00.5 +0100", "2024-03-01T08:30:00.500+00:00"),
        ("2024-03-01T09:30:00.123456789Z", "2024-03-01T09:30:00.123456+00:00"),
        ("2024-03-01T09:30-05:00", "2024-03-01T14:30:00+00:00"),
        (" 2024-02-29T23:59:59Z ", "2024-02-29T23:59:59+00:00"),
    ],
)
def test_text_with_an_offset_is_parsed(company, written, instant):
    company.put("events.csv", f"account_id,user_id,timestamp\nacme,u1,{written}\n")

    assert company.log()["timestamp"].to_list() == [utc(instant)]


ZONELESS = [
    ["2024-03-01T09:30:00"],
    ["2024-03-01 09:30"],
    ["2024-03-01"],
    [datetime(2024, 3, 1, 9, 30)],  # noqa: DTZ001 - the point
    [date(2024, 3, 1)],
]


@pytest.mark.parametrize("times", ZONELESS)
def test_naive_event_timestamps_are_rejected(company, times):
    log = pl.DataFrame({"account_id": "acme", "user_id": "u1", "timestamp": times})

    with pytest.raises(ContractError, match=r"timestamp has no time zone.*\[tables\] time_zone"):
        company.load(events=log)


@pytest.mark.parametrize("times", ZONELESS)
def test_a_declared_zone_applies_to_naive_event_timestamps(company, times):
    log = pl.DataFrame({"account_id": "acme", "user_id": "u1", "timestamp": times})

    tables = company.load(settings.TablesConfig(time_zone="America/New_York"), events=log)

    hour = 14 if "09:30" in str(times) or isinstance(times[0], datetime) else 5
    minute = 30 if hour == 14 else 0
    assert valid_events(tables)["timestamp"].to_list() == [
        datetime(2024, 3, 1, hour, minute, tzinfo=UTC)
    ]


def test_a_naive_effective_date_with_a_time_is_rejected(company):
    company.put("subscriptions.csv", "account_id,effective_date\nacme,2024-01-01 00:00:00\n")

    with pytest.raises(ContractError, match="subscriptions: effective_date has no time zone"):
        company.read()


def test_the_day_of_a_contract_is_independent_of_the_declared_zone(company):
    tables = company.read(time_zone="Asia/Tokyo")

    assert tables.subscriptions.rows["effective_date"][0] == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2024-10-27 02:30:00", "2024-10-27T00:30:00+00:00"),  # ambiguous: the first occurrence
        ("2024-03-31 02:30:00", "2024-03-31T01:30:00+00:00"),  # non-existent: shifted forward
    ],
)
def test_ambiguous_and_nonexistent_local_times_are_parsed(company, local, instant):
    company.put("events.csv", f"account_id,user_id,timestamp\nacme,u1,{local}\n")

    tables = company.load(settings.TablesConfig(time_zone="Europe/Berlin"))

    assert valid_events(tables)["timestamp"].to_list() == [utc(instant)]


def test_an_unknown_time_zone_is_rejected_with_a_suggestion(company):
    with pytest.raises(SettingsError, match="Did you mean Europe/Berlin"):
        company.read(time_zone="Europe/Berlim")


def test_timestamps_in_another_zone_become_utc(company):
    tokyo = pl.Series([utc("2024-03-01T00:00:00+00:00")]).dt.convert_time_zone("Asia/Tokyo")
    log = pl.DataFrame({"account_id": "acme", "user_id": "u1", "timestamp": tokyo})

    tables = company.load(events=log)

    assert valid_events(tables)["timestamp"].to_list() == [utc("2024-03-01T00:00:00+00:00")]


@pytest.mark.parametrize(
    ("column", "values"),
    [("timestamp", [1_709_285_400]), ("quantity", [date(2024, 3, 1)]), ("event", [["a", "b"]])],
)
def test_a_column_of_an_unusable_type_is_rejected(company, column, values):
    log = pl.DataFrame(
        {"account_id": ["acme"], "user_id": ["u1"], "timestamp": ["2024-03-01T00:00:00Z"]}
        | {column: values}
    )

    with pytest.raises(ContractError, match=f"events: {column} holds .* expected"):
        company.load(events=log)


# Numbers and keys


@pytest.mark.parametrize(
    ("written", "number"),
    [
        *((seats, 3.0) for seats in (3, 3.0, Decimal("3.00"), "3", " 3.0 ", np.uint8(3))),
        *((nothing, None) for nothing in (float("nan"), "NaN", "", "  ", None)),
    ],
)
def test_numbers_of_any_type_are_numbers_and_blanks_are_missing(company, written, number):
    contract = pl.DataFrame({"account_id": ["acme"], "effective_date": [date(2024, 1, 1)]})

    tables = company.load(subscriptions=contract.with_columns(licensed_seats=pl.lit(written)))

    assert tables.subscriptions.rows["licensed_seats"].to_list() == [number]


def test_zero_licensed_seats_mean_no_seat_limit(company):
    company.put("subscriptions.csv", "account_id,effective_date,licensed_seats\nacme,2024-01-01,0")

    result = company.read().subscriptions

    assert result.rows["licensed_seats"].to_list() == [None]
    assert result.notes == {ZERO_SEATS_NOTE: 1}
    assert result.quarantine == {}


def test_integer_keys_join_across_storage_types(company):
    accounts = pl.DataFrame({"account_id": [12], "created_date": [date(2024, 1, 1)]})
    contract = pd.DataFrame({"account_id": [12.0], "effective_date": [date(2024, 1, 1)]})
    log = pl.DataFrame(
        {"account_id": "12", "user_id": [7.0], "timestamp": [utc("2024-03-01T00:00:00+00:00")]}
    )

    tables = table_loader.tables_from_frames(log, contract, accounts)

    assert tables.subscriptions.rows["account_id"].to_list() == ["12"]
    assert valid_events(tables)["user_id"].to_list() == ["7"]


# Personal data


def test_email_addresses_are_never_ingested(company):
    company.put("events.csv", "account_id,user_id,timestamp\nacme,Ann@x.com,2024-03-01T00:00:00Z\n")
    company.put("users.csv", "user_id,account_id,email,full_name\nann@x.com,acme,Ann@X.com,Ann A\n")
    company.put(
        "accounts.csv",
        "account_id,created_date,contact\nacme,2024-01-01,Ann <ann@x.com>\nbeta,2024-01-01,\n",
    )

    tables = company.read()

    log, people, accounts = valid_events(tables), tables.users.rows, tables.accounts.rows
    assert log["user_id"].to_list() == people["user_id"].to_list()
    assert people["email_domain"].to_list() == ["x.com"]
    assert accounts["contact"].to_list() == ["Ann <x.com>", None]
    text = f"{log.rows()}{people.rows()}{accounts.rows()}"
    assert "@" not in text
    assert "Ann A" not in text


def test_the_hash_of_an_email_address_is_stable(company):
    digest = hashlib.blake2b(b"a@x.com", digest_size=12).hexdigest()
    company.put("events.csv", "account_id,user_id,timestamp\nacme,a@x.com,2024-03-01T00:00:00Z\n")

    assert company.log()["user_id"].to_list() == [f"user-{digest}"]
