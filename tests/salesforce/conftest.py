"""An org over real HTTP, and the outbox of a made-up company beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving import store
from tests.salesforce.company import Company
from tests.salesforce.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield opened
    opened.dispose()


@pytest.fixture
def company(server: Server, engine: sa.Engine, tmp_path: Path) -> Callable[[int], Company]:
    """A company of so many accounts, its org set up, its first list in the outbox."""

    def made(accounts: int) -> Company:
        ready = Company(server, engine, tmp_path, accounts)
        ready.deploy()
        ready.put()
        return ready

    return made
