"""Register models, and load registered models after an integrity check."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from data.config.settings import Settings
from data.errors import ModelError
from training.model.propensity import Propensity
from training.pipeline.fallback_ranking import CalibratedRanking
from training.promotion.champion import Champion
from training.registry import aliases, runs, serialization
from training.registry.aliases import CHALLENGER, CHAMPION
from training.registry.run_record import RunRecord
from training.registry.store import MODEL_FOLDER, TrackingStore, connect_store, describe_error

__all__ = ["RegisteredModel", "find_champion", "load_alias", "load_for_scoring", "register_model"]

_DIGEST_TAG: Final = "card_sha256"


@dataclass(frozen=True)
class RegisteredModel:
    """A scoring model as stored in the registry.

    Attributes
    ----------
    model : Propensity or CalibratedRanking
        The champion; the fallback ranking while there is none.
    version : str
        Its version, or the version it was stored with.
    card : mapping
        That version's model card.
    churn : Propensity, optional
        The churn model.
    promotion : mapping
        When and by whom it was promoted, the reason, and whether against the gate.
    """

    model: Propensity | CalibratedRanking
    version: str
    card: Mapping[str, Any]
    churn: Propensity | None = None
    promotion: Mapping[str, Any] | None = None

    @property
    def display_name(self) -> str:
        """Name of the model as written to the CRM's ``model`` field."""
        if isinstance(self.model, CalibratedRanking):
            has_passed = self.card.get("gate", {}).get("passes", False)
            return f"{self.model.ranking} (no model {'promoted' if has_passed else 'passed'})"
        return self.version


def register_model(
    model: Propensity,
    settings: Settings,
    *,
    metadata: Mapping[str, Any],
    record: RunRecord,
    churn_model: Propensity | None = None,
    fallback: CalibratedRanking | None = None,
) -> str:
    """Log a run, register the model, and set it as challenger.

    A version is created only after all its files are stored and verified, and the challenger alias
    moves last. A failure leaves a run marked as failed and the registry unchanged.

    Parameters
    ----------
    model : Propensity
        The fitted, calibrated model.
    settings : Settings
        Location of the registry.
    metadata : mapping
        JSON values for the card: data window, metrics, verdict.
    record : RunRecord
        Settings, metrics, lineage and plots of the run.
    churn_model : Propensity, optional
        The churn model of the same training.
    fallback : CalibratedRanking, optional
        The fallback ranking, which scores while no model is champion.

    Returns
    -------
    str
        The new version.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached or written to.
    """
    store = connect_store(settings)
    try:
        with runs.start_run(store, record) as run:
            runs.log_run(store.client, run, record)
            with store.open_artifact_draft(run.info.run_id) as folder:
                runs.write_run_files(folder, record)
                (folder / MODEL_FOLDER).mkdir()
                digest = serialization.save_model(
                    model, folder / MODEL_FOLDER, metadata, churn_model, fallback
                )
            with store.open_model_artifacts(run.info.run_id) as model_folder:
                serialization.verify_model_files(
                    model_folder, digest, display_name="the model just written"
                )
        version = _create_version(store, run, digest, record.verdict)
        store.client.set_registered_model_alias(store.model, CHALLENGER, version)
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"the model could not be registered: {describe_error(error)}. The champion is"
            " unchanged. Fix the cause and run `expansion train` again."
        ) from error
    return version


def load_alias(settings: Settings, alias: str = CHAMPION) -> RegisteredModel:
    """Load the champion, challenger or previous champion, after checking its integrity.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached, has no such model, a file is missing or altered, or the
        model's features differ from the catalogue.
    """
    store = connect_store(settings)
    with _translate_registry_errors():
        current = aliases.read_aliases(store)
    version: str | None = getattr(current, alias)
    if version is None:
        challenger_waits = alias == CHAMPION and current.challenger is not None
        next_step = (
            f"version {current.challenger} is the challenger; see `expansion promote`."
            if challenger_waits
            else "run `expansion train` first."
        )
        raise ModelError(f"no {alias} model is registered as {store.model!r}; {next_step}")
    return _load_version(store, version)


def find_champion(settings: Settings) -> Champion | None:
    """Return the champion's version and card, or None without a champion.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached. A champion that cannot be loaded is returned with the
        reason instead.
    """
    store = connect_store(settings)
    with _translate_registry_errors():
        version = aliases.read_aliases(store).champion
    if version is None:
        return None
    try:
        return Champion(version, _load_version(store, version).card)
    except ModelError as error:
        return Champion(version, None, str(error))


def load_for_scoring(settings: Settings) -> RegisteredModel | None:
    """Load the model for the weekly list.

    Returns
    -------
    RegisteredModel or None
        The champion; without one, the fallback ranking stored with the challenger; None if no model
        was ever registered.

    Raises
    ------
    data.errors.ModelError
        As for :func:`load_alias`.
    """
    store = connect_store(settings)
    with _translate_registry_errors():
        current = aliases.read_aliases(store)
    if current.champion is not None:
        return _load_version(store, current.champion)
    if current.challenger is None:
        return None
    with _translate_registry_errors():
        model_version = store.client.get_model_version(store.model, current.challenger)
    display_name = f"the fallback ranking of model version {model_version.version}"
    with _open_files(store, model_version, display_name) as folder:
        card, _ = serialization.verify_model_files(
            folder, model_version.tags.get(_DIGEST_TAG), display_name=display_name
        )
        ranking = serialization.load_ranking(card, display_name=display_name)
        churn = serialization.load_churn_model(folder, card, display_name=display_name)
    return RegisteredModel(ranking, str(model_version.version), card, churn)


def _load_version(store: TrackingStore, version: str) -> RegisteredModel:
    with _translate_registry_errors():
        model_version = store.client.get_model_version(store.model, version)
    promotions = aliases.read_promotion_history(model_version)
    display_name = f"model version {version}"
    with _open_files(store, model_version, display_name) as folder:
        model, card = serialization.load_model(
            folder, model_version.tags.get(_DIGEST_TAG), display_name=display_name
        )
        churn = serialization.load_churn_model(folder, card, display_name=display_name)
    return RegisteredModel(model, version, card, churn, promotions[-1] if promotions else None)


@contextmanager
def _open_files(
    store: TrackingStore, model_version: ModelVersion, display_name: str
) -> Iterator[Path]:
    """Yield the folder of a version's files; convert errors of the storage to a model error."""
    try:
        with store.open_model_artifacts(str(model_version.run_id)) as folder:
            yield folder
    except (MlflowException, OSError) as error:
        raise serialization.build_tampered_error(display_name, describe_error(error)) from None


def _create_version(store: TrackingStore, run: Run, digest: str, verdict: str) -> str:
    """Create a model version from the files of a run."""
    client, name = store.client, store.model
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it exists already, unless the registry is unreachable
    source = f"{run.info.artifact_uri}/{MODEL_FOLDER}"
    model_version = client.create_model_version(
        name, source, run.info.run_id, tags={_DIGEST_TAG: digest}, description=verdict
    )
    return str(model_version.version)


@contextmanager
def _translate_registry_errors() -> Iterator[None]:
    """Convert an MLflow error while reading to a one-line model error."""
    try:
        yield
    except MlflowException as error:
        raise ModelError(
            f"the model registry cannot be read: {describe_error(error)}. Check [registry]"
            " in expansion.toml and run the command again."
        ) from error
