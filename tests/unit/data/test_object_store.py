"""Tables in an object store, served by a local S3 server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from io import BytesIO
from itertools import count
from typing import Any

import boto3
import polars as pl
import pytest
from click.testing import CliRunner, Result
from polars.testing import assert_frame_equal

from data.errors import SourceError
from serving.cli.main import main
from tests.fakes import object_store

NUMBERS = count()
DAY = "account_id,user_id,timestamp\nacme,u1,2024-03-{:02d}T00:00:00Z\n"
SETTINGS = """
as_of = "data end"
[tables]
events = "{bucket}/events/*.parquet"
subscriptions = "{bucket}/subscriptions.csv"
accounts = "{bucket}/accounts.csv"
"""


class Bucket:
    """A new bucket for each test."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint, self.name = endpoint, f"warehouse-{next(NUMBERS)}"
        self.url = f"s3://{self.name}"
        self.client = boto3.client("s3")
        self.client.create_bucket(Bucket=self.name)

    def put(self, key: str, content: str | pl.DataFrame) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=to_bytes(content))


def to_bytes(content: str | pl.DataFrame) -> bytes:
    if isinstance(content, str):
        return content.encode()
    file = BytesIO()
    content.write_parquet(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with object_store.serve_s3() as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    object_store.set_environment(monkeypatch, endpoint)
    return Bucket(endpoint)


@pytest.fixture
def authenticated(logs: "Bucket") -> Iterator["Bucket"]:
    """Return the same bucket with authentication enabled and no valid user."""
    restrict_access(logs.endpoint, "0")
    yield logs
    restrict_access(logs.endpoint, "inf")


def restrict_access(endpoint: str, actions: str) -> None:
    server = HTTPConnection(endpoint.removeprefix("http://"))
    heads = {"Content-Type": "application/octet-stream"}
    server.request("POST", "/moto-api/reset-auth", actions.encode(), heads)
    assert server.getresponse().status == 200
    server.close()


def names(tables: Any) -> list[str]:
    return [partition.name for partition in tables.events]


def days(tables: Any) -> list[int]:
    rows = pl.concat(partition.valid_rows().collect() for partition in tables.events)
    return rows["timestamp"].dt.day().to_list()


@pytest.fixture
def logs(bucket: Bucket) -> Bucket:
    """Write three days of log, one of them in a subfolder."""
    for key, day in (("log/2.csv", 2), ("log/1.csv", 1), ("log/old/3.csv", 3)):
        bucket.put(key, DAY.format(day))
    return bucket


@pytest.mark.parametrize(
    ("pattern", "result"),
    [
        ("/log/*.csv", [1, 2]),
        ("/log/**/*.csv", [1, 2, 3]),
        ("/lo?/[13].csv", [1]),
        ("/log", [1, 2, 3]),
        ("/log/", [1, 2, 3]),
        ("/log/2.csv", [2]),
    ],
)
def test_objects_are_resolved_by_name_glob_and_folder(
    logs: Bucket, company: Any, pattern: str, result: list[int]
) -> None:
    assert days(company.read(events=logs.url + pattern)) == result


def test_an_s3a_url_is_the_same_store(logs: Bucket, company: Any) -> None:
    tables = company.read(events=f"s3a://{logs.name}/log/*.csv")

    assert names(tables) == [f"{logs.url}/log/1.csv", f"{logs.url}/log/2.csv"]


@pytest.mark.parametrize(
    "key", ["day=2024-03-01/part 0.csv", "50% + more.csv", "größe.csv", "a#b&c=d.csv"]
)
def test_a_key_may_contain_characters_that_a_url_may_not(
    bucket: Bucket, company: Any, key: str
) -> None:
    bucket.put(f"log/{key}", DAY.format(7))

    by_name = company.read(events=f"{bucket.url}/log/{key}")
    by_glob = company.read(events=f"{bucket.url}/log/**/*.csv")

    assert names(by_name) == names(by_glob) == [f"{bucket.url}/log/{key}"]
    assert days(by_name) == [7]


@pytest.mark.parametrize("table", ["subscriptions", "accounts", "users"])
def test_a_small_table_may_be_one_object(bucket: Bucket, company: Any, table: str) -> None:
    bucket.put(f"export/{table}.parquet", company.frame(table))

    tables = company.read(**{table: f"{bucket.url}/export/{table}.parquet"})

    assert_frame_equal(getattr(tables, table).rows, getattr(company.read(), table).rows)


def test_only_a_changed_object_changes_its_identity(logs: Bucket, company: Any) -> None:
    def identities() -> dict[str, str]:
        tables = company.read(events=f"{logs.url}/log/*.csv")
        return {partition.name: partition.identity for partition in tables.events}

    before, again = identities(), identities()
    logs.put("log/2.csv", DAY.format(2) + DAY.format(3).splitlines()[1])
    after = identities()

    assert again == before
    assert [name for name in before if before[name] != after[name]] == [f"{logs.url}/log/2.csv"]


@pytest.mark.parametrize("key", ["gone.csv", "gone/*.csv", "gone"])
def test_a_missing_object_is_named_with_its_setting(logs: Bucket, company: Any, key: str) -> None:
    with pytest.raises(SourceError, match=r"^events: .*gone.*Add one, or correct \[tables\]"):
        company.read(events=f"{logs.url}/{key}")


def test_a_missing_bucket_is_named(bucket: Bucket, company: Any) -> None:
    with pytest.raises(
        SourceError, match=r"s3://nobody-has-this/\*\.csv cannot be reached: .*bucke"
    ):
        company.read(events="s3://nobody-has-this/*.csv")


def test_a_damaged_object_is_named(bucket: Bucket, company: Any) -> None:
    bucket.put("log/1.parquet", "PAR1 and no more")

    with pytest.raises(SourceError, match=rf"{bucket.url}/log/1.parquet cannot be read"):
        company.read(events=f"{bucket.url}/log/1.parquet")


@pytest.mark.parametrize("key", ["log/1.csv", "log/*.csv"])
def test_rejected_credentials_give_a_one_line_error(
    authenticated: Bucket, company: Any, key: str
) -> None:
    with pytest.raises(
        SourceError, match=r"(DENIED|ACCESS_KEY).*Check the URL and the credentials"
    ):
        company.read(events=f"{authenticated.url}/{key}")


# ---- At the command line


@pytest.fixture
def warehouse(bucket: Bucket, tmp_path: Any) -> Bucket:
    """Write a company to the bucket; only its settings are local."""
    start = datetime(2024, 1, 1, 9, tzinfo=UTC)
    for month in range(3):
        at = [start + timedelta(days=30 * month + day) for day in range(28)]
        events = pl.DataFrame({"account_id": "acme", "user_id": "ann", "timestamp": at})
        bucket.put(f"events/{month}.parquet", events)
    bucket.put("accounts.csv", "account_id,created_date\nacme,2023-12-01\n")
    sold = "account_id,effective_date,licensed_seats\nacme,2023-12-01,5\n"
    bucket.put("subscriptions.csv", sold)
    (tmp_path / "expansion.toml").write_text(SETTINGS.format(bucket=bucket.url))
    return bucket


def check(folder: Any) -> Result:
    return CliRunner().invoke(main, ["check", "-c", str(folder / "expansion.toml"), "--json"])


def events(result: Result) -> int:
    assert result.exit_code == 0, result.output
    rows = {table["table"]: table["rows"] for table in json.loads(result.stdout)["tables"]}
    return int(rows["events"])


def test_check_reads_a_bucket_and_counts_an_object_that_was_changed(
    warehouse: Bucket, tmp_path: Any
) -> None:
    first, again = check(tmp_path), check(tmp_path)
    late = datetime(2024, 3, 1, tzinfo=UTC)
    rows = pl.DataFrame({"account_id": ["acme"] * 5, "user_id": "bob", "timestamp": late})
    warehouse.put("events/2.parquet", rows)
    changed = check(tmp_path)

    assert [events(result) for result in (first, again, changed)] == [84, 84, 61]


def test_check_reports_an_unreachable_store_in_one_line(warehouse: Bucket, tmp_path: Any) -> None:
    (tmp_path / "expansion.toml").write_text(SETTINGS.format(bucket="s3://nobody-has-this"))

    result = check(tmp_path)

    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert len(result.stderr.splitlines()) == 1
