"""A real Odoo 19 on a real PostgreSQL; each test module has its own database."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from data.config.delivery import OdooConfig
from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.crm.odoo.client import OdooClient
from tests import ROOT

INSTALLED = ROOT / "data/local/odoo"
_START_TIMEOUT_SECONDS = 60

# API keys of an administrator and of a user with the permissions of docs/guides/odoo.md.
_KEYS = """
import datetime, json
may = ["base.group_user", "base.group_partner_manager", "sales_team.group_sale_salesman_all_leads"]
groups = [(6, 0, [env.ref(name).id for name in may])]
users = {"admin": env.ref("base.user_admin")}
for login, name in (("sender", "Expansion"), ("cleo", "Cleo")):
    row = {"name": name, "login": login, "password": login, "group_ids": groups}
    users[login] = env["res.users"].with_context(no_reset_password=True).create(row)
until = datetime.datetime.now() + datetime.timedelta(days=30)
keys = env["res.users.apikeys"]
told = {login: keys.with_user(u)._generate("rpc", "expansion", until) for login, u in users.items()}
print("KEYS" + json.dumps(told))
env.cr.commit()
"""


@dataclass
class OdooServer:
    """An Odoo server for several databases."""

    folder: Path
    database_host: str
    port: int
    keys: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: object, **popen: Any) -> subprocess.Popen[bytes]:
        """Run the Odoo command."""
        python, odoo = INSTALLED / "venv/bin/python", INSTALLED / "root/usr/bin/odoo"
        packages = INSTALLED / "root/usr/lib/python3/dist-packages"
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [python, odoo, *map(str, arguments), "-c", self.folder / "odoo.conf"],
                env={**os.environ, "PYTHONPATH": str(packages)},
                stderr=log,
                start_new_session=True,
                **popen,
            )

    def initialise(self, database: str) -> None:
        """Create a database with the CRM app and API keys of its users; takes 40 seconds."""
        options = ("-d", database, "-i", "crm", "--without-demo=all", "--stop-after-init")
        assert self.run(*options).wait() == 0, self.log()
        pipe = subprocess.PIPE
        shell = self.run("shell", "-d", database, "--no-http", stdin=pipe, stdout=pipe)
        output, _ = shell.communicate(_KEYS.encode())
        (line,) = [line for line in output.decode().splitlines() if "KEYS{" in line]
        self.keys = json.loads(line.partition("KEYS")[2])

    def start(self) -> None:
        """Start the server and wait until it responds."""
        self.process = self.run(stdout=subprocess.DEVNULL)
        for _ in range(_START_TIMEOUT_SECONDS * 4):
            with suppress(httpx.TransportError):
                httpx.get(f"{self.url}/web/version", timeout=2)
                return
            assert self.process.poll() is None, self.log()
            time.sleep(0.25)
        raise AssertionError(self.log())

    def kill_now(self) -> None:
        """Kill the server."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@dataclass(frozen=True)
class Database:
    """One Odoo database."""

    server: OdooServer
    name: str

    def create_client(self, login: str) -> OdooClient:
        return OdooClient(self.server.url, self.name, self.server.keys[login])

    def create_target(self, login: str = "sender", **options: Any) -> OdooTarget:
        """Create a target; the sender has only the permissions of docs/guides/odoo.md."""
        return OdooTarget(self.create_client(login), OdooConfig(**options))

    def call(self, model: str, method: str, **arguments: Any) -> Any:
        """Call a method as a human user."""
        client = self.create_client("cleo")
        try:
            return client.call(model, method, **arguments)
        finally:
            client.close()

    def find_records(
        self, model: str, domain: list[Any], fields: list[str]
    ) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self.call(
            model,
            "search_read",
            domain=domain,
            fields=fields,
            order="id",
            context={"active_test": False},
        )
        return records

    def create_opportunity(self, partner: str | int, **values: Any) -> int:
        """Create an opportunity of our team as a human would."""
        (team,) = self.find_records("crm.team", [["name", "=", "Expansion"]], ["id"])
        row = {
            "type": "opportunity",
            "team_id": team["id"],
            "partner_id": int(partner),
            "name": "X",
            **values,
        }
        (lead,) = self.call("crm.lead", "create", vals_list=[row])
        return int(lead)

    def create_partners(self, *account_ids: str) -> dict[str, str]:
        """Create a partner for each account, and return account id → partner id."""
        rows = [{"name": name.title(), "ref": name, "is_company": True} for name in account_ids]
        ids = self.call("res.partner", "create", vals_list=rows)
        return dict(zip(account_ids, map(str, ids), strict=True))


@pytest.fixture(scope="session")
def odoo_server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OdooServer]:
    """Start Odoo with one unused database, ``template``."""
    if not (INSTALLED / "installed").exists():
        pytest.fail("Odoo is not there yet: make test-odoo fetches it.")
    (host,) = urllib.parse.parse_qs(urllib.parse.urlsplit(postgres).query)["host"]
    _sql(postgres, "create role odoo login createdb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = OdooServer(tmp_path_factory.mktemp("odoo"), host, port)
    settings = {
        "db_host": host,
        "db_user": "odoo",
        "data_dir": server.folder / "data",
        "http_interface": "127.0.0.1",
        "http_port": port,
        "workers": 0,
        "max_cron_threads": 0,
        "limit_time_real": 3600,  # generous, for busy machines
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (server.folder / "odoo.conf").write_text("\n".join(["[options]", *lines, ""]))
    server.initialise("template")
    _sql(postgres, "alter database template allow_connections false")  # required for cloning
    server.start()
    yield server
    server.kill_now()


@pytest.fixture(scope="session")
def new_database(odoo_server: OdooServer, postgres: str) -> Callable[[str], Database]:
    """Return a function that clones the template."""

    def clone(name: str) -> Database:
        _sql(postgres, f"create database {name} owner odoo template template")
        return Database(odoo_server, name)

    return clone


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], Database], request: pytest.FixtureRequest) -> Database:
    """Return a provisioned database for this module."""
    created = new_database(request.module.__name__.rpartition(".")[2])
    admin = created.create_target("admin")
    admin.provision()
    admin.close()
    return created


def _sql(url: str, statement: str) -> None:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
