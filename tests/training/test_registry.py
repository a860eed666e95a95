"""What comes out of the registry is what went in, or a clear refusal."""

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

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ABOUT = {"verdict": "Judged well.", "as_of": "2025-04-25"}
RECORD = RunRecord(
    name="as of 2025-04-25",
    verdict="Judged well.",
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
    files={"figures.csv": "cut,value\n"},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SQLite store for all: its tables take seconds to make."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def store(folder: Path, request: pytest.FixtureRequest) -> Settings:
    """A store that holds no model under this test's name."""
    return Settings(base=folder, state="state", registry=RegistryConfig(model=request.node.name))


@pytest.fixture
def calibrated(fitted: Propensity) -> Propensity:
    return fitted.with_calibration(Calibration(slope=0.9, intercept=-0.1))


@dataclass(frozen=True)
class Kept:
    """A registered model's version and files."""

    version: str
    folder: Path


@pytest.fixture
def kept(calibrated: Propensity, store: Settings) -> Kept:
    before = set(store.state_folder.rglob("card.json"))
    version = put(calibrated, store)
    (card,) = set(store.state_folder.rglob("card.json")) - before
    return Kept(version, card.parent)


def put(model: Propensity, store: Settings) -> str:
    """Register a model and make it the champion: nothing here has been judged."""
    version = registry.register_model(model, store, metadata=ABOUT, record=RECORD)
    registry.promote(store, force="a test of the registry")
    return version


def test_a_model_comes_back_with_the_same_probabilities_bit_by_bit(
    calibrated: Propensity, kept: Kept, store: Settings, history: Any
) -> None:
    found = registry.load_alias(store)

    assert found.version == kept.version
    assert found.card["verdict"] == "Judged well."
    for before, after in zip(
        _told(calibrated, history.snapshots), _told(found.model, history.snapshots), strict=True
    ):
        assert before.tobytes() == after.tobytes()
    assert found.model.calibration == calibrated.calibration


def _told(fitted: Propensity, snapshots: Any) -> list[np.ndarray]:
    estimate = fitted.predict(snapshots)
    bounds = [estimate.margin, estimate.probability, estimate.low, estimate.high]
    return [
        *bounds,
        fitted.predict_cumulative_incidence(snapshots),
        *fitted.compute_contributions(snapshots),
    ]


def test_without_a_champion_the_way_to_one_is_told(store: Settings) -> None:
    with pytest.raises(ModelError, match="run `expansion train` first"):
        registry.load_alias(store)


def test_a_new_champion_moves_the_last_one_aside(calibrated: Propensity, store: Settings) -> None:
    versions = [put(calibrated, store) for _ in range(3)]

    assert versions == ["1", "2", "3"]
    assert registry.load_alias(store).version == "3"
    assert registry.load_alias(store, "previous").version == "2"


def test_nothing_that_runs_is_kept_of_a_model(kept: Kept, fitted: Propensity) -> None:
    names = {path.name for path in kept.folder.rglob("*")}

    assert names == {"card.json", *(f"booster_{n}.txt" for n in range(len(fitted.boosters)))}


def _tear(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _swap_a_digit(file: Path) -> None:
    text = file.read_text()
    at = text.index("leaf_value=") + len("leaf_value=-0.")
    file.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def _blind(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00" + file.read_bytes())


@pytest.mark.parametrize(
    ("name", "harm", "why"),
    [
        ("booster_1.txt", _swap_a_digit, "booster_1.txt does not match its digest"),
        ("booster_0.txt", _tear, "booster_0.txt does not match its digest"),
        ("booster_2.txt", Path.unlink, "booster_2.txt is missing or damaged"),
        ("booster_2.txt", _blind, "booster_2.txt is missing or damaged"),
        ("card.json", Path.unlink, "card.json is missing or damaged"),
        ("card.json", _tear, "card.json does not match its digest"),
        ("card.json", lambda f: f.write_text("[]"), "card.json does not match its digest"),
        (
            "card.json",
            lambda f: f.write_text(f.read_text().replace('"slope": 0.9', '"slope": 1.9')),
            "card.json does not match its digest",
        ),
    ],
)
def test_a_model_that_is_not_whole_is_refused(
    name: str, harm: Callable[[Path], object], why: str, kept: Kept, store: Settings
) -> None:
    file = kept.folder / name

    harm(file)

    with pytest.raises(ModelError, match=f"altered in the store \\({why}\\)"):
        registry.load_alias(store)


def test_a_model_whose_folder_is_gone_is_refused(kept: Kept, store: Settings) -> None:
    kept.folder.rename(kept.folder.with_name("elsewhere"))

    with pytest.raises(ModelError, match="incomplete or was altered in the store"):
        registry.load_alias(store)


def test_a_model_of_other_features_is_refused_with_their_names(
    store: Settings, history: Any, settings: Settings
) -> None:
    known = history.known()
    fewer = propensity.fit_propensity(
        known.snapshots,
        known.outcomes,
        settings.model.model_copy(update={"n_estimators": 10, "ensemble_size": 2}),
        horizon_days=60,
        inputs=INPUTS[1:],
    )
    registry.register_model(fewer, store, metadata=ABOUT, record=RECORD)

    with pytest.raises(ModelError, match=rf"other features .* \({INPUTS[0]} differ\); run"):
        registry.load_alias(store, registry.CHALLENGER)


@pytest.mark.parametrize("uri", ["gopher://somewhere", "mssql://nobody:secret@localhost/x"])
def test_a_registry_out_of_reach_is_told_in_one_line_without_its_password(
    uri: str, tmp_path: Path
) -> None:
    away = Settings(base=tmp_path, registry=RegistryConfig(tracking_uri=uri))

    with pytest.raises(ModelError, match="the model registry cannot be reached") as told:
        registry.load_alias(away)

    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_a_server_that_is_down_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # the user's word counts
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = f"http://somebody:secret@127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(ModelError) as told:
        registry.find_champion(Settings(base=tmp_path, registry=RegistryConfig(tracking_uri=away)))

    place = away.replace("somebody:secret@", "")
    assert str(told.value) == (
        f"the model registry cannot be reached: the server at {place} does not answer."
        " Check [registry] tracking_uri in expansion.toml."
    )


def test_what_the_environment_says_of_patience_is_kept(
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
KILLED = "the database went away"


@pytest.fixture
def client(store: Settings) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{store.state_folder / 'mlflow.db'}")


@pytest.mark.parametrize("step", STEPS)
def test_whatever_fails_the_champion_stays_and_a_rerun_works(
    step: str,
    kept: Kept,
    calibrated: Propensity,
    store: Settings,
    client: mlflow.MlflowClient,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException(KILLED)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, step, fail)
        with pytest.raises(ModelError, match=f"could not be registered: {KILLED}"):
            put(calibrated, store)

    assert registry.load_alias(store).version == kept.version
    assert all(_whole(version, store) for version in _versions(client, store))
    version = put(calibrated, store)
    assert registry.load_alias(store).version == version


def _versions(client: mlflow.MlflowClient, store: Settings) -> list[Any]:
    return list(client.search_model_versions(f"name = '{store.registry.model}'"))


def _whole(version: Any, store: Settings) -> bool:
    folder = store.state_folder / "mlartifacts" / version.run_id / "artifacts/model"
    return bool(serialization.verify_model_files(folder, version.tags["card_sha256"]))


def test_a_disk_that_fills_while_writing_makes_no_version(
    kept: Kept,
    calibrated: Propensity,
    store: Settings,
    client: mlflow.MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Path.write_text

    def full(file: Path, text: str, **rest: Any) -> int:
        if file.name == "booster_1.txt":
            write(file, text[:1000], **rest)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, text, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(
            ModelError, match=r"No space left on device\. The champion is as it was"
        ):
            put(calibrated, store)

    assert len(_versions(client, store)) == 1
    assert registry.load_alias(store).version == kept.version
    (run, _) = client.search_runs(["1"], max_results=2)
    assert run.info.status == "FAILED"
    assert put(calibrated, store) == "2"


def test_a_file_that_is_lost_on_the_way_makes_no_version(
    calibrated: Propensity, store: Settings, client: mlflow.MlflowClient, monkeypatch: Any
) -> None:
    write = serialization.save_model

    def lose(model: Propensity, folder: Path, *rest: Any) -> str:
        digest = write(model, folder, *rest)
        (folder / "booster_2.txt").unlink()
        return digest

    monkeypatch.setattr(serialization, "save_model", lose)

    with pytest.raises(ModelError, match=r"booster_2\.txt is missing or damaged"):
        put(calibrated, store)

    assert not _versions(client, store)


def test_a_champion_of_another_catalogue_does_not_keep_a_new_one_out(
    kept: Kept, calibrated: Propensity, store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(serialization, "INPUTS", INPUTS[1:])
        with pytest.raises(ModelError, match="run `expansion train` again"):
            registry.load_alias(store)

    assert put(calibrated, store) == "2"
    assert registry.load_alias(store).version == "2"


def test_a_state_folder_may_be_moved(calibrated: Propensity, tmp_path: Path) -> None:
    before = Settings(base=tmp_path, state="before")
    put(calibrated, before)
    before.state_folder.rename(tmp_path / "after")
    after = Settings(base=tmp_path, state="after")

    assert registry.load_alias(after).version == "1"
    assert put(calibrated, after) == "2"
    assert registry.load_alias(after, "previous").version == "1"
    assert not before.state_folder.exists()


def test_a_run_shows_settings_figures_at_each_cut_and_data(
    fitted: Propensity, store: Settings, client: mlflow.MlflowClient
) -> None:
    put(fitted, store)

    (run,) = client.search_runs(["1"], max_results=1)

    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "model.n_estimators": "40",
        "model.monotone_features": '["a", "b"]',
        "evaluation.first_as_of": "null",
    }
    assert run.data.metrics == {"auroc": 0.8, "by_cut/auroc": 0.9}
    steps = client.get_metric_history(run.info.run_id, "by_cut/auroc")
    assert [(point.step, point.value) for point in steps] == [(1, 0.7), (2, 0.9)]
    assert steps[1].timestamp - steps[0].timestamp == 181 * 86_400_000
    assert run.data.tags["verdict"] == "Judged well."
    assert run.data.tags["mlflow.note.content"] == "# A page"
    (table,) = run.inputs.dataset_inputs
    assert (table.dataset.name, table.dataset.digest) == ("events", "f00d")
    assert '"quarantine": {"no time": 2}' in table.dataset.profile
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
