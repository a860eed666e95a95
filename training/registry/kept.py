"""Models as the registry holds them: registered whole, and loaded after a check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from data.errors import ModelError
from data.settings import Settings
from training import artifact, faults
from training.model import Propensity
from training.record import Record
from training.registry import runs
from training.registry.store import FOLDER, connect

__all__ = ["CHAMPION", "Registered", "load", "ready", "register"]

CHAMPION: Final = "champion"
_PREVIOUS: Final = "previous"
_DIGEST: Final = "card_sha256"


@dataclass(frozen=True)
class Registered:
    """A model as the registry holds it: its version there, its card, and the model of churn."""

    model: Propensity
    version: str
    card: Mapping[str, Any]
    churn: Propensity | None = None


def ready(settings: Settings) -> None:
    """Make sure, before any work is done, that a model could be registered.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached.
    """
    connect(settings)


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
    store = connect(settings)
    try:
        with runs.started(store, record) as run:
            runs.log(store.client, run, record)
            with store.drafting(run.info.run_id) as folder:
                runs.write(folder, record)
                (folder / FOLDER).mkdir()
                digest = artifact.write(model, folder / FOLDER, about, churn)
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
    store = connect(settings)
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


def _promote(client: mlflow.MlflowClient, name: str, run: Run, digest: str, verdict: str) -> str:
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it is there already, or the registry is not
    source = f"{run.info.artifact_uri}/{FOLDER}"
    made = client.create_model_version(
        name, source, run.info.run_id, tags={_DIGEST: digest}, description=verdict
    )
    aliases = client.get_registered_model(name).aliases
    if CHAMPION in aliases:
        client.set_registered_model_alias(name, _PREVIOUS, aliases[CHAMPION])
    client.set_registered_model_alias(name, CHAMPION, made.version)
    return str(made.version)
