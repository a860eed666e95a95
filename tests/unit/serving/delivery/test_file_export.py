"""The export to files: types, escaping, atomic replacement, and nothing read back."""

import csv
import io
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.config.settings import Settings
from data.errors import DeliveryError
from serving import store
from serving.delivery.crm import files
from serving.delivery.crm.base import Applied, FieldChange, Kind, ObjectRef
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.files import FilesTarget
from serving.store.schema import APPLIED_OBJECTS
from tests import ROOT
from tests.fakes.field_values import fields_of

KINDS: dict[Kind, str] = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}
HOSTILE = ["=1+1", "'=1+1", "-5", "@sum", "\tx", "two\nlines", "a\r\nb", ',;"', "true", "12", "é✓"]
texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


VALUES = {
    "text": texts,
    "multiline": st.lists(texts, max_size=3).map("\n".join),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "integer": st.integers(-(2**53), 2**53),
    "date": st.dates().map(str),
}


def key_of(account_id: str, kind: Kind) -> str:
    return account_id if kind == "account" else f"{account_id}:seats:1"


def write(target: FilesTarget, account_id: str, kind: Kind = "account", **fields: Any) -> None:
    key = key_of(account_id, kind)
    assert target.write([FieldChange(ObjectRef(kind, key, account_id), fields)]) == [Applied(key)]


def acknowledge(engine: sa.Engine, key: str, **fields: Any) -> None:
    """Store an account as exported, like the sender after a write."""
    row = {"target": "files", "kind": "account", "key": key, "crm_id": key, "fields": fields}
    with store.write_transaction(engine) as connection:
        connection.execute(
            sa.insert(APPLIED_OBJECTS),
            {**row, "in_flight": {}, "human_fields": [], "adopted": False},
        )


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture(params=["csv", "parquet"])
def target(request: pytest.FixtureRequest, engine: sa.Engine, tmp_path: Path) -> FilesTarget:
    return FilesTarget(engine, tmp_path / "drop", request.param)


@pytest.fixture
def csv_target(engine: sa.Engine, tmp_path: Path) -> FilesTarget:
    return FilesTarget(engine, tmp_path / "drop", "csv")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(list(KINDS)))
def test_parquet_holds_every_value_in_its_type(
    engine: sa.Engine, tmp_path: Path, data: st.DataObject, kind: Kind
) -> None:
    target = FilesTarget(engine, tmp_path, "parquet")
    desired = {
        key_of(each, kind): data.draw(fields_of(kind, VALUES)) for each in ["acme", "'beta", "001"]
    }
    shaped = {key: target.normalize(kind, fields) for key, fields in desired.items()}

    target.write(
        [FieldChange(ObjectRef(kind, key, key.split(":")[0]), shaped[key]) for key in shaped]
    )

    frame = pl.read_parquet(tmp_path / f"{KINDS[kind]}.parquet")
    assert frame["account_id"].to_list() == ["'beta", "001", "acme"]
    for row in frame.rows(named=True):
        fields = shaped[row.get("key", row["account_id"])]
        for name, field in FIELDS[kind].items():
            value = row[name].isoformat() if isinstance(row[name], date) else row[name]
            assert value == fields.get(name), (name, field)
    assert all(target.normalize(kind, fields) == fields for fields in shaped.values())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts)
def test_csv_holds_no_formula_and_any_reader_parses_it(
    engine: sa.Engine, tmp_path: Path, name: str
) -> None:
    target = FilesTarget(engine, tmp_path, "csv")
    fields = target.normalize(
        "account", {"name": name, "rank": -1, "probability": 0.5, "as_of": "2026-06-01"}
    )
    target.write([FieldChange(ObjectRef("account", "=acme", "=acme"), fields)])

    text = (tmp_path / "accounts.csv").read_bytes().decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""), strict=True)

    assert row["account_id"] == "'=acme"
    assert not row["name"].lstrip().startswith(tuple("=+-@"))
    assert row["name"].removeprefix("'").endswith(name.replace("\x00", "").removeprefix("'"))
    assert (row["rank"], row["probability"], row["as_of"]) == ("-1", "0.5", "2026-06-01")


def test_a_colon_in_an_account_id_survives_in_the_key(
    csv_target: FilesTarget, tmp_path: Path
) -> None:
    change = FieldChange(ObjectRef("task", "eu%3A42:seats:1:talk", "eu:42"), {"subject": "Talk"})

    csv_target.write([change])

    (row,) = pl.read_csv(tmp_path / "drop" / "tasks.csv").rows(named=True)
    assert (row["key"], row["account_id"]) == ("eu%3A42:seats:1:talk", "eu:42")


def test_a_write_keeps_the_rows_that_were_exported_before(
    csv_target: FilesTarget, engine: sa.Engine, tmp_path: Path
) -> None:
    acknowledge(engine, "acme", name="Acme", rank=1)
    acknowledge(engine, "beta", name="Beta", rank=2)

    write(csv_target, "acme", rank=3)

    frame = pl.read_csv(tmp_path / "drop" / "accounts.csv")
    assert frame.select("account_id", "name", "rank").rows() == [
        ("acme", "Acme", 3),
        ("beta", "Beta", 2),
    ]


def test_edits_in_a_file_are_not_read_back(
    csv_target: FilesTarget, engine: sa.Engine, tmp_path: Path
) -> None:
    acknowledge(engine, "acme", name="Acme", rank=1)
    csv_target.provision()
    file = tmp_path / "drop" / "accounts.csv"
    file.write_text(file.read_text().replace("Acme", "Edited"))

    (live,) = csv_target.read([ObjectRef("account", "acme", "acme")])
    write(csv_target, "acme", rank=2)

    assert live is not None
    assert live.fields == {"name": "Acme", "rank": 1}
    assert "Edited" not in file.read_text()
    assert csv_target.fetch_human_touches(date(2026, 1, 1)) == []


def test_setup_writes_missing_files_once_and_check_reports_them(
    target: FilesTarget, engine: sa.Engine
) -> None:
    acknowledge(engine, "acme", name="Acme")
    before = [finding.subject for finding in target.preflight([]) if not finding.passed]

    created, again = target.provision(), target.provision()

    assert [Path(name).stem for name in before] == ["accounts"]
    assert len(created) == 3
    assert again == []
    assert all(finding.passed for finding in target.preflight([]))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_full_disk_leaves_the_previous_file_and_no_draft(tmp_path: Path, suffix: str) -> None:
    """Run in a subprocess that cannot write files above 64 kB."""
    script = f"""
import random, resource, signal
from pathlib import Path
import sqlalchemy as sa
from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import FieldChange, ObjectRef
from serving.delivery.crm.files import FilesTarget
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
engine = store.open_engine("sqlite://")
target = FilesTarget(engine, Path({str(tmp_path)!r}), {suffix!r})
target.write([FieldChange(ObjectRef("account", "acme", "acme"), {{"rank": 1}})])
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
names = [random.randbytes(30).hex() for _ in range(5000)]
try:
    refs = [ObjectRef("account", name, name) for name in names]
    target.write([FieldChange(ref, {{"name": ref.key}}) for ref in refs])
except DeliveryError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    file = tmp_path / f"accounts.{suffix}"
    frame = pl.read_csv(file) if suffix == "csv" else pl.read_parquet(file)
    assert "File too large" in result.stdout
    assert result.stdout.count("\n") == 1
    assert frame["account_id"].to_list() == ["acme"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_created_is_an_error(engine: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "drop").write_text("a file")

    with pytest.raises(DeliveryError, match="could not be written"):
        write(FilesTarget(engine, tmp_path / "drop", "csv"), "acme", rank=1)


def test_the_settings_of_the_page_are_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "files.md").read_text(encoding="utf-8")
    parsed = tomllib.loads(page.split("```toml\n")[1].split("```")[0])

    target = files.create_target(Settings(**parsed, base=tmp_path))

    assert repr(target) == f"FilesTarget('{tmp_path / 'drop'}', csv)"
    target.close()
