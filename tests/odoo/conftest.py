"""A real Odoo 19 on a real PostgreSQL; each module of tests has a database of its own."""

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

from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import OdooFieldMapping

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / "data/local/odoo"
_PATIENCE_SECONDS = 60

# An administrator's key, and that of a user who may no more than ODOO.md asks for.
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
class Server:
    """Odoo, which serves every database whose name it is told."""

    folder: Path
    database_host: str
    port: int
    keys: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: object, **popen: Any) -> subprocess.Popen[bytes]:
        """Run Odoo's own command."""
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
        """Make a database with the CRM app and the keys of its users; 40 seconds."""
        options = ("-d", database, "-i", "crm", "--without-demo=all", "--stop-after-init")
        assert self.run(*options).wait() == 0, self.log()
        pipe = subprocess.PIPE
        shell = self.run("shell", "-d", database, "--no-http", stdin=pipe, stdout=pipe)
        told, _ = shell.communicate(_KEYS.encode())
        (line,) = [line for line in told.decode().splitlines() if "KEYS{" in line]
        self.keys = json.loads(line.partition("KEYS")[2])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = self.run(stdout=subprocess.DEVNULL)
        for _ in range(_PATIENCE_SECONDS * 4):
            with suppress(httpx.TransportError):
                httpx.get(f"{self.url}/web/version", timeout=2)
                return
            assert self.process.poll() is None, self.log()
            time.sleep(0.25)
        raise AssertionError(self.log())

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@dataclass(frozen=True)
class Database:
    """One company's Odoo."""

    server: Server
    name: str

    def client(self, who: str = "admin", **options: Any) -> OdooClient:
        return OdooClient(self.server.url, self.name, self.server.keys[who], **options)

    def odoo(
        self, who: str = "sender", *, make_partners: bool = False, **options: Any
    ) -> OdooTarget:
        """Open it as a target; the sender's rights are no more than ODOO.md asks for."""
        names = OdooFieldMapping.from_config({}, create_partners=make_partners)
        return OdooTarget(self.client(who), names, create_partners=make_partners, **options)

    def call(self, model: str, method: str, **arguments: Any) -> Any:
        """What a human does in the pages, as a call."""
        client = self.client("cleo")
        try:
            return client.call(model, method, **arguments)
        finally:
            client.close()

    def find(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call(
            model,
            "search_read",
            domain=domain,
            fields=fields,
            order="id",
            context={"active_test": False},
        )
        return found

    def partners(self, *account_ids: str) -> dict[str, str]:
        """Make a partner for each account; their ids by account."""
        rows = [{"name": name.title(), "ref": name, "is_company": True} for name in account_ids]
        ids = self.call("res.partner", "create", vals_list=rows)
        return dict(zip(account_ids, map(str, ids), strict=True))


@pytest.fixture(scope="session")
def odoo_server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running Odoo with one database, ``template``, that nothing else is done with."""
    if not (INSTALLED / "installed").exists():
        pytest.fail("Odoo is not there yet: make test-odoo fetches it.")
    (host,) = urllib.parse.parse_qs(urllib.parse.urlsplit(postgres).query)["host"]
    _sql(postgres, "create role odoo login createdb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(tmp_path_factory.mktemp("odoo"), host, port)
    settings = {
        "db_host": host,
        "db_user": "odoo",
        "data_dir": server.folder / "data",
        "http_interface": "127.0.0.1",
        "http_port": port,
        "workers": 0,
        "max_cron_threads": 0,
        "limit_time_real": 3600,  # a machine that compiles beside the tests is slow, not wrong
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (server.folder / "odoo.conf").write_text("\n".join(["[options]", *lines, ""]))
    server.initialise("template")
    _sql(postgres, "alter database template allow_connections false")  # so it can be cloned
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def new_database(odoo_server: Server, postgres: str) -> Callable[[str], Database]:
    """Clone the template."""

    def clone(name: str) -> Database:
        _sql(postgres, f"create database {name} owner odoo template template")
        return Database(odoo_server, name)

    return clone


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], Database], request: pytest.FixtureRequest) -> Database:
    """A database of this module's, set up."""
    made = new_database(request.module.__name__.rpartition(".")[2])
    admin = made.odoo("admin")
    admin.provision()
    admin.close()
    return made


def _sql(url: str, statement: str) -> None:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
