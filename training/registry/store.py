"""An opened tracking store: ours in the state folder, or a server's.

Without a server the store is ours: ``mlflow.db`` and ``mlartifacts`` in the state folder. The
database then names artifacts relative to that folder, so that the folder may be moved.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import ExclusiveFileLock

from data.config.settings import Settings
from data.errors import ModelError
from data.io import atomic
from training.registry import errors

__all__ = ["MODEL_FOLDER", "TrackingStore", "connect_store"]

MODEL_FOLDER: Final = "model"  # among a run's artifacts
# What the environment says comes first. A server that is gone is told within a minute or two, where
# MLflow would try for many; nothing else than a command's answer is printed, nothing is sent away.
_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class TrackingStore:
    """An opened tracking store.

    ``artifact_root`` is where artifacts lie when the store is our own, None when a server keeps them.
    """

    client: mlflow.MlflowClient
    experiment: str
    artifact_root: Path | None

    @contextmanager
    def open_artifact_draft(self, run_id: str) -> Iterator[Path]:
        """Give a folder whose files are the run's artifacts once it is left."""
        if self.artifact_root is not None:
            artifact_folder = self.artifact_root / run_id / "artifacts"
            artifact_folder.mkdir(parents=True)
            yield artifact_folder
            return
        with tempfile.TemporaryDirectory() as draft:
            yield Path(draft)
            self.client.log_artifacts(run_id, draft)

    @contextmanager
    def open_model_artifacts(self, run_id: str) -> Iterator[Path]:
        """Give the folder of the run's model for as long as it is read."""
        if self.artifact_root is not None:
            yield self.artifact_root / run_id / "artifacts" / MODEL_FOLDER
            return
        with tempfile.TemporaryDirectory() as copy:
            yield Path(self.client.download_artifacts(run_id, MODEL_FOLDER, copy))


def connect_store(settings: Settings) -> TrackingStore:
    """Open the store that the settings name.

    Raises
    ------
    data.errors.ModelError
        If it cannot be reached.
    """
    try:
        return _open_store(settings)
    except Exception as error:  # every kind of store brings its own family of errors
        raise ModelError(
            f"the model registry cannot be reached: {errors.describe_error(error)}. Check [registry]"
            " tracking_uri in expansion.toml."
        ) from error


def _open_store(settings: Settings) -> TrackingStore:
    _configure_mlflow()
    uri, name = settings.registry.tracking_uri, settings.registry.experiment
    if uri is not None:
        client = mlflow.MlflowClient(tracking_uri=uri)
        return TrackingStore(client, _get_or_create_experiment(client, name, None), None)
    state = settings.state_folder
    client = mlflow.MlflowClient(tracking_uri=_prepare_database(state / "mlflow.db"))
    # A place relative to whatever serves the artifacts, where a path would bind the store to it.
    return TrackingStore(
        client, _get_or_create_experiment(client, name, "mlflow-artifacts:/"), state / "mlartifacts"
    )


def _prepare_database(file: Path) -> str:
    """Name our own database, made first if need be.

    MLflow makes its tables in dozens of steps, so a run that is killed or joined by another
    meanwhile would leave a database that nothing can open: it is made beside, by one at a time.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with ExclusiveFileLock(str(file.with_suffix(".lock"))):
            if not file.exists():
                atomic.atomic_write(file, lambda draft: mlflow.MlflowClient(f"sqlite:///{draft}"))
    return f"sqlite:///{file}"


def _configure_mlflow() -> None:
    """Keep MLflow's chatter off the terminal and the net, and its patience within bounds."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _get_or_create_experiment(
    client: mlflow.MlflowClient, name: str, artifact_location: str | None
) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifact_location))
    except MlflowException:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return str(experiment.experiment_id)  # another training made it just now
