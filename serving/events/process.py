"""The watcher as a process beside the server, started again when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from data.settings import Settings

__all__ = ["is_wanted", "watching"]

_THREADS: Final = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS")
_AGAIN_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 30.0


def is_wanted(settings: Settings) -> bool:
    """Whether any source may send events."""
    hooks = settings.webhooks
    return hooks.segment_secret is not None or hooks.generic_secret is not None


@contextmanager
def watching(config: Path) -> Iterator[None]:
    """Have a watcher run as long as the block does."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(config, over), name="watcher")
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _keep(config: Path, over: threading.Event) -> None:
    command = [sys.executable, "-m", "serving.events", "-c", str(config)]
    while not over.is_set():
        # What it reads ends with us, and so does it.
        with subprocess.Popen(command, env=_one_core(), stdin=subprocess.PIPE) as process:  # noqa: S603 - our own
            while process.poll() is None and not over.wait(0.2):
                pass
            if over.is_set():
                process.terminate()
                try:
                    process.wait(_PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
        over.wait(_AGAIN_SECONDS)


def _one_core() -> dict[str, str]:
    """The watcher leaves a core to the server: it has time, whoever sends events has not."""
    return os.environ | dict.fromkeys(_THREADS, "1")
