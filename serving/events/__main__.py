"""Entry point of the event worker process: ``python -m serving.events -c FILE``.

The worker runs while its standard input is open. The server holds the other end of the pipe, which
the operating system closes when the server exits for any reason.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from data.config import settings
from data.errors import ExpansionError
from serving import store
from serving.events import worker

_NICENESS = 5  # the server takes precedence


def _stop_when_orphaned(stop: threading.Event) -> None:
    """Set the stop event when the parent process has exited; nothing is written to this pipe."""
    while os.read(0, 1):
        pass
    stop.set()


@click.command()
@click.option("-c", "--config", type=click.Path(path_type=Path), required=True)
def main(config: Path) -> None:
    """Run the event worker until a signal arrives or the server exits."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("expansion").setLevel(logging.INFO)
    os.nice(_NICENESS)
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    threading.Thread(target=_stop_when_orphaned, args=(stop,), daemon=True).start()
    try:
        loaded = settings.load_settings(config)
        engine = store.open_engine(loaded.database_url)
    except ExpansionError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    try:
        worker.run_consumer(engine, loaded, clock=lambda: datetime.now(UTC), stop=stop)
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
