"""File resolution, and clear errors for files that cannot be read."""

import errno
import gzip

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data.errors import ContractError, SourceError
from data.ingest import files

DAY = "account_id,user_id,timestamp\nacme,u1,2024-03-{:02d}T00:00:00Z\n"


def names(tables):
    return [partition.name for partition in tables.events]


@pytest.fixture
def logs(company):
    """Write three days of log to a folder, in no particular order."""
    for day in (2, 1, 3):
        company.put(f"log/{day}.csv", DAY.format(day))
    return company


@pytest.mark.parametrize(
    "source",
    ["log/*.csv", "log", "lo?/[123].csv", "**/[123].csv", ["log/3.csv", "log/1.csv", "log/*.csv"]],
)
def test_globs_folders_and_lists_resolve_to_each_file_once_in_order(logs, source):
    assert names(logs.read(events=source)) == ["log/1.csv", "log/2.csv", "log/3.csv"]


def test_an_absolute_path_is_used_unchanged(logs):
    assert names(logs.read(events=str(logs.folder / "log" / "1.csv"))) == ["log/1.csv"]


def test_paths_are_relative_to_the_folder_and_the_folder_to_the_settings(logs):
    where = {"accounts": "../accounts.csv", "subscriptions": "../subscriptions.csv", "users": None}

    tables = logs.read(folder="log", events="*.csv", **where)

    assert names(tables) == ["1.csv", "2.csv", "3.csv"]


def test_a_small_table_may_consist_of_several_files(company):
    header, acme, beta = company.frame("accounts").sort("account_id").write_csv().splitlines()
    company.put("accounts/1.csv", f"{header}\n{acme}\n")
    company.put("accounts/2.csv", f"{header}\n{beta}\n")

    result = company.read(accounts="accounts/*.csv").accounts

    assert_frame_equal(result.rows, company.read().accounts.rows)


def test_a_compressed_csv_is_read(company):
    text = (company.folder / "events.csv").read_bytes()
    company.put("packed.csv.gz", gzip.compress(text))

    assert_frame_equal(company.log(events="packed.csv.gz"), company.log())


def test_a_file_name_may_contain_special_characters(company):
    company.put("my [log] 2024*.csv", DAY.format(1))

    assert company.log(events="my [log] 2024*.csv").height == 1


def test_files_without_rows_are_skipped(logs):
    logs.put("log/4.csv", "account_id,user_id,timestamp\n")
    logs.put("log/5.csv", "")
    logs.put("log/6.parquet", pl.DataFrame({"index": []}))

    assert names(logs.read(events="log/*")) == ["log/1.csv", "log/2.csv", "log/3.csv"]


def test_files_may_differ_in_extra_columns_and_types(logs):
    logs.put(
        "log/4.parquet",
        pl.read_csv(DAY.format(4).encode()).with_columns(
            pl.col("timestamp").str.to_datetime(time_zone="UTC"), quantity=pl.lit(2), page=pl.lit(1)
        ),
    )

    assert logs.log(events="log/*")["quantity"].to_list() == [None, None, None, 2.0]


@pytest.mark.parametrize("table", ["events", "subscriptions", "accounts", "users"])
def test_a_missing_file_is_named_with_its_setting(company, table):
    with pytest.raises(SourceError, match=rf"{table}: no file at .*gone.csv.*\[tables\] {table}"):
        company.read(**{table: "gone.csv"})


def test_a_glob_without_match_is_named(company):
    with pytest.raises(SourceError, match=r"events: no file matches .*log/\*\.parquet"):
        company.read(events="log/*.parquet")


def test_an_unknown_extension_is_rejected(company):
    company.put("events.xlsx", b"PK")

    with pytest.raises(SourceError, match=r"events\.xlsx.*expected \.parquet, \.csv or \.csv\.gz"):
        company.read(events="events.xlsx")


@pytest.mark.parametrize("table", ["events", "subscriptions", "accounts", "users"])
@pytest.mark.parametrize("text", ["", "account_id,user_id,timestamp,effective_date,created_date\n"])
def test_a_table_without_rows_is_rejected(company, table, text):
    company.put(f"{table}.csv", text)

    with pytest.raises(ContractError, match=f"{table}: no rows, expected at least one"):
        company.read()


@pytest.mark.parametrize("table", ["events", "subscriptions"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_half_written_parquet_file_is_named(company, table, share):
    path = company.put("whole.parquet", company.frame(table))
    content = path.read_bytes()
    company.put("part.parquet", content[: int(len(content) * share)])

    with pytest.raises(SourceError, match=rf"{table}: part\.parquet cannot be read.*export it"):
        company.read(**{table: "part.parquet"})


def test_a_partially_corrupt_file_is_named_when_its_rows_are_read(company):
    log = pl.concat([company.frame("events")] * 5000)
    path = company.put("events.parquet", log)
    content = bytearray(path.read_bytes())
    content[4:-2000] = b"\xff" * (len(content) - 2004)
    company.put("events.parquet", bytes(content))

    with pytest.raises(SourceError, match=r"events: events\.parquet cannot be read"):
        company.read(events="events.parquet").events[0].count_rejects()


@pytest.mark.parametrize(
    "garbage",
    [
        b"account_id,created_date\n\xff\xfe,1\n",
        b"account_id,created_date\n1,2,3\n",
        b'account_id,created_date\n"1,2\n3,4',
    ],
)
def test_garbage_in_a_csv_is_reported_without_quoting_it(company, garbage):
    company.put("accounts.csv", garbage)

    with pytest.raises(SourceError, match=r"accounts: accounts\.csv cannot be read") as refusal:
        company.read()

    assert "1,2" not in str(refusal.value)


def test_a_full_disk_is_not_reported_as_a_bad_file():
    with pytest.raises(OSError, match="No space"), files.translate_source_errors("events"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_programming_error_is_not_reported_as_a_bad_file():
    with pytest.raises(pl.exceptions.ColumnNotFoundError), files.translate_source_errors("events"):
        pl.DataFrame({"a": [1]}).select("b")


def test_a_url_is_read_like_a_path(logs):
    tables = logs.read(events=f"file://{logs.folder}/log/[12].csv")

    assert names(tables) == [f"file://{logs.folder}/log/{day}.csv" for day in (1, 2)]
    assert tables.events[0].valid_rows().collect().height == 1
