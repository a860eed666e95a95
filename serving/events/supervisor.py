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

from data.config.settings import Settings

__all__ = ["has_webhook_sources", "run_consumer_process"]

_THREAD_VARIABLES: Final = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS")
_RESTART_SECONDS: Final = 2.0
_TERMINATE_TIMEOUT_SECONDS: Final = 30.0


def has_webhook_sources(settings: Settings) -> bool:
    """Whether any source may send events."""
    hooks = settings.webhooks
    return hooks.segment_secret is not None or hooks.generic_secret is not None


@contextmanager
def run_consumer_process(config: Path) -> Iterator[None]:
    """Have a watcher run as long as the block does."""
    stop = threading.Event()
    supervisor = threading.Thread(target=_supervise, args=(config, stop), name="watcher")
    supervisor.start()
    try:
        yield
    finally:
        stop.set()
        supervisor.join()


def _supervise(config: Path, stop: threading.Event) -> None:
    command = [sys.executable, "-m", "serving.events", "-c", str(config)]
    while not stop.is_set():
        # What it reads ends with us, and so does it.
        with subprocess.Popen(
            command, env=_build_single_core_env(), stdin=subprocess.PIPE
        ) as process:  # noqa: S603 - our own
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
    """The watcher leaves a core to the server: it has time, whoever sends events has not."""
    return os.environ | dict.fromkeys(_THREAD_VARIABLES, "1")
