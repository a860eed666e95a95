"""A fake org over real HTTP, and a test company with its desired objects."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.fakes.salesforce.server import SalesforceServer
from tests.integration.salesforce.company import Company


@pytest.fixture
def server() -> Iterator[SalesforceServer]:
    with SalesforceServer() as running:
        yield running


@pytest.fixture
def create_company(
    server: SalesforceServer, engine: sa.Engine, tmp_path: Path
) -> Callable[[int], Company]:
    """Return a factory of companies with a deployed org and a first list to send."""

    def create(accounts: int) -> Company:
        company = Company(server, engine, tmp_path, accounts)
        company.deploy()
        company.replace_desired_objects()
        return company

    return create
