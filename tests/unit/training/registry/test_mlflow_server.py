"""A real MLflow server on PostgreSQL: failures leave no partial version."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from data.config.settings import RegistryConfig, Settings
from data.errors import ModelError
from training import registry
from training.model.propensity import Propensity
from training.registry import serialization
from training.registry.run_record import RunRecord

pytestmark = [
    pytest.mark.slow,
    # MLflow uses deprecated SQLAlchemy calls.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

RECORD = RunRecord("a run", verdict="Evaluated well.", parameters={"model.n_estimators": 40})


@pytest.fixture
def store(mlflow_server: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Return a registry at a URL without a model under this test's name."""
    registry_config = RegistryConfig(tracking_uri=mlflow_server.url, model=request.node.name)
    return Settings(base=tmp_path, registry=registry_config)


def register_champion(model: Propensity, store: Settings) -> str:
    version = registry.register_model(model, store, metadata={}, record=RECORD)
    registry.promote(store, force="a test of the registry")
    return version


def aliases(store: Settings) -> dict[str, str]:
    client = mlflow.MlflowClient(store.registry.tracking_uri)
    return dict(client.get_registered_model(store.registry.model).aliases)


def versions(store: Settings) -> list[str]:
    client = mlflow.MlflowClient(store.registry.tracking_uri)
    matches = client.search_model_versions(f"name = '{store.registry.model}'")
    return sorted(version.version for version in matches)


def test_a_model_loaded_from_a_server_predicts_the_same_to_the_bit(
    fitted: Propensity, store: Settings, history: Any, mlflow_server: Any
) -> None:
    version = register_champion(fitted, store)

    matches = registry.load_alias(store)

    assert matches.version == version
    before, after = (model.predict(history.snapshots).margin for model in (fitted, matches.model))
    assert np.array_equal(before, after)
    assert list(mlflow_server.artifacts.rglob("card.json"))
    assert not list(store.base.iterdir())  # nothing is stored locally


def test_a_server_killed_during_registration_keeps_the_champion(
    fitted: Propensity, store: Settings, mlflow_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_champion(fitted, store)
    original = serialization.save_model

    def write_and_kill(*arguments: Any) -> str:
        mlflow_server.kill()
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(serialization, "save_model", write_and_kill)
        with pytest.raises(ModelError, match=r"server at \S+ does not answer\. The champion is"):
            register_champion(fitted, store)
    mlflow_server.start()

    assert aliases(store) == {"champion": "1"}
    assert versions(store) == ["1"]
    assert register_champion(fitted, store) == "2"
    assert registry.load_alias(store).version == "2"


def test_a_server_without_artifact_storage_creates_no_version(
    fitted: Propensity, store: Settings, mlflow_server: Any
) -> None:
    register_champion(fitted, store)
    moved = mlflow_server.artifacts.rename(mlflow_server.folder / "aside")
    mlflow_server.artifacts.write_text("a file where a folder should be")
    try:
        with pytest.raises(
            ModelError,
            match=r"the model could not be registered: the server at \S+ answers with too many 500",
        ):
            register_champion(fitted, store)
    finally:
        mlflow_server.artifacts.unlink()
        moved.rename(mlflow_server.artifacts)

    assert versions(store) == ["1"]
    assert registry.load_alias(store).version == "1"
    statuses = {
        run.info.status
        for run in mlflow.MlflowClient(mlflow_server.url).search_runs(["1"], max_results=1)
    }
    assert statuses == {"FAILED"}


TRAIN = """
import pickle, sys
from training import registry
model, store, record = pickle.load(open(sys.argv[1], "rb"))
print(registry.register_model(model, store, metadata={}, record=record))
"""


@pytest.mark.parametrize("location", ["server", "folder"])
def test_two_concurrent_trainings_both_register(
    location: str, fitted: Propensity, store: Settings, tmp_path: Path
) -> None:
    if location == "folder":  # the first two have to create the database
        store = Settings(base=tmp_path, state="state")
    arguments_file = tmp_path / "given.pickle"
    arguments_file.write_bytes(pickle.dumps((fitted, store, RECORD)))

    running = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, str(arguments_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in running]

    assert sorted(out.strip() for out, _ in outputs) == ["1", "2"], outputs
    assert registry.load_alias(store, "challenger").version in {"1", "2"}


def test_credentials_of_the_environment_are_sent(
    fitted: Propensity, store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server needs no credentials, so the sent headers are inspected."""
    headers: list[str] = []

    def record_header(session: Any, request: Any, **options: Any) -> Any:
        headers.append(request.headers.get("Authorization", ""))
        return send(session, request, **options)

    import requests  # noqa: PLC0415

    send = requests.Session.send
    monkeypatch.setattr(requests.Session, "send", record_header)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "trainer")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")

    register_champion(fitted, store)

    assert headers
    assert all(header.startswith("Basic ") for header in headers)
