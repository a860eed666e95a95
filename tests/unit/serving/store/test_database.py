"""The application database: migrations, locks and errors, on SQLite and a real PostgreSQL."""

import hashlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import Kind
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.sql import TABLES
from serving.store import engine as store_engine
from serving.store import migrate, queries
from serving.store.schema import METADATA, SCORES

MONDAY = date(2025, 6, 2)
# Keys, and the columns that belong to humans.
OTHER_COLUMNS = {
    "account": {"account_id"},
    "opportunity": {"id", "key", "account_id", "owner", "stage", "moved_on", "closed_on"},
    "task": {"id", "key", "account_id", "opportunity_id", "owner", "done_on"},
}


ROW = {"account_id": "acme", "as_of": MONDAY, "rank": 1}


@contextmanager
def open_database(url: str | Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{url}" if isinstance(url, Path) else url)
    yield engine
    engine.dispose()


def schema_differences(url: str) -> list[Any]:
    """Open a database; return its differences to the schema according to Alembic."""
    options = {"compare_type": True, "version_table": migrate.VERSION_TABLE}
    with open_database(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, METADATA))


def insert_row(engine: sa.Engine) -> None:
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(SCORES), ROW)


def test_a_new_database_has_the_tables_of_the_schema(database_url: str) -> None:
    assert schema_differences(database_url) == []


def test_opening_a_database_again_changes_nothing(database_url: str) -> None:
    with open_database(database_url) as engine:
        insert_row(engine)
    before = dump(database_url)

    store.open_engine(database_url).dispose()

    assert dump(database_url) == before


def dump(url: str) -> dict[str, list[Any]]:
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = {
            name: sorted(map(str, connection.execute(sa.select(table))))
            for name, table in tables.tables.items()
        }
    engine.dispose()
    return rows


OPEN = """
import sys
from serving import store
sys.stdin.readline()
store.open_engine(sys.argv[1]).dispose()
"""


def test_two_processes_that_open_a_database_at_once_both_succeed(database_url: str) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPEN, database_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    errors = [opener.communicate(timeout=60)[1] for opener in openers]

    assert [opener.returncode for opener in openers] == [0, 0], errors
    assert schema_differences(database_url) == []


def test_a_migration_that_fails_halfway_leaves_the_database_empty(database_url: str) -> None:

    def fail(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "CREATE TABLE tasks" in statement:
            raise sa.exc.OperationalError(statement, parameters, OSError("connection lost"))

    sa.event.listen(sa.Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(DeliveryError, match="reported: connection lost"):
            store.open_engine(database_url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", fail)

    assert dump(database_url) == {}
    assert schema_differences(database_url) == []


def test_a_database_of_a_newer_version_is_rejected_in_one_sentence(database_url: str) -> None:
    newer = sa.text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '0099'")
    with open_database(database_url) as engine, store.write_transaction(engine) as connection:
        connection.execute(newer)

    with pytest.raises(DeliveryError, match=r"\A[^\n]*has version 0099, but this program [^\n]*\Z"):
        store.open_engine(database_url)


def test_a_foreign_table_is_not_modified(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE runs (run_uuid VARCHAR, status VARCHAR)"))
    engine.dispose()

    with pytest.raises(DeliveryError, match=r"did not create \(runs\); use an empty"):
        store.open_engine(database_url)

    assert dump(database_url) == {"runs": []}


def test_the_latest_revision_is_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "serving.store:migrations")

    assert ScriptDirectory.from_config(config).get_current_head() == migrate.LATEST_REVISION


def test_a_changed_schema_has_a_migration_and_a_new_revision() -> None:
    """After a change: add the migration, raise LATEST_REVISION, and store the new digest here."""
    tables = sorted(METADATA.tables.values(), key=lambda table: table.name)
    lines = [
        f"{table.name}.{column.name} {column.type!r} {column.nullable} {column.primary_key}"
        for table in tables
        for column in table.columns
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    assert (migrate.LATEST_REVISION, digest) == ("0001", "05e1525e3b4660b1")


@pytest.mark.parametrize(("kind", "table"), TABLES.items())
def test_the_embedded_crm_has_a_column_for_each_field(kind: Kind, table: sa.Table) -> None:
    types = {
        "text": sa.String,
        "multiline": sa.Text,
        "number": sa.Float,
        "integer": sa.Integer,
        "date": sa.Date,
        "boolean": sa.Boolean,
    }
    fields = {name: types[field.type] for name, field in FIELDS[kind].items()}

    columns = {column.name: type(column.type) for column in table.columns}

    assert {name: columns[name] for name in fields} == fields
    assert set(columns) - set(fields) <= OTHER_COLUMNS[kind]


def test_the_migrations_are_part_of_the_wheel() -> None:
    migrations = Path(migrate.__file__).parent / "migrations"

    assert len(list(migrations.glob("versions/v*.py"))) == int(migrate.LATEST_REVISION)


# ---- SQLite.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "crm.db"
    store.open_engine(f"sqlite:///{file}").dispose()
    return file


def test_readers_do_not_wait_for_the_writer(file: Path) -> None:
    with open_database(file) as engine:
        with store.write_transaction(engine) as connection:
            connection.execute(sa.insert(SCORES), ROW)
            read = queries.load_score_history(engine, "acme")

        assert read == []
        assert len(queries.load_score_history(engine, "acme")) == 1


def test_a_writer_waits_for_another_writer(file: Path) -> None:
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    steps = []

    def release() -> None:
        steps.append("released")
        holder.execute("COMMIT")

    timer = threading.Timer(0.2, release)
    timer.start()

    with open_database(file) as engine:
        with store.write_transaction(engine) as connection:
            steps.append("acquired")
            connection.execute(sa.insert(SCORES), ROW)

        timer.join()
        holder.close()
        assert steps == ["released", "acquired"]
        assert len(queries.load_score_history(engine, "acme")) == 1


def test_a_database_that_stays_locked_is_reported_in_one_sentence(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_engine, "BUSY_TIMEOUT_SECONDS", 0.1)

    with (
        open_database(file) as engine,
        closing(sqlite3.connect(file, isolation_level=None)) as holder,
    ):
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DeliveryError, match="reported: database is locked; Fix it and run"):
            insert_row(engine)


def test_a_read_only_database_can_be_read_and_a_write_is_reported(file: Path) -> None:
    with open_database(f"sqlite:///file:{file}?mode=ro&uri=true") as engine:
        assert queries.load_latest_as_of(engine) is None
        with pytest.raises(DeliveryError, match=r"\A[^\n]*write a readonly database[^\n]*\Z"):
            insert_row(engine)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://nobody:secret@127.0.0.1:9/crm", "refused"),
        ("sqlite:////proc/nowhere/crm.db", "unable to open database file"),
        ("oracle+nothing://x/y", "no driver"),
        ("no url at all", "no driver"),
    ],
)
def test_an_unreachable_database_is_reported_in_one_line(url: str, message: str) -> None:
    with pytest.raises(DeliveryError, match=message) as error:
        store.open_engine(url)

    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_the_folder_of_an_sqlite_file_is_created(tmp_path: Path) -> None:
    store.open_engine(f"sqlite:///{tmp_path / 'new' / 'crm.db'}").dispose()

    assert (tmp_path / "new" / "crm.db").is_file()


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "crm.db").write_text("plain text that is long enough to be read as a database page")

    with pytest.raises(DeliveryError, match="file is not a database"):
        store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")


def test_the_url_is_shown_without_its_password() -> None:
    url = store.redact_url("postgresql+psycopg://expansion:secret@host/crm")

    assert "secret" not in url
    assert url.startswith("postgresql+psycopg://expansion:")
