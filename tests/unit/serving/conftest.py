"""Two companies for command-line tests: a simulated one with a trained model, and a tiny one."""

import json
import shutil
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
from serving.store.schema import METADATA

# Small settings that train in seconds.
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


@dataclass(frozen=True)
class Company:
    """A folder with tables and settings, and the results of the commands run on it."""

    folder: Path
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "expansion.toml"

    def copy(self, folder: Path, *ignored: str) -> "Company":
        """Return a copy in another folder, without files of the ignored patterns."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(*ignored))
        return Company(folder)

    def run(self, command: str, *arguments: object) -> Result:
        """Run a command on this company's settings."""
        return CliRunner().invoke(main, [command, "-c", *map(str, (self.config, *arguments))])

    def run_json(self, command: str, *arguments: object) -> dict[str, Any]:
        """Run a command with ``--json`` and return its object."""
        return parse_json(self.run(command, "--json", *arguments))

    def result(self, label: str) -> dict[str, Any]:
        """Return the JSON object of an earlier command."""
        return parse_json(self.results[label])

    def active_list(self) -> dict[str, Any]:
        """Return the whole active list."""
        return self.run_json("show", "--top", 9999)


def parse_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    payload: dict[str, Any] = json.loads(result.stdout)
    return payload


def parse_error(result: Result) -> str:
    """Return the single error line of a failed command, without its prefix."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.stderr.splitlines() if not line.endswith(" done")]
    assert line.startswith("Error: ")
    assert result.stdout == ""
    return line.removeprefix("Error: ")


@pytest.fixture(scope="session")
def error_message() -> Callable[[Result], str]:
    return parse_error


@pytest.fixture(scope="session")
def trained_company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A simulated company with a trained model, its list, and then an older list."""
    company = Company(tmp_path_factory.mktemp("trained") / "company")
    options = ["--accounts", "80", "--months", "20", "--seed", "7", "--json"]
    company.results["simulate"] = CliRunner().invoke(
        main, ["simulate", *options, "--out", str(company.folder)]
    )
    with company.config.open("a") as file:
        file.write(QUICK)

    def run(label: str, command: str, *arguments: object) -> None:
        company.results[label] = company.run(command, "--json", *arguments)

    run("check", "check")
    run("features", "features", "--months", 3, "--out", company.folder / "panel.parquet")
    run("score cold", "score", "--dry-run")
    run("train", "train", "--no-promote")
    run("score simple", "score", "--dry-run")
    # Eighty accounts are too few for the gate, and the list tests need a model.
    run("promote", "promote", "--force", "the tests need a model's list")
    run("evaluate", "evaluate", "--predictions", company.folder / "predictions.parquet")
    run("score", "score", "--out", company.folder / "list.parquet")
    run("show", "show", "--top", 9999)
    run("score again", "score")
    run("show again", "show", "--top", 9999)
    as_of = datetime.fromisoformat(company.result("score")["as_of"]).date()
    run("score older", "score", "--as-of", as_of - timedelta(days=28))
    run("show after older", "show", "--top", 9999)
    run("show account", "show", company.result("show")["accounts"][0]["account_id"])
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
    """Four accounts with two users each, in CSV files that a test may corrupt."""

    def write(self, table: str, rows: list[str]) -> None:
        (self.folder / f"{table}.csv").write_text("\n".join([TABLES[table], *rows]) + "\n")

    def rows(self, table: str) -> list[str]:
        return (self.folder / f"{table}.csv").read_text().splitlines()[1:]

    def add(self, table: str, *rows: str) -> None:
        self.write(table, [*self.rows(table), *rows])

    def settings(self, text: str) -> None:
        self.config.write_text(text)

    def panel(self, *arguments: object) -> tuple[dict[str, Any], pl.DataFrame]:
        """Return the output of ``features``, and the panel that it wrote."""
        out = self.folder / "panel.parquet"
        return self.run_json("features", "--out", out, *arguments), pl.read_parquet(out)


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
def open_empty_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """An SQLite file, or a database on a real PostgreSQL, which is dropped afterwards."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'crm.db'}"
        return
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
    """A new database without tables."""
    with open_empty_database(request, tmp_path) as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def migrated_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database that tests share one after the other."""
    with open_empty_database(request, tmp_path_factory.mktemp("migrated")) as url:
        store.open_engine(url).dispose()
        yield url


@pytest.fixture
def database(migrated_url: str) -> Iterator[sa.Engine]:
    """A migrated database with empty tables."""
    engine = store.open_engine(migrated_url)
    with store.write_transaction(engine) as connection:
        for table in METADATA.tables.values():
            connection.execute(sa.delete(table))
    yield engine
    engine.dispose()
