"""Where runs and models are kept: the only module that imports MLflow.

What a model is as files, and why reading them executes no code, stands in
:mod:`training.artifact`; the registry keeps the digest of its card as a tag of the version.

Without a server the store is ours: ``mlflow.db`` and ``mlartifacts`` in the state folder. The
database then names artifacts relative to that folder, so that the folder may be moved.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import ExclusiveFileLock
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_RUN_NOTE, MLFLOW_SOURCE_NAME

from data import writing
from data.errors import ModelError
from data.settings import Settings
from training import artifact, faults
from training.fingerprint import Fingerprint
from training.model import Propensity
from training.record import Record

__all__ = ["CHAMPION", "Registered", "load", "ready", "register"]

CHAMPION: Final = "champion"
_PREVIOUS: Final = "previous"
_DIGEST: Final = "card_sha256"
_FOLDER: Final = "model"
_MOST_METRICS: Final = 1000  # that MLflow takes at once
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
class Registered:
    """A model as the registry holds it: its version there, its card, and the model of churn."""

    model: Propensity
    version: str
    card: Mapping[str, Any]
    churn: Propensity | None = None


@dataclass(frozen=True)
class _Store:
    """An opened tracking store.

    ``folder`` is where artifacts lie when the store is our own, None when a server keeps them.
    """

    client: mlflow.MlflowClient
    experiment: str
    folder: Path | None

    @contextmanager
    def drafting(self, run: str) -> Iterator[Path]:
        """Give a folder whose files are the run's artifacts once it is left."""
        if self.folder is not None:
            place = self.folder / run / "artifacts"
            place.mkdir(parents=True)
            yield place
            return
        with tempfile.TemporaryDirectory() as draft:
            yield Path(draft)
            self.client.log_artifacts(run, draft)

    @contextmanager
    def model(self, run: str) -> Iterator[Path]:
        """Give the folder of the run's model for as long as it is read."""
        if self.folder is not None:
            yield self.folder / run / "artifacts" / _FOLDER
            return
        with tempfile.TemporaryDirectory() as copy:
            yield Path(self.client.download_artifacts(run, _FOLDER, copy))


def ready(settings: Settings) -> None:
    """Make sure, before any work is done, that a model could be registered.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached.
    """
    _connect(settings)


def register(
    model: Propensity,
    settings: Settings,
    *,
    about: Mapping[str, Any],
    record: Record,
    churn: Propensity | None = None,
) -> str:
    """Log a run, keep the model, and make it the champion.

    A version is made only once all its files are kept and found whole, and the champion's alias
    moves last: what fails on the way leaves a run marked as failed, and the registry as it was.

    Parameters
    ----------
    model : Propensity
        The fitted, calibrated model.
    settings : data.settings.Settings
        Where the registry is.
    about : mapping
        JSON values for the card: data window, figures, verdict.
    record : training.record.Record
        What the run shows: settings, figures, data, plots.
    churn : Propensity, optional
        The model of churn that goes with it.

    Returns
    -------
    str
        The version in the registry.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached or written to.
    """
    store = _connect(settings)
    try:
        with _run(store, record) as run:
            _log(store.client, run, record)
            with store.drafting(run.info.run_id) as folder:
                digest = _write(folder, model, about, record, churn)
            with store.model(run.info.run_id) as kept:
                artifact.check(kept, digest, called="the model just written")
        return _promote(store.client, settings.registry.model, run, digest, record.verdict)
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"the model could not be registered: {faults.told(error)}. The champion is as it was;"
            " once that is put right, run `expansion train` again."
        ) from error


def load(settings: Settings, alias: str = CHAMPION) -> Registered:
    """Load a registered model, after checking that it is whole and fits this catalogue.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached, holds no such model, a file of it is missing or altered,
        or its features are not those that this version computes.
    """
    store = _connect(settings)
    name = settings.registry.model
    try:
        found = store.client.get_model_version_by_alias(name, alias)
    except MlflowException:
        raise ModelError(
            f"no {alias} model is registered as {name!r}; run `expansion train` first."
        ) from None
    called = f"model version {found.version}"
    try:
        with store.model(str(found.run_id)) as folder:
            model, card = artifact.read(folder, found.tags.get(_DIGEST), called=called)
            churn = artifact.read_churn(folder, card, called=called)
    except (MlflowException, OSError) as error:
        raise artifact.altered(called, faults.told(error)) from None
    return Registered(model, str(found.version), card, churn)


def _connect(settings: Settings) -> _Store:
    try:
        return _open(settings)
    except Exception as error:  # every kind of store brings its own family of errors
        raise ModelError(
            f"the model registry cannot be reached: {faults.told(error)}. Check [registry]"
            " tracking_uri in expansion.toml."
        ) from error


def _open(settings: Settings) -> _Store:
    _quieten()
    uri, name = settings.registry.tracking_uri, settings.registry.experiment
    if uri is not None:
        client = mlflow.MlflowClient(tracking_uri=uri)
        return _Store(client, _experiment(client, name, None), None)
    state = settings.state_folder
    client = mlflow.MlflowClient(tracking_uri=_database(state / "mlflow.db"))
    # A place relative to whatever serves the artifacts, where a path would bind the store to it.
    return _Store(client, _experiment(client, name, "mlflow-artifacts:/"), state / "mlartifacts")


def _database(file: Path) -> str:
    """Name our own database, made first if need be.

    MLflow makes its tables in dozens of steps, so a run that is killed or joined by another
    meanwhile would leave a database that nothing can open: it is made beside, by one at a time.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with ExclusiveFileLock(str(file.with_suffix(".lock"))):
            if not file.exists():
                writing.atomically(file, lambda draft: mlflow.MlflowClient(f"sqlite:///{draft}"))
    return f"sqlite:///{file}"


def _quieten() -> None:
    """Keep MLflow's chatter off the terminal and the net, and its patience within bounds."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _experiment(client: mlflow.MlflowClient, name: str, place: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)  # another training made it just now


@contextmanager
def _run(store: _Store, record: Record) -> Iterator[Run]:
    """Give a run that ends as finished, or as failed with whatever was logged of it."""
    run = store.client.create_run(store.experiment, run_name=record.name)
    try:
        yield run
        store.client.set_terminated(run.info.run_id)
    except BaseException:
        with suppress(MlflowException, OSError):  # the store may be what failed
            store.client.set_terminated(run.info.run_id, "FAILED")
        raise


def _log(client: mlflow.MlflowClient, run: Run, record: Record) -> None:
    """Log everything but the artifacts, in as few calls as MLflow takes."""
    key = run.info.run_id
    params = [Param(name, _text(value)) for name, value in record.parameters.items()]
    client.log_batch(key, params=params, tags=_tags(record))
    metrics = _metrics(record)
    for first in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(key, metrics=metrics[first : first + _MOST_METRICS])
    if record.tables:
        client.log_inputs(key, [_dataset(table) for table in record.tables])


def _tags(record: Record) -> list[RunTag]:
    tags = {
        **record.tags,
        "verdict": record.verdict,
        MLFLOW_RUN_NOTE: record.note,
        MLFLOW_SOURCE_NAME: "expansion train",
        MLFLOW_GIT_COMMIT: get_git_commit(__file__) or "",
    }
    return [RunTag(name, value) for name, value in tags.items() if value]


def _metrics(record: Record) -> list[Metric]:
    """Totals, and each cut as a step at its own date, so that both axes of the page are right."""
    now = int(time.time() * 1000)
    totals = [Metric(name, value, now, 0) for name, value in record.totals.items()]
    return totals + [
        Metric(f"by_cut/{name}", value, _milliseconds(cut), step)
        for step, (cut, figures) in enumerate(sorted(record.by_cut.items()), start=1)
        for name, value in figures.items()
    ]


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _dataset(table: Fingerprint) -> DatasetInput:
    columns = [{"name": name, "type": kind} for name, kind in table.columns.items()]
    profile = {"rows": table.rows, "quarantine": dict(table.quarantine), "parts": len(table.parts)}
    told = Dataset(
        name=table.name,
        digest=table.digest,
        source_type="code",
        source=json.dumps({"table": table.name}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
    return DatasetInput(told, [InputTag("mlflow.data.context", "training")])


def _write(
    folder: Path,
    model: Propensity,
    about: Mapping[str, Any],
    record: Record,
    churn: Propensity | None,
) -> str:
    """Write everything that a run keeps as files, and return the digest of the model's card."""
    (folder / "plots").mkdir()
    for name, figure in record.plots.items():
        figure.savefig(folder / "plots" / name, dpi=100)
    for name, text in record.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / _FOLDER).mkdir()
    return artifact.write(model, folder / _FOLDER, about, churn)


def _promote(client: mlflow.MlflowClient, name: str, run: Run, digest: str, verdict: str) -> str:
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it is there already, or the registry is not
    source = f"{run.info.artifact_uri}/{_FOLDER}"
    made = client.create_model_version(
        name, source, run.info.run_id, tags={_DIGEST: digest}, description=verdict
    )
    aliases = client.get_registered_model(name).aliases
    if CHAMPION in aliases:
        client.set_registered_model_alias(name, _PREVIOUS, aliases[CHAMPION])
    client.set_registered_model_alias(name, CHAMPION, made.version)
    return str(made.version)


def _text(value: Any) -> str:  # noqa: ANN401 - any setting
    return value if isinstance(value, str) else json.dumps(value)
