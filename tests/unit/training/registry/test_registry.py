"""The registry returns the model that was registered, or a clear error."""

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from data.config.settings import RegistryConfig, Settings
from data.errors import ModelError
from training import registry
from training.dataset.fingerprint import TableFingerprint
from training.model import propensity
from training.model.calibration import Calibration
from training.model.propensity import INPUTS, Propensity
from training.registry import serialization
from training.registry.run_record import RunRecord

# MLflow uses deprecated SQLAlchemy calls.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

METADATA = {"verdict": "Evaluated well.", "as_of": "2025-04-25"}
RECORD = RunRecord(
    name="as of 2025-04-25",
    verdict="Evaluated well.",
    note="# A page",
    parameters={
        "model.n_estimators": 40,
        "model.monotone_features": ["a", "b"],
        "evaluation.first_as_of": None,
    },
    overall_metrics={"auroc": 0.8},
    metrics_by_cutoff={date(2024, 9, 1): {"auroc": 0.7}, date(2025, 3, 1): {"auroc": 0.9}},
    tags={"as_of": "2025-04-25"},
    tables=(TableFingerprint("events", "f00d", 7, {"no time": 2}, {"day": "Date"}, {"a": "1"}),),
    files={"metrics.csv": "cutoff,value\n"},
)


@pytest.fixture
def calibrated(fitted: Propensity) -> Propensity:
    return fitted.with_calibration(Calibration(slope=0.9, intercept=-0.1))


@dataclass(frozen=True)
class RegisteredFiles:
    """A registered model's version and files."""

    version: str
    folder: Path


@pytest.fixture
def registered(calibrated: Propensity, store: Settings) -> RegisteredFiles:
    before = set(store.state_folder.rglob("card.json"))
    version = register_champion(calibrated, store)
    (card,) = set(store.state_folder.rglob("card.json")) - before
    return RegisteredFiles(version, card.parent)


def register_champion(model: Propensity, store: Settings) -> str:
    """Register a model and promote it without an evaluation."""
    version = registry.register_model(model, store, metadata=METADATA, record=RECORD)
    registry.promote(store, force="a test of the registry")
    return version


def test_a_loaded_model_predicts_the_same_to_the_bit(
    calibrated: Propensity, registered: RegisteredFiles, store: Settings, history: Any
) -> None:
    loaded = registry.load_alias(store)

    assert loaded.version == registered.version
    assert loaded.card["verdict"] == "Evaluated well."
    for before, after in zip(
        predict_all(calibrated, history.snapshots),
        predict_all(loaded.model, history.snapshots),
        strict=True,
    ):
        assert before.tobytes() == after.tobytes()
    assert loaded.model.calibration == calibrated.calibration


def predict_all(fitted: Propensity, snapshots: Any) -> list[np.ndarray]:
    prediction = fitted.predict(snapshots)
    bounds = [prediction.margin, prediction.probability, prediction.low, prediction.high]
    return [
        *bounds,
        fitted.predict_cumulative_incidence(snapshots),
        *fitted.compute_contributions(snapshots),
    ]


def test_without_a_champion_the_error_names_the_next_step(store: Settings) -> None:
    with pytest.raises(ModelError, match="run `expansion train` first"):
        registry.load_alias(store)


def test_a_model_is_stored_without_executable_files(
    registered: RegisteredFiles, fitted: Propensity
) -> None:
    names = {path.name for path in registered.folder.rglob("*")}

    assert names == {
        "card.json",
        *(f"booster_{number}.txt" for number in range(len(fitted.boosters))),
    }


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def change_a_digit(file: Path) -> None:
    text = file.read_text()
    start = text.index("leaf_value=") + len("leaf_value=-0.")
    file.write_text(text[:start] + str((int(text[start]) + 1) % 10) + text[start + 1 :])


def write_invalid_utf8(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00" + file.read_bytes())


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("booster_1.txt", change_a_digit, "booster_1.txt does not match its digest"),
        ("booster_0.txt", truncate, "booster_0.txt does not match its digest"),
        ("booster_2.txt", Path.unlink, "booster_2.txt is missing or damaged"),
        ("booster_2.txt", write_invalid_utf8, "booster_2.txt is missing or damaged"),
        ("card.json", Path.unlink, "card.json is missing or damaged"),
        ("card.json", truncate, "card.json does not match its digest"),
        ("card.json", lambda file: file.write_text("[]"), "card.json does not match its digest"),
        (
            "card.json",
            lambda file: file.write_text(file.read_text().replace('"slope": 0.9', '"slope": 1.9')),
            "card.json does not match its digest",
        ),
    ],
)
def test_a_damaged_model_is_rejected(
    name: str,
    damage: Callable[[Path], object],
    reason: str,
    registered: RegisteredFiles,
    store: Settings,
) -> None:
    file = registered.folder / name

    damage(file)

    with pytest.raises(ModelError, match=f"altered in the store \\({reason}\\)"):
        registry.load_alias(store)


def test_a_missing_model_folder_is_rejected(registered: RegisteredFiles, store: Settings) -> None:
    registered.folder.rename(registered.folder.with_name("elsewhere"))

    with pytest.raises(ModelError, match="incomplete or was altered in the store"):
        registry.load_alias(store)


def test_a_model_with_other_features_is_rejected_with_their_names(
    store: Settings, history: Any, settings: Settings
) -> None:
    smaller_model = propensity.fit_propensity(
        history.training_set(),
        settings.model.model_copy(update={"n_estimators": 10, "ensemble_size": 2}),
        horizon_days=60,
        inputs=INPUTS[1:],
    )
    registry.register_model(smaller_model, store, metadata=METADATA, record=RECORD)

    with pytest.raises(ModelError, match=rf"differ from the catalogue \({INPUTS[0]}\); run"):
        registry.load_alias(store, registry.CHALLENGER)


@pytest.mark.parametrize("uri", ["gopher://somewhere", "mssql://nobody:secret@localhost/x"])
def test_an_unreachable_registry_gives_one_line_without_its_password(
    uri: str, tmp_path: Path
) -> None:
    remote = Settings(base=tmp_path, registry=RegistryConfig(tracking_uri=uri))

    with pytest.raises(ModelError, match="the model registry cannot be reached") as error:
        registry.load_alias(remote)

    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_an_unreachable_server_gives_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # a setting of the user
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        remote = f"http://somebody:secret@127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(ModelError) as error:
        registry.find_champion(
            Settings(base=tmp_path, registry=RegistryConfig(tracking_uri=remote))
        )

    address = remote.replace("somebody:secret@", "")
    assert str(error.value) == (
        f"the model registry cannot be reached: the server at {address} does not answer."
        " Check [registry] tracking_uri in expansion.toml."
    )


def test_timeouts_of_the_environment_take_precedence(
    store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)

    registry.find_champion(store)

    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"


STEPS = [
    "create_run",
    "log_batch",
    "log_inputs",
    "set_terminated",
    "create_model_version",
    "set_registered_model_alias",
]
FAILURE = "the database went away"


@pytest.fixture
def client(store: Settings) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{store.state_folder / 'mlflow.db'}")


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_keeps_the_champion(
    step: str,
    registered: RegisteredFiles,
    calibrated: Propensity,
    store: Settings,
    client: mlflow.MlflowClient,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException(FAILURE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, step, fail)
        with pytest.raises(ModelError, match=f"could not be registered: {FAILURE}"):
            register_champion(calibrated, store)

    assert registry.load_alias(store).version == registered.version
    assert all(verify_files(version, store) for version in list_versions(client, store))
    version = register_champion(calibrated, store)
    assert registry.load_alias(store).version == version


def list_versions(client: mlflow.MlflowClient, store: Settings) -> list[Any]:
    return list(client.search_model_versions(f"name = '{store.registry.model}'"))


def verify_files(version: Any, store: Settings) -> bool:
    folder = store.state_folder / "mlartifacts" / version.run_id / "artifacts/model"
    return bool(serialization.verify_model_files(folder, version.tags["card_sha256"]))


def test_a_full_disk_creates_no_version(
    registered: RegisteredFiles,
    calibrated: Propensity,
    store: Settings,
    client: mlflow.MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Path.write_text

    def write_until_full(file: Path, text: str, **options: Any) -> int:
        if file.name == "booster_1.txt":
            original(file, text[:1000], **options)
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(file, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", write_until_full)
        with pytest.raises(ModelError, match=r"No space left on device\. The champion is"):
            register_champion(calibrated, store)

    assert len(list_versions(client, store)) == 1
    assert registry.load_alias(store).version == registered.version
    (run, _) = client.search_runs(["1"], max_results=2)
    assert run.info.status == "FAILED"
    assert register_champion(calibrated, store) == "2"


def test_a_lost_file_creates_no_version(
    calibrated: Propensity, store: Settings, client: mlflow.MlflowClient, monkeypatch: Any
) -> None:
    original = serialization.save_model

    def save_and_lose_a_file(model: Propensity, folder: Path, *options: Any) -> str:
        digest = original(model, folder, *options)
        (folder / "booster_2.txt").unlink()
        return digest

    monkeypatch.setattr(serialization, "save_model", save_and_lose_a_file)

    with pytest.raises(ModelError, match=r"booster_2\.txt is missing or damaged"):
        register_champion(calibrated, store)

    assert not list_versions(client, store)


def test_an_incompatible_champion_does_not_block_a_new_one(
    registered: RegisteredFiles,
    calibrated: Propensity,
    store: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(serialization, "INPUTS", INPUTS[1:])
        with pytest.raises(ModelError, match="run `expansion train` again"):
            registry.load_alias(store)

    assert register_champion(calibrated, store) == "2"
    assert registry.load_alias(store).version == "2"


def test_a_state_folder_can_be_moved(calibrated: Propensity, tmp_path: Path) -> None:
    before = Settings(base=tmp_path, state="before")
    register_champion(calibrated, before)
    before.state_folder.rename(tmp_path / "after")
    after = Settings(base=tmp_path, state="after")

    assert registry.load_alias(after).version == "1"
    assert register_champion(calibrated, after) == "2"
    assert registry.load_alias(after, "previous").version == "1"
    assert not before.state_folder.exists()


def test_a_run_logs_settings_metrics_by_cutoff_and_data(
    fitted: Propensity, store: Settings, client: mlflow.MlflowClient
) -> None:
    register_champion(fitted, store)

    (run,) = client.search_runs(["1"], max_results=1)

    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "model.n_estimators": "40",
        "model.monotone_features": '["a", "b"]',
        "evaluation.first_as_of": "null",
    }
    assert run.data.metrics == {"auroc": 0.8, "by_cutoff/auroc": 0.9}
    points = client.get_metric_history(run.info.run_id, "by_cutoff/auroc")
    assert [(point.step, point.value) for point in points] == [(1, 0.7), (2, 0.9)]
    assert points[1].timestamp - points[0].timestamp == 181 * 86_400_000
    assert run.data.tags["verdict"] == "Evaluated well."
    assert run.data.tags["mlflow.note.content"] == "# A page"
    (table,) = run.inputs.dataset_inputs
    assert (table.dataset.name, table.dataset.digest) == ("events", "f00d")
    assert '"quarantine": {"no time": 2}' in table.dataset.profile
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
