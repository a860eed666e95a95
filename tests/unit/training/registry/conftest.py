"""A local registry for each test; the tests of a module share its SQLite store."""

from pathlib import Path

import pytest

from data.config.settings import RegistryConfig, Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create one SQLite store for all tests, since its tables take seconds to create."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def store(folder: Path, request: pytest.FixtureRequest) -> Settings:
    """Return a store without a model under this test's name."""
    return Settings(base=folder, state="state", registry=RegistryConfig(model=request.node.name))
