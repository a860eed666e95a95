"""Fixtures shared by the tests of several layers: a real PostgreSQL and a real MLflow server."""

import functools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import sqlalchemy as sa
import yaml
from xdist.scheduler import LoadFileScheduling

from tests import postgres_server

ROOT = Path(__file__).parents[1]

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile("patient")


class FileScheduling(LoadFileScheduling):  # type: ignore[misc]
    """Run the tests of a file on one worker, which builds their fixtures once.

    All files that use the trained company, which is slow to build, count as one.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _find_group(nodeid.partition("::")[0])


@functools.cache
def _find_group(path: str) -> str:
    is_shared = "trained_company" in (ROOT / path).read_text(encoding="utf-8")
    return "trained company" if is_shared else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling | None:
    """Schedule groups of files: pytest-xdist 3.8 does not see its groups with pytest 9.2."""
    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # slow files are spread over the order of collection
    return FileScheduling(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a real PostgreSQL server for the session; yield its URL."""
    with postgres_server.start_postgres() as server:
        yield server.get_uri()


@dataclass
class MlflowServer:
    """A real MLflow server, started with the command of the compose file.

    Its runs are in PostgreSQL and its artifacts in a folder of its own.
    """

    folder: Path
    database: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        compose = yaml.safe_load((ROOT / "mlflow/compose.yaml").read_text())["services"]["mlflow"]
        location = {
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(self.port),
            "MLFLOW_ARTIFACTS_DESTINATION": str(self.artifacts),
            "PGHOST": self.database,
            "PGDATABASE": "mlflow",
            "PGUSER": "postgres",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                compose["command"],
                cwd=self.folder,
                env={**os.environ, **compose["environment"], **location},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(240):
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/health", timeout=2).ok:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.5)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill the server and its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def mlflow_server(
    postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """Start an MLflow server for the session; a test that kills it starts it again."""
    (host,) = urllib.parse.parse_qs(urllib.parse.urlsplit(postgres).query)["host"]
    engine = sa.create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("create database mlflow")
    engine.dispose()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), host, port)
    server.start()
    yield server
    server.kill()
