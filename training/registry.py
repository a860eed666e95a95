"""Where runs and models are kept: the only module that imports MLflow.

What a model is as files, and why reading them executes no code, stands in
:mod:`training.artifact`; the registry keeps the digest of its card as a tag of the version.
"""

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow.exceptions import MlflowException

from data.errors import ModelError
from data.settings import Settings
from training import artifact
from training.model import Propensity

__all__ = ["CHAMPION", "Registered", "load", "register"]

CHAMPION: Final = "champion"
_PREVIOUS: Final = "previous"
_DIGEST: Final = "card_sha256"
_FOLDER: Final = "model"


@dataclass(frozen=True)
class Registered:
    """A model as the registry holds it: the model, its version there, and its card."""

    model: Propensity
    version: str
    card: Mapping[str, Any]


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
    metrics: Mapping[str, float],
    plots: Mapping[str, Any] | None = None,
) -> str:
    """Log a run, keep the model, and make it the champion.

    Parameters
    ----------
    model : Propensity
        The fitted, calibrated model.
    settings : data.settings.Settings
        Where the registry is, and the parameters to log.
    about : mapping
        JSON values for the card: data window, figures, verdict.
    metrics : mapping of str to float
        Figures to log on the run.
    plots : mapping of str to matplotlib figure, optional
        Plots to keep, by file name.

    Returns
    -------
    str
        The version in the registry.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached or written to.
    """
    try:
        client, experiment = _connect(settings)
        run = client.create_run(experiment)
        for name, value in settings.model.model_dump().items():
            client.log_param(run.info.run_id, name, value)
        for name, value in metrics.items():
            client.log_metric(run.info.run_id, name, value)
        for name, figure in (plots or {}).items():
            client.log_figure(run.info.run_id, figure, f"plots/{name}")
        with tempfile.TemporaryDirectory() as folder:
            digest = artifact.write(model, Path(folder), about)
            client.log_artifacts(run.info.run_id, folder, _FOLDER)
        client.set_terminated(run.info.run_id)
        return _promote(client, settings.registry.model, run, digest)
    except (MlflowException, OSError) as error:
        raise ModelError(f"the model could not be registered: {_first_line(error)}.") from error


def load(settings: Settings, alias: str = CHAMPION) -> Registered:
    """Load a registered model, after checking that it is whole and fits this catalogue.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached, holds no such model, a file of it is missing or altered,
        or its features are not those that this version computes.
    """
    client, _ = _connect(settings)
    name = settings.registry.model
    try:
        found = client.get_model_version_by_alias(name, alias)
    except MlflowException:
        raise ModelError(
            f"no {alias} model is registered as {name!r}; run `expansion train` first."
        ) from None
    called = f"model version {found.version}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            where = client.download_artifacts(found.run_id, _FOLDER, folder)
        except (MlflowException, OSError) as error:
            raise artifact.altered(called, _first_line(error)) from None
        model, card = artifact.read(Path(where), found.tags.get(_DIGEST), called=called)
    return Registered(model, str(found.version), card)


def _connect(settings: Settings) -> tuple[Any, str]:
    try:
        return _open(settings)
    except Exception as error:  # every kind of store brings its own family of errors
        raise ModelError(
            f"the model registry cannot be reached: {_first_line(error)}. Check [registry]"
            " tracking_uri in expansion.toml."
        ) from error


def _open(settings: Settings) -> tuple[Any, str]:
    """Open the tracking store, with MLflow's own chatter kept off the terminal."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    state = settings.state_folder
    uri = settings.registry.tracking_uri
    if uri is None:
        state.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{state / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    name = settings.registry.experiment
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return client, experiment.experiment_id
    local = settings.registry.tracking_uri is None
    artifacts = (state / "mlartifacts").as_uri() if local else None
    return client, client.create_experiment(name, artifact_location=artifacts)


def _promote(client: Any, name: str, run: Any, digest: str) -> str:  # noqa: ANN401 - MLflow's own
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it is there already, or the registry is not
    source = f"{run.info.artifact_uri}/{_FOLDER}"
    tags = {_DIGEST: digest}
    version = client.create_model_version(name, source, run.info.run_id, tags=tags).version
    aliases = client.get_registered_model(name).aliases
    if CHAMPION in aliases:
        client.set_registered_model_alias(name, _PREVIOUS, aliases[CHAMPION])
    client.set_registered_model_alias(name, CHAMPION, version)
    return str(version)


def _first_line(error: Exception) -> str:
    """The first line of a message, without the password a URL in it may hold."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"//[^/@\s]*@", "//", first)[:200].rstrip(".")
