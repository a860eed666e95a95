"""Models as the registry holds them: registered whole, and loaded after a check."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from data.errors import ModelError
from data.settings import Settings
from training import artifact, faults
from training.model import Propensity
from training.record import Record
from training.registry import aliases, runs
from training.registry.aliases import CHAMPION
from training.registry.store import FOLDER, Store, connect
from training.rival import Champion
from training.simple import Simple

__all__ = ["Registered", "champion", "load", "register", "serving"]

_DIGEST: Final = "card_sha256"


@dataclass(frozen=True)
class Registered:
    """What scores, as the registry holds it.

    Attributes
    ----------
    model : Propensity or Simple
        The model; while none is champion, the best simple ranking.
    version : str
        The version that it is, or that it was kept with.
    card : mapping
        That version's card.
    churn : Propensity, optional
        The model of churn.
    promotion : mapping
        When it became champion, by whom, why, and whether against the gate.
    """

    model: Propensity | Simple
    version: str
    card: Mapping[str, Any]
    churn: Propensity | None = None
    promotion: Mapping[str, Any] | None = None

    @property
    def called(self) -> str:
        """Name it as the CRM's ``model`` field does."""
        if isinstance(self.model, Simple):
            passed = self.card.get("gate", {}).get("passes", False)
            return f"{self.model.ranking} (no model {'promoted' if passed else 'passed'})"
        return self.version


def register(
    model: Propensity,
    settings: Settings,
    *,
    about: Mapping[str, Any],
    record: Record,
    churn: Propensity | None = None,
    simple: Simple | None = None,
) -> str:
    """Log a run, keep the model, and let it wait as the challenger.

    A version is made only once all its files are kept and found whole, and the challenger's alias
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
    simple : Simple, optional
        The best simple ranking, to be served while no model is champion.

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
                digest = artifact.write(model, folder / FOLDER, about, churn, simple)
            with store.model(run.info.run_id) as kept:
                artifact.check(kept, digest, called="the model just written")
        version = _made(store, settings.registry.model, run, digest, record.verdict)
        aliases.challenge(store.client, settings.registry.model, version)
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"the model could not be registered: {faults.told(error)}. The champion is as it was;"
            " once that is put right, run `expansion train` again."
        ) from error
    return version


def load(settings: Settings, alias: str = CHAMPION) -> Registered:
    """Load a registered model, after checking that it is whole and fits this catalogue.

    Parameters
    ----------
    settings : data.settings.Settings
        Where the registry is.
    alias : str
        ``champion``, ``challenger`` or ``previous``.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached, holds no such model, a file of it is missing or altered,
        or its features are not those that this version computes.
    """
    store, name = connect(settings), settings.registry.model
    with _told():
        parts = aliases.of(store.client, name)
    version = getattr(parts, alias)
    if version is None:
        waits = alias == CHAMPION and parts.challenger is not None
        todo = (
            f"version {parts.challenger} waits as the challenger, see `expansion promote`."
            if waits
            else "run `expansion train` first."
        )
        raise ModelError(f"no {alias} model is registered as {name!r}; {todo}")
    with _told():
        found = store.client.get_model_version(name, version)
        promotions = aliases.history(store.client, name, version)
    called = f"model version {version}"
    try:
        with store.model(str(found.run_id)) as folder:
            model, card = artifact.read(folder, found.tags.get(_DIGEST), called=called)
            churn = artifact.read_churn(folder, card, called=called)
    except (MlflowException, OSError) as error:
        raise artifact.altered(called, faults.told(error)) from None
    return Registered(model, version, card, churn, promotions[-1] if promotions else None)


def champion(settings: Settings) -> Champion | None:
    """Say which version is champion, with its card; None where none is.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached. A champion that cannot be read is no error: it is given
        with the reason.
    """
    store, name = connect(settings), settings.registry.model
    with _told():
        version = aliases.of(store.client, name).champion
    if version is None:
        return None
    try:
        return Champion(version, load(settings).card)
    except ModelError as error:
        return Champion(version, None, str(error))


def serving(settings: Settings) -> Registered | None:
    """Load what the weekly list is made by.

    Returns
    -------
    Registered or None
        The champion; while there is none, the best simple ranking as it was kept with the
        challenger; None where no model was ever registered.

    Raises
    ------
    data.errors.ModelError
        As for :func:`load`.
    """
    store, name = connect(settings), settings.registry.model
    with _told():
        found = aliases.of(store.client, name)
        if found.champion is not None:
            return load(settings)
        if found.challenger is None:
            return None
        kept = store.client.get_model_version(name, found.challenger)
    return _simple(store, kept)


def _simple(store: Store, kept: ModelVersion) -> Registered:
    called = f"the simple ranking of model version {kept.version}"
    try:
        with store.model(str(kept.run_id)) as folder:
            card, _ = artifact.check(folder, kept.tags.get(_DIGEST), called=called)
            ranking = artifact.read_simple(card, called=called)
            churn = artifact.read_churn(folder, card, called=called)
    except (MlflowException, OSError) as error:
        raise artifact.altered(called, faults.told(error)) from None
    return Registered(ranking, str(kept.version), card, churn)


def _made(store: Store, name: str, run: Run, digest: str, verdict: str) -> str:
    """Make a version of what a run has kept."""
    client = store.client
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it is there already, or the registry is not
    source = f"{run.info.artifact_uri}/{FOLDER}"
    made = client.create_model_version(
        name, source, run.info.run_id, tags={_DIGEST: digest}, description=verdict
    )
    return str(made.version)


@contextmanager
def _told() -> Iterator[None]:
    """Tell in one sentence that the registry failed while it was read."""
    try:
        yield
    except MlflowException as error:
        raise ModelError(
            f"the model registry cannot be read: {faults.told(error)}. Check [registry] in"
            " expansion.toml, and run again."
        ) from error
