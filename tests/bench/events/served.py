"""The server as it is run, with the watcher beside it, and what its processes hold of memory."""

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
class Served:
    """A running ``expansion serve``."""

    process: subprocess.Popen[str]
    port: int

    def watcher(self) -> int | None:
        """The process of the watcher."""
        found = Path(f"/proc/{self.process.pid}/task")
        children = [
            int(pid) for task in found.iterdir() for pid in (task / "children").read_text().split()
        ]
        return children[0] if children else None

    def memory_mb(self) -> dict[str, float]:
        """What server and watcher hold."""
        named = {"server": self.process.pid, "watcher": self.watcher()}
        return {name: _resident(pid) / 2**20 for name, pid in named.items() if pid}

    def kill(self) -> None:
        """End the server at once; the watcher sees that it is alone, and ends, too."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_watcher(self) -> None:
        """End the watcher at once; the server starts another."""
        if pid := self.watcher():
            os.kill(pid, signal.SIGKILL)


def start(config: Path, port: int = 0) -> Served:
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
        more = process.stdout.readline()
        assert more, (config.parent / "serve.log").read_text()[-2000:]
        line += more
    url = json.loads(line)["url"]
    return Served(process, int(url.rstrip("/").rpartition(":")[2]))


@contextmanager
def serving(config: Path) -> Iterator[Served]:
    served = start(config)
    try:
        yield served
    finally:
        served.process.terminate()
        try:
            served.process.wait(60)
        except subprocess.TimeoutExpired:
            served.kill()


def watchers(config: Path) -> int:
    """How many processes watch by these settings."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return lines.count(f"serving.events -c {config}\n")


def until(what: str, holds: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
