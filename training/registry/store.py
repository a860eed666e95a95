"""Open the tracking store: a local SQLite store in the state folder, or a tracking server.

Without a server the local store is ``mlflow.db`` and ``mlartifacts`` in the state folder. Artifact
locations are relative to that folder, so that it can be moved.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import ExclusiveFileLock
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RetryError, Timeout

from data.config.settings import Settings
from data.errors import ModelError
from data.io import atomic

__all__ = ["MODEL_FOLDER", "TrackingStore", "connect_store", "describe_error"]

MODEL_FOLDER: Final = "model"  # sub-folder of a run's artifacts
# Used unless the environment sets them: fail within two minutes if the server is unreachable,
# print nothing, and send no telemetry.
_ENVIRONMENT_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class TrackingStore:
    """An open tracking store, and the name of the registered model in it.

    ``artifact_root`` is the artifact folder of a local store, None for a tracking server.
    """

    client: mlflow.MlflowClient
    model: str
    experiment: str
    artifact_root: Path | None

    @contextmanager
    def open_artifact_draft(self, run_id: str) -> Iterator[Path]:
        """Yield a folder whose files become the run's artifacts on exit."""
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
        """Yield the folder of the run's model, downloaded first if the store is remote."""
        if self.artifact_root is not None:
            yield self.artifact_root / run_id / "artifacts" / MODEL_FOLDER
            return
        with tempfile.TemporaryDirectory() as copy:
            yield Path(self.client.download_artifacts(run_id, MODEL_FOLDER, copy))


def connect_store(settings: Settings) -> TrackingStore:
    """Open the tracking store named in the settings.

    Raises
    ------
    data.errors.ModelError
        If it cannot be reached.
    """
    try:
        return _open_store(settings)
    except Exception as error:  # each kind of store has its own exceptions
        raise ModelError(
            f"the model registry cannot be reached: {describe_error(error)}. Check"
            " [registry] tracking_uri in expansion.toml."
        ) from error


def _open_store(settings: Settings) -> TrackingStore:
    _configure_mlflow()
    config, uri = settings.registry, settings.registry.tracking_uri
    artifact_location = artifact_root = None
    if uri is None:
        uri = _prepare_database(settings.state_folder / "mlflow.db")
        artifact_root = settings.state_folder / "mlartifacts"
        # A relative artifact location keeps the store movable; a path would be absolute.
        artifact_location = "mlflow-artifacts:/"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = _get_or_create_experiment(client, config.experiment, artifact_location)
    return TrackingStore(client, config.model, experiment, artifact_root)


def _prepare_database(file: Path) -> str:
    """Return the URL of the local database and create it if missing.

    MLflow creates its tables in dozens of steps, and an interruption or a concurrent run would
    leave an unusable database. It is therefore created under a lock in a draft file and moved into
    place.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with ExclusiveFileLock(str(file.with_suffix(".lock"))):
            if not file.exists():
                atomic.atomic_write(file, lambda draft: mlflow.MlflowClient(f"sqlite:///{draft}"))
    return f"sqlite:///{file}"


def _configure_mlflow() -> None:
    """Set MLflow's log level, telemetry and request timeouts unless the environment sets them."""
    for name, value in _ENVIRONMENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _get_or_create_experiment(
    client: mlflow.MlflowClient, name: str, artifact_location: str | None
) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException:  # created by a concurrent training, unless the store is broken
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


def describe_error(error: BaseException) -> str:
    """Return the first line of an error message with the password of any URL removed.

    The text is part of a sentence, without the final period. For a server that is unreachable or
    returns only errors it is the server's address and the problem.
    """
    server_problem = _describe_server_error(error)
    if server_problem is not None:
        return server_problem
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"//[^/@\s]*@", "//", first_line)[:200].rstrip(".")


def _describe_server_error(error: BaseException | None) -> str | None:
    """Return the server's problem if a connection or retry error is in the exception chain."""
    while error is not None:
        if isinstance(error, NoConnection | Timeout | RetryError) and error.request is not None:
            address = urlsplit(str(error.request.url))
            server = f"the server at {address.scheme}://{address.netloc.rpartition('@')[2]}"
            if isinstance(error, RetryError):
                return f"{server} answers with {getattr(error.args[0], 'reason', error)}"
            return f"{server} does not answer"
        error = error.__cause__ or error.__context__
    return None
