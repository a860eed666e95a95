"""Supervisor of the event worker process: starts it with the server, restarts it when it exits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["run_consumer_process"]

_THREAD_VARIABLES: Final = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS")
_RESTART_SECONDS: Final = 2.0
_TERMINATE_TIMEOUT_SECONDS: Final = 30.0


@contextmanager
def run_consumer_process(config: Path) -> Iterator[None]:
    """Run an event worker process for the duration of the block."""
    stop = threading.Event()
    supervisor = threading.Thread(target=_supervise, args=(config, stop), name="event-supervisor")
    supervisor.start()
    try:
        yield
    finally:
        stop.set()
        supervisor.join()


def _supervise(config: Path, stop: threading.Event) -> None:
    command = [sys.executable, "-m", "serving.events", "-c", str(config)]
    while not stop.is_set():
        # The worker exits when its standard input closes with this process.
        with subprocess.Popen(  # noqa: S603 - a constant command
            command, env=_build_single_core_env(), stdin=subprocess.PIPE
        ) as process:
            while process.poll() is None and not stop.wait(0.2):
                pass
            if stop.is_set():
                process.terminate()
                try:
                    process.wait(_TERMINATE_TIMEOUT_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
        stop.wait(_RESTART_SECONDS)


def _build_single_core_env() -> dict[str, str]:
    """Return an environment that limits the worker to one core, so that requests keep the other."""
    return os.environ | dict.fromkeys(_THREAD_VARIABLES, "1")
