"""Validation rules and their reject reasons."""

import re

import pytest

from data import schemas
from data.errors import ContractError

SUBSCRIPTION = "account_id,effective_date,licensed_seats,usage_limit,mrr,status,change"
EVENT = "account_id,user_id,timestamp,quantity"
USER = "user_id,account_id,created_at,seat_type"
GOOD = {
    "events": "acme,u1,2024-03-01T00:00:00Z,1",
    "subscriptions": "acme,2024-01-01,1,1,1,paid,new",
    "users": "u1,acme,2024-01-01,paid",
}


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("subscriptions", ",2024-01-02,,,,,", "account_id is missing"),
        ("subscriptions", '"",2024-01-02,,,,,', "account_id is empty"),
        ("subscriptions", "acme,,,,,,", "effective_date is missing"),
        ("subscriptions", "acme,soon,,,,,", "effective_date is not a time"),
        ("subscriptions", "acme,2024-02-30,,,,,", "effective_date is not a time"),
        ("subscriptions", "acme,1970-01-01,,,,,", "effective_date is below 1990-01-01"),
        ("subscriptions", "acme,2024-01-02,ten,,,,", "licensed_seats is not a number"),
        ("subscriptions", "acme,2024-01-02,-1,,,,", "licensed_seats is below 0"),
        ("subscriptions", "acme,2024-01-02,inf,,,,", "licensed_seats is above 1,000,000,000"),
        ("subscriptions", "acme,2024-01-02,,-0.5,,,", "usage_limit is below 0"),
        ("subscriptions", "acme,2024-01-02,,,2e12,,", "mrr is above 1,000,000,000,000"),
        (
            "subscriptions",
            "acme,2024-01-02,,,,gone,",
            "status is not one of trial, paid, lapsed, churned",
        ),
        (
            "subscriptions",
            "acme,2024-01-02,,,,,more",
            "change is not one of new, organic, price, renewal, ramp, true_up, merger,"
            " correction, contraction, churn",
        ),
        ("subscriptions", "who,2024-01-02,,,,,", "account_id is not in the accounts table"),
        ("events", ",u1,2024-03-01T00:00:00Z,", "account_id is missing"),
        ("events", "acme,u1,,1", "timestamp is missing"),
        ("events", "acme,u1,yesterday,1", "timestamp is not a time"),
        ("events", "acme,u1,2024-03-01T25:00:00Z,1", "timestamp is not a time"),
        ("events", "acme,u1,1970-01-01T00:00:00Z,1", "timestamp is below 1990-01-01"),
        ("events", "acme,u1,2024-06-03T00:00:00Z,1", "timestamp is in the future"),
        ("events", "acme,u1,2024-03-01T00:00:00Z,-1", "quantity is below 0"),
        ("events", "acme,u1,2024-03-01T00:00:00Z,1e13", "quantity is above 1,000,000,000,000"),
        ("events", "acme,u1,2024-03-01T00:00:00Z,many", "quantity is not a number"),
        ("users", ",acme,,", "user_id is missing"),
        ("users", "u2,,,", "account_id is missing"),
        ("users", "u2,acme,never,", "created_at is not a time"),
        ("users", "u2,acme,,guest", "seat_type is not one of paid, free, trial"),
        ("users", "u2,who,,", "account_id is not in the accounts table"),
    ],
)
def test_an_invalid_row_is_counted_with_its_reason(company, table, row, reason):
    header = {"subscriptions": SUBSCRIPTION, "events": EVENT, "users": USER}[table]

    rejects = company.quarantine(table, f"{header}\n{GOOD[table]}\n{row}\n")

    assert rejects == {reason: 1}


def test_a_row_with_several_errors_is_counted_once(company):
    rows = "acme,u1,,-1\n,u1,never,many\n"

    rejects = company.quarantine("events", f"{EVENT}\n{GOOD['events']}\n{rows}")

    assert sum(rejects.values()) == 2


def test_every_validation_rule_has_its_own_reason():
    for table in schemas.TABLES:
        reasons = [reason for reason, _ in schemas.build_validation_rules(table)]

        assert len(set(reasons)) == len(reasons)
        assert all(re.match(r"\w+ is ", reason) for reason in reasons)


def test_required_columns_are_columns():
    for table, required in schemas.REQUIRED_COLUMNS.items():
        assert set(required) <= set(schemas.TABLES[table].column_names())


def test_the_allowed_share_of_invalid_rows_passes():
    schemas.enforce_quarantine_limit("events", 100, {"quantity is below 0": 5}, 0.05)


def test_too_many_invalid_rows_stop_the_run():
    quarantine = {"a is missing": 1, "b is missing": 3, "c is missing": 2, "d is missing": 5}

    with pytest.raises(ContractError) as refusal:
        schemas.enforce_quarantine_limit("events", 100, quarantine, 0.05)

    assert str(refusal.value) == (
        "events: 11 of 100 rows (11.0%) are invalid, above the 5.0% allowed (d is missing:"
        " 5; b is missing: 3; c is missing: 2). Fix the rows, or raise [tables]"
        " max_quarantine_share in expansion.toml if they may be left out."
    )


def test_duplicate_rows_do_not_count_against_the_limit():
    schemas.enforce_quarantine_limit("events", 100, {schemas.DUPLICATE_ROW: 60}, 0.05)


def test_a_table_without_a_valid_row_stops_the_run_at_any_limit():
    with pytest.raises(ContractError, match="100 of 100 rows"):
        schemas.enforce_quarantine_limit("events", 100, {"timestamp is missing": 100}, 1.0)


def test_too_many_invalid_rows_in_a_small_table_stop_the_load(company):
    text = f"{SUBSCRIPTION}\n{GOOD['subscriptions']}\nacme,2024-01-02,ten,,,,\n"
    company.put("subscriptions.csv", text)

    with pytest.raises(ContractError, match="licensed_seats is not a number: 1"):
        company.read()
