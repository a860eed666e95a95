"""Fixtures; the helper modules of this folder are imported by name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import web_office
from web_office import WebFixture


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WebFixture]:
    """Yield a web server over a small company of three portfolios, without sign-in."""
    with web_office.open_web_fixture(tmp_path) as opened:
        yield opened
