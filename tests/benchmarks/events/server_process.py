"""The real server process with its consumer, and their resident memory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class ServerProcess:
    """A running ``expansion serve``."""

    process: subprocess.Popen[str]
    port: int

    def find_consumer_pid(self) -> int | None:
        """Return the process id of the event consumer, if it runs."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        children = [
            int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()
        ]
        return children[0] if children else None

    def measure_memory_mb(self) -> dict[str, float]:
        """Return the resident memory of server and consumer."""
        pids = {"server": self.process.pid, "consumer": self.find_consumer_pid()}
        return {name: _read_resident_bytes(pid) / 2**20 for name, pid in pids.items() if pid}

    def kill(self) -> None:
        """Kill the server; the consumer notices that its parent is gone, and ends too."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_consumer(self) -> None:
        """Kill the consumer; the server starts another."""
        if pid := self.find_consumer_pid():
            os.kill(pid, signal.SIGKILL)


def start_server(config: Path, port: int = 0) -> ServerProcess:
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("expansion"),
            *("serve", "-c", config, "--port", str(port), "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=(config.parent / "serve.log").open("a"),
        text=True,
    )
    assert process.stdout is not None
    line = ""
    while "}" not in line:
        chunk = process.stdout.readline()
        assert chunk, (config.parent / "serve.log").read_text()[-2000:]
        line += chunk
    url = json.loads(line)["url"]
    return ServerProcess(process, int(url.rstrip("/").rpartition(":")[2]))


@contextmanager
def run_server(config: Path) -> Iterator[ServerProcess]:
    server = start_server(config)
    try:
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def count_consumers(config: Path) -> int:
    """Count the consumer processes that use these settings."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return lines.count(f"serving.events -c {config}\n")


def wait_until(description: str, condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(description)
        time.sleep(0.05)


def _read_resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
