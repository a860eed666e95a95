"""What a line says, on the whole road at the command line: from one list to the next."""

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def later(road: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A company with a list of four weeks ago, of whose first account a human has dealt with."""
    folder = tmp_path_factory.mktemp("later") / "company"
    shutil.copytree(road.folder, folder)
    company = type(road)(folder)
    company.said["before"] = road.said["score older"]
    as_of = date.fromisoformat(road.told("score")["as_of"])
    first = road.told("show")["accounts"][0]["account_id"]
    engine = sa.create_engine(f"sqlite:///{folder / 'crm.db'}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO worked VALUES (:account, :day, 'task done')"),
            {"account": first, "day": str(as_of - timedelta(days=12))},
        )
    engine.dispose()
    company.said["score"] = company.run("score", "--json")
    company.said["show"] = company.run("show", "--json", "--top", 9999)
    return company


def test_who_was_worked_of_late_is_told_as_on_the_list_but_not_asked(later: Any, road: Any) -> None:
    first, before = (company.told("show")["accounts"][0] for company in (later, road))

    for name in ("account_id", "rank", "probability", "tier", "limit"):
        assert first[name] == before[name]
    assert (first["ask"], first["this_week"], first["motion"]) == (False, False, "rest")
    assert first["expansion_signal"] is None
    assert first["holds_back"][0].startswith("Worked 12 days ago: left alone until ")


def test_what_changed_since_the_list_before_is_told_with_its_distance(later: Any) -> None:
    rows = later.told("show")["accounts"]

    news = [sentence for row in rows for sentence in row["changed"]]
    distances = {found for each in news for found in re.findall(r"\d+ \w+ ago|a week ago", each)}
    assert news
    assert distances <= {"4 weeks ago"}
    assert not any("None" in each or "nan" in each for each in news)


def test_this_weeks_accounts_are_the_first_of_each_book_that_are_asked(later: Any) -> None:
    each = later.told("score")["capacity"]["accounts"]

    rows = pl.DataFrame(later.told("show")["accounts"], infer_schema_length=None)

    for _, book in rows.group_by("csm", maintain_order=True):
        assert book["book_rank"].to_list() == list(range(1, book.height + 1))
        first = book.filter("ask").head(each)["account_id"].to_list()
        assert book.filter("this_week")["account_id"].to_list() == first


def test_a_repeated_run_tells_the_same(later: Any) -> None:
    again = later.run("score", "--json")
    shown = later.run("show", "--json", "--top", 9999)

    assert json.loads(again.stdout)["listed"] == later.told("score")["listed"]
    assert shown.stdout == later.said["show"].stdout


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("expected_arr", "by expected ARR"),
        ("expected_arr_per_minute", "by expected ARR per minute"),
    ],
)
def test_a_list_by_revenue_says_so_and_is_in_that_order(
    by: str, told: str, later: Any, tmp_path: Path
) -> None:
    shutil.copytree(later.folder, tmp_path / "company")
    company = type(later)(tmp_path / "company")
    with company.config.open("a") as file:
        file.write(f'\n[scoring]\nrank_by = "{by}"\n')
    out = tmp_path / "list.parquet"

    record = company.ask("score", "--dry-run", "--out", out)

    rows = pl.read_parquet(out)
    assert record["basis"].startswith(f"{told}")
    assert "by model version 1" in record["basis"]
    assert rows["rank"].to_list() == list(range(1, rows.height + 1))
    if by == "expected_arr":
        assert rows["expected_arr"].is_sorted(descending=True, nulls_last=True)
    assert rows["account_id"].to_list() != [
        row["account_id"] for row in later.told("show")["accounts"]
    ]


def test_the_page_is_told_the_contract_of_whoever_is_left_out_too(later: Any) -> None:
    engine = sa.create_engine(f"sqlite:///{later.folder / 'crm.db'}")
    query = (
        "SELECT told FROM portraits JOIN scores USING (account_id, as_of)"
        " WHERE rank IS NULL AND note = 'contract ended'"
    )

    with engine.connect() as connection:
        told = [json.loads(row.told) for row in connection.execute(sa.text(query))]
        listed = connection.scalar(sa.text("SELECT count(*) FROM books"))
    engine.dispose()

    assert told
    assert {each["contract"]["status"][-1] for each in told} == {"ended"}
    assert listed == len(later.told("show")["accounts"])
