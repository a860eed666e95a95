"""Two companies at the command line: a simulated one that walks the whole road, and a tiny one."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from serving import store
from serving.cli.main import main
from serving.delivery.crm.sql.schema import METADATA

# Enough to learn from in seconds.
QUICK = """
[model]
ensemble_size = 2
n_estimators = 40
min_child_samples = 10
horizons_days = [30, 60, 180]

[evaluation]
n_bootstrap = 20
capacity = 5
first_as_of = 2000-01-01
refit_months = 4
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker walk the road, where there are several: it takes longer than all its tests."""
    for item in items:
        if "road" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("road"))


@dataclass(frozen=True)
class Company:
    """A folder with tables and settings, and the commands that were run on it."""

    folder: Path
    said: dict[str, Result] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "expansion.toml"

    def run(self, command: str, *arguments: object) -> Result:
        """Run a command on this company's settings."""
        return CliRunner().invoke(main, [command, "-c", *map(str, (self.config, *arguments))])

    def ask(self, command: str, *arguments: object) -> dict[str, Any]:
        """What a command says when asked for JSON."""
        return answer(self.run(command, "--json", *arguments))

    def told(self, label: str) -> dict[str, Any]:
        """What was said on the way."""
        return answer(self.said[label])

    def shown(self) -> dict[str, Any]:
        """The list that is in force, whole."""
        return self.ask("show", "--top", 9999)


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def refusal(result: Result) -> str:
    """The one line in which a command refused, without its first word."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.stderr.splitlines() if not line.endswith(" done")]
    assert line.startswith("Error: ")
    assert result.stdout == ""
    return line.removeprefix("Error: ")


@pytest.fixture(scope="session")
def refused() -> Callable[[Result], str]:
    return refusal


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A simulated company, from its log to its list, and an older list after that."""
    company = Company(tmp_path_factory.mktemp("road") / "company")
    made = ["--accounts", "80", "--months", "20", "--seed", "7", "--json"]
    company.said["simulate"] = CliRunner().invoke(
        main, ["simulate", *made, "--out", str(company.folder)]
    )
    with company.config.open("a") as file:
        file.write(QUICK)

    def walk(label: str, command: str, *arguments: object) -> None:
        company.said[label] = company.run(command, "--json", *arguments)

    walk("check", "check")
    walk("features", "features", "--months", 3, "--out", company.folder / "panel.parquet")
    walk("score cold", "score", "--dry-run")
    walk("train", "train", "--no-promote")
    walk("score simple", "score", "--dry-run")
    # What eighty accounts can show is not what the tests of the list are about.
    walk("promote", "promote", "--force", "the tests read a model's list")
    walk(
        "evaluate",
        "evaluate",
        *("--predictions", company.folder / "predictions.parquet"),
        *("--html", company.folder / "evaluation.html"),
    )
    walk("score", "score", "--out", company.folder / "list.parquet")
    walk("show", "show", "--top", 9999)
    walk("score again", "score")
    walk("show again", "show", "--top", 9999)
    as_of = datetime.fromisoformat(company.told("score")["as_of"]).date()
    walk("score older", "score", "--as-of", as_of - timedelta(days=28))
    walk("show after older", "show", "--top", 9999)
    walk("show account", "show", company.told("show")["accounts"][0]["account_id"])
    return company


TABLES = {
    "events": "account_id,user_id,timestamp,event,feature",
    "subscriptions": "account_id,effective_date,licensed_seats,plan,mrr,status",
    "accounts": "account_id,created_date,name",
}
SETTINGS = """
as_of = "data end"
state = "state"
[tables]
events = "events.csv"
subscriptions = "subscriptions.csv"
accounts = "accounts.csv"
max_quarantine_share = 1
"""
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
DAYS = 400


@dataclass(frozen=True)
class Tiny(Company):
    """Four accounts of two people each, in CSV files that a test may spoil."""

    def write(self, table: str, rows: list[str]) -> None:
        (self.folder / f"{table}.csv").write_text("\n".join([TABLES[table], *rows]) + "\n")

    def rows(self, table: str) -> list[str]:
        return (self.folder / f"{table}.csv").read_text().splitlines()[1:]

    def add(self, table: str, *rows: str) -> None:
        self.write(table, [*self.rows(table), *rows])

    def settings(self, text: str) -> None:
        self.config.write_text(text)

    def panel(self, *arguments: object) -> tuple[dict[str, Any], pl.DataFrame]:
        """What ``features`` said, and what it wrote."""
        out = self.folder / "panel.parquet"
        return self.ask("features", "--out", out, *arguments), pl.read_parquet(out)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    company = Tiny(tmp_path / "tiny")
    company.folder.mkdir()
    company.settings(SETTINGS)
    accounts = ["acme", "beta", "core", "dune"]
    company.write("accounts", [f"{name},2023-12-01,{name.title()}" for name in accounts])
    company.write("subscriptions", [f"{name},2023-12-01,10,team,100,paid" for name in accounts])
    days = [START + timedelta(days=day) for day in range(0, DAYS, 10)]
    company.write(
        "events",
        [
            f"{name},{name}-{user},{day:%Y-%m-%dT%H:%M:%SZ},view,reports"
            for name in accounts
            for user in (1, 2)
            for day in days
        ],
    )
    return company


@contextmanager
def on_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on a real PostgreSQL, dropped afterwards."""
    server = sa.make_url(request.getfixturevalue("postgres")).set(drivername="postgresql+psycopg")
    name = f"crm_{uuid4().hex}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own, without any table: a file, and one on a real PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'crm.db'}"
        return
    with on_postgres(request) as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def migrated_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with our tables, which tests share one after the other."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('migrated') / 'crm.db'}"
        store.open_engine(url).dispose()
        yield url
        return
    with on_postgres(request) as url:
        store.open_engine(url).dispose()
        yield url


@pytest.fixture
def database(migrated_url: str) -> Iterator[sa.Engine]:
    """A database with our tables, and nothing in them."""
    engine = store.open_engine(migrated_url)
    with store.write_transaction(engine) as connection:
        for table in METADATA.tables.values():
            connection.execute(sa.delete(table))
    yield engine
    engine.dispose()
