"""Fixtures: a web server over a small company."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.web import web_client
from tests.integration.web.web_client import WebFixture


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WebFixture]:
    """Yield a web server over a small company of three portfolios, without sign-in."""
    with web_client.open_web_fixture(tmp_path) as opened:
        yield opened
