"""A delivery database for every suite of CRM and Slack tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving import store


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Return an empty database."""
    opened = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield opened
    opened.dispose()
