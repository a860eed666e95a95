"""Fixtures: a web server over a small company."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from tests.integration.web import web_client
from tests.integration.web.web_client import WebFixture


@pytest.fixture(scope="session")
def running_site(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[WebFixture, sqlite3.Connection]]:
    """Yield a web server over a small company, and a copy of its database."""
    with (
        web_client.open_web_fixture(tmp_path_factory.mktemp("site")) as opened,
        closing(sqlite3.connect(":memory:")) as copy,
        closing(opened.engine.raw_connection()) as database,
    ):
        database.driver_connection.backup(copy)
        yield opened, copy


@pytest.fixture
def site(running_site: tuple[WebFixture, sqlite3.Connection]) -> Iterator[WebFixture]:
    """Yield a web server over a small company of three portfolios, as new, without sign-in."""
    opened, copy = running_site
    with closing(opened.engine.raw_connection()) as database:
        copy.backup(database.driver_connection)
    with web_client.open_client(str(opened.client.base_url)) as client, ExitStack() as stack:
        yield replace(opened, client=client, stack=stack)
