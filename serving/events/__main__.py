"""The watcher as a process of its own, beside the server: ``python -m serving.events -c FILE``.

It lives as long as its standard input is open: the server holds the other end, which the system
closes when the server is gone, however and whenever that happens.
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

_NICENESS = 5  # whoever takes events goes first


def _stop_when_orphaned(stop: threading.Event) -> None:
    """Stop when whoever started us is gone; nothing is ever said to us."""
    while os.read(0, 1):
        pass
    stop.set()


@click.command()
@click.option("-c", "--config", type=click.Path(path_type=Path), required=True)
def main(config: Path) -> None:
    """Watch what arrives, until a signal or the end of the server."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("expansion").setLevel(logging.INFO)
    os.nice(_NICENESS)
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
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
