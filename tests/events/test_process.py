"""The watcher beside the server: it comes again when it dies, and goes when the server does."""

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
from serving.events.supervisor import watching

with watching(Path(sys.argv[1])):
    print("begun", flush=True)
    time.sleep(600)
"""


@contextmanager
def server(config: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER, config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()


def watchers(config: Path) -> set[int]:
    """The processes that watch by these settings."""
    wanted, found = f"serving.events\0-c\0{config}\0".encode(), set()
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if (each / "cmdline").read_bytes().endswith(wanted):
                found.add(int(each.name))
        except OSError:  # it is gone
            continue
    return found


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Settings of a company at which another watches already: whoever comes waits for its turn."""
    url, file = f"sqlite:///{tmp_path / 'crm.db'}", tmp_path / "expansion.toml"
    file.write_text(f"[crm]\nurl = '{url}'\n")
    engine = store.open_engine(url)
    assert not isinstance(
        lease.acquire_lease(engine, "events", lambda: datetime(2100, 1, 1, tzinfo=UTC)), str
    )
    yield file
    engine.dispose()


@pytest.mark.parametrize("seconds", [0, 4], ids=["at its first breath", "at work"])
def test_a_watcher_ends_with_a_server_that_is_killed(config: Path, seconds: float) -> None:
    with server(config) as process:
        until(lambda: watchers(config))
        time.sleep(seconds)
        assert watchers(config)

        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        until(lambda: not watchers(config))


def test_a_watcher_that_is_killed_comes_again(config: Path) -> None:
    with server(config):
        until(lambda: watchers(config))
        (first,) = watchers(config)

        os.kill(first, signal.SIGKILL)

        until(lambda: watchers(config) - {first})
