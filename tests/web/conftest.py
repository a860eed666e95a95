"""Fixtures: a web server over a small company."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web import web_office
from tests.web.web_office import WebFixture


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WebFixture]:
    """Yield a web server over a small company of three portfolios, without sign-in."""
    with web_office.open_web_fixture(tmp_path) as opened:
        yield opened
