"""Event worker process: restarted when it dies, and stopped with its server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving import store
from serving.store import lease

SERVER = """
import sys, time
from pathlib import Path
from serving.events.supervisor import run_consumer_process

with run_consumer_process(Path(sys.argv[1])):
    print("started", flush=True)
    time.sleep(600)
"""


@contextmanager
def start_server(config: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER, config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield process
        finally:
            process.kill()


def find_workers(config: Path) -> set[int]:
    """Return the process ids of the workers with these settings."""
    suffix, pids = f"serving.events\0-c\0{config}\0".encode(), set()
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if (each / "cmdline").read_bytes().endswith(suffix):
                pids.add(int(each.name))
        except OSError:  # the process has exited
            continue
    return pids


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Return settings whose event lease is already held, so that workers wait."""
    url, file = f"sqlite:///{tmp_path / 'crm.db'}", tmp_path / "expansion.toml"
    file.write_text(f"[database]\nurl = '{url}'\n")
    engine = store.open_engine(url)
    assert not isinstance(
        lease.acquire_lease(engine, "events", lambda: datetime(2100, 1, 1, tzinfo=UTC)), str
    )
    yield file
    engine.dispose()


def has_opened_database(config: Path) -> bool:
    """Return whether a worker with these settings has opened its database."""
    database = config.with_name("crm.db")
    files = [file for pid in find_workers(config) for file in Path("/proc").glob(f"{pid}/fd/*")]
    return any(file.resolve() == database for file in files)


@pytest.mark.parametrize(
    "has_started", [find_workers, has_opened_database], ids=["during startup", "while running"]
)
def test_the_worker_exits_when_its_server_is_killed(
    config: Path, has_started: Callable[[Path], object]
) -> None:
    with start_server(config) as process:
        wait_until(lambda: has_started(config))

        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        wait_until(lambda: not find_workers(config))


def test_a_killed_worker_is_restarted(config: Path) -> None:
    with start_server(config):
        wait_until(lambda: find_workers(config))
        (first,) = find_workers(config)

        os.kill(first, signal.SIGKILL)

        wait_until(lambda: find_workers(config) - {first})
