"""The modules beside the tests are found by their names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from event_door import Door, running, served

from serving import store


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A server of webhooks on an empty database."""
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    with running(served(engine)) as client:
        yield Door(client, engine)
    engine.dispose()
