"""A real MLflow server on PostgreSQL, reached by URL: what fails on the way leaves nothing half."""

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
    # MLflow's own way with SQLAlchemy.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

RECORD = RunRecord("a run", verdict="Judged well.", parameters={"model.n_estimators": 40})


@pytest.fixture
def store(mlflow_server: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A registry by URL that holds no model under this test's name."""
    registered = RegistryConfig(tracking_uri=mlflow_server.url, model=request.node.name)
    return Settings(base=tmp_path, registry=registered)


def put(model: Propensity, store: Settings) -> str:
    version = registry.register_model(model, store, metadata={}, record=RECORD)
    registry.promote(store, force="a test of the registry")
    return version


def aliases(store: Settings) -> dict[str, str]:
    client = mlflow.MlflowClient(store.registry.tracking_uri)
    return dict(client.get_registered_model(store.registry.model).aliases)


def versions(store: Settings) -> list[str]:
    client = mlflow.MlflowClient(store.registry.tracking_uri)
    found = client.search_model_versions(f"name = '{store.registry.model}'")
    return sorted(version.version for version in found)


def test_a_model_comes_back_from_a_server_bit_by_bit(
    fitted: Propensity, store: Settings, history: Any, mlflow_server: Any
) -> None:
    version = put(fitted, store)

    found = registry.load_alias(store)

    assert found.version == version
    before, after = (m.predict(history.snapshots).margin for m in (fitted, found.model))
    assert np.array_equal(before, after)
    assert list(mlflow_server.artifacts.rglob("card.json"))
    assert not list(store.base.iterdir())  # nothing is kept on this side


def test_a_server_that_is_killed_halfway_keeps_the_champion_and_a_rerun_works(
    fitted: Propensity, store: Settings, mlflow_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fitted, store)
    write = serialization.save_model

    def write_and_kill(*arguments: Any) -> str:
        mlflow_server.kill()
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(serialization, "save_model", write_and_kill)
        with pytest.raises(ModelError, match=r"server at \S+ does not answer\. The champion is as"):
            put(fitted, store)
    mlflow_server.start()

    assert aliases(store) == {"champion": "1"}
    assert versions(store) == ["1"]
    assert put(fitted, store) == "2"
    assert registry.load_alias(store).version == "2"


def test_a_server_that_cannot_keep_artifacts_makes_no_version(
    fitted: Propensity, store: Settings, mlflow_server: Any
) -> None:
    put(fitted, store)
    aside = mlflow_server.artifacts.rename(mlflow_server.folder / "aside")
    mlflow_server.artifacts.write_text("a file where a folder should be")
    try:
        with pytest.raises(
            ModelError,
            match=r"the model could not be registered: the server at \S+ answers with too many 500",
        ):
            put(fitted, store)
    finally:
        mlflow_server.artifacts.unlink()
        aside.rename(mlflow_server.artifacts)

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
print(registry.register(model, store, about={}, record=record))
"""


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_two_trainings_at_once_both_land(
    kind: str, fitted: Propensity, store: Settings, tmp_path: Path
) -> None:
    if kind == "folder":  # even the first two, which have to make the database
        store = Settings(base=tmp_path, state="state")
    given = tmp_path / "given.pickle"
    given.write_bytes(pickle.dumps((fitted, store, RECORD)))

    running = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, str(given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300) for process in running]

    assert sorted(out.strip() for out, _ in told) == ["1", "2"], told
    assert registry.load_alias(store, "challenger").version in {"1", "2"}


def test_a_name_and_a_password_in_the_environment_are_sent(
    fitted: Propensity, store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This server asks for none; what is sent to one that does is read off the wire."""
    sent: list[str] = []

    def noted(session: Any, request: Any, **rest: Any) -> Any:
        sent.append(request.headers.get("Authorization", ""))
        return send(session, request, **rest)

    import requests  # noqa: PLC0415

    send = requests.Session.send
    monkeypatch.setattr(requests.Session, "send", noted)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "trainer")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")

    put(fitted, store)

    assert sent
    assert all(header.startswith("Basic ") for header in sent)
