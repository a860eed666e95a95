"""The modules beside the tests are found by their names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import web_office
from web_office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A page over a small company of three books, open to this machine."""
    with web_office.office(tmp_path) as opened:
        yield opened
