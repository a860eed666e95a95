"""List rows end to end at the command line, from one list to the next."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

# MLflow uses a deprecated SQLAlchemy API.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def later(trained_company: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A company with a list from four weeks ago, whose first account was contacted since."""
    company = trained_company.copy(tmp_path_factory.mktemp("later") / "company")
    as_of = date.fromisoformat(trained_company.result("score")["as_of"])
    first = trained_company.result("show")["accounts"][0]["account_id"]
    engine = sa.create_engine(f"sqlite:///{company.folder / 'crm.db'}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO account_touches VALUES (:account, :day, 'task done')"),
            {"account": first, "day": str(as_of - timedelta(days=12))},
        )
    engine.dispose()
    company.results["score"] = company.run("score", "--json")
    company.results["show"] = company.run("show", "--json", "--top", 9999)
    return company


def test_a_recently_contacted_account_keeps_its_rank_without_outreach(
    later: Any, trained_company: Any
) -> None:
    first, before = (company.result("show")["accounts"][0] for company in (later, trained_company))

    for name in ("account_id", "rank", "probability", "tier", "limit"):
        assert first[name] == before[name]
    assert first["outreach_allowed"] is first["in_weekly_capacity"] is False
    assert first["motion"] == "cooldown"
    assert first["expansion_signal"] is None
    assert first["counter_reasons"][0].startswith("Contacted 12 days ago: cool-down until ")


def test_changes_since_the_previous_list_name_its_age(later: Any) -> None:
    rows = later.result("show")["accounts"]

    changes = [sentence for row in rows for sentence in row["changes"]]
    ages = {age for each in changes for age in re.findall(r"\d+ \w+ ago|a week ago", each)}
    assert changes
    assert ages <= {"4 weeks ago"}
    assert not any("None" in each or "nan" in each for each in changes)


def test_a_repeated_run_gives_the_same_list(later: Any) -> None:
    again = later.run("score", "--json")
    shown = later.run("show", "--json", "--top", 9999)

    assert json.loads(again.stdout)["listed"] == later.result("score")["listed"]
    assert shown.stdout == later.results["show"].stdout


@pytest.mark.parametrize(
    ("by", "basis"),
    [
        ("expected_arr", "by expected ARR"),
        ("expected_arr_per_minute", "by expected ARR per minute"),
    ],
)
def test_a_list_by_revenue_is_sorted_by_revenue_and_names_its_basis(
    by: str, basis: str, later: Any, tmp_path: Path
) -> None:
    company = later.copy(tmp_path / "company")
    with company.config.open("a") as file:
        file.write(f'\n[scoring]\nrank_by = "{by}"\n')
    out = tmp_path / "list.parquet"

    record = company.run_json("score", "--dry-run", "--out", out)

    rows = pl.read_parquet(out)
    assert record["basis"].startswith(basis)
    assert "by model version 1" in record["basis"]
    assert rows["rank"].to_list() == list(range(1, rows.height + 1))
    if by == "expected_arr":
        assert rows["expected_arr"].is_sorted(descending=True, nulls_last=True)
    assert rows["account_id"].to_list() != [
        row["account_id"] for row in later.result("show")["accounts"]
    ]


def test_account_details_include_the_contracts_of_unlisted_accounts(later: Any) -> None:
    engine = sa.create_engine(f"sqlite:///{later.folder / 'crm.db'}")
    query = (
        "SELECT payload FROM account_details JOIN scores USING (account_id, as_of)"
        " WHERE rank IS NULL AND note = 'contract ended'"
    )

    with engine.connect() as connection:
        details = [json.loads(row.payload) for row in connection.execute(sa.text(query))]
        listed = connection.scalar(sa.text("SELECT count(*) FROM list_index"))
    engine.dispose()

    assert details
    assert {each["contract"]["status"][-1] for each in details} == {"ended"}
    assert listed == len(later.result("show")["accounts"])
