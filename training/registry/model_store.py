"""Models as the registry holds them: registered whole, and loaded after a check."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from data.config.settings import Settings
from data.errors import ModelError
from training.model.propensity import Propensity
from training.pipeline.fallback_ranking import CalibratedRanking
from training.promotion.champion import Champion
from training.registry import aliases, errors, runs, serialization
from training.registry.aliases import CHAMPION
from training.registry.run_record import RunRecord
from training.registry.store import MODEL_FOLDER, TrackingStore, connect_store

__all__ = ["RegisteredModel", "find_champion", "load_alias", "load_for_scoring", "register_model"]

_DIGEST_TAG: Final = "card_sha256"


@dataclass(frozen=True)
class RegisteredModel:
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

    model: Propensity | CalibratedRanking
    version: str
    card: Mapping[str, Any]
    churn: Propensity | None = None
    promotion: Mapping[str, Any] | None = None

    @property
    def display_name(self) -> str:
        """Name it as the CRM's ``model`` field does."""
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
    """Log a run, keep the model, and let it wait as the challenger.

    A version is made only once all its files are kept and found whole, and the challenger's alias
    moves last: what fails on the way leaves a run marked as failed, and the registry as it was.

    Parameters
    ----------
    model : Propensity
        The fitted, calibrated model.
    settings : data.config.settings.Settings
        Where the registry is.
    metadata : mapping
        JSON values for the card: data window, figures, verdict.
    record : training.registry.run_record.RunRecord
        What the run shows: settings, figures, data, plots.
    churn_model : Propensity, optional
        The model of churn that goes with it.
    fallback : Simple, optional
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
        version = _create_version(store, settings.registry.model, run, digest, record.verdict)
        aliases.set_challenger(store.client, settings.registry.model, version)
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"the model could not be registered: {errors.describe_error(error)}. The champion is as it was;"
            " once that is put right, run `expansion train` again."
        ) from error
    return version


def load_alias(settings: Settings, alias: str = CHAMPION) -> RegisteredModel:
    """Load a registered model, after checking that it is whole and fits this catalogue.

    Parameters
    ----------
    settings : data.config.settings.Settings
        Where the registry is.
    alias : str
        ``champion``, ``challenger`` or ``previous``.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached, holds no such model, a file of it is missing or altered,
        or its features are not those that this version computes.
    """
    store, name = connect_store(settings), settings.registry.model
    with _translate_registry_errors():
        current = aliases.read_aliases(store.client, name)
    version = getattr(current, alias)
    if version is None:
        challenger_waits = alias == CHAMPION and current.challenger is not None
        next_step = (
            f"version {current.challenger} waits as the challenger, see `expansion promote`."
            if challenger_waits
            else "run `expansion train` first."
        )
        raise ModelError(f"no {alias} model is registered as {name!r}; {next_step}")
    with _translate_registry_errors():
        model_version = store.client.get_model_version(name, version)
        promotions = aliases.read_promotion_history(store.client, name, version)
    display_name = f"model version {version}"
    try:
        with store.open_model_artifacts(str(model_version.run_id)) as folder:
            model, card = serialization.load_model(
                folder, model_version.tags.get(_DIGEST_TAG), display_name=display_name
            )
            churn = serialization.load_churn_model(folder, card, display_name=display_name)
    except (MlflowException, OSError) as error:
        raise serialization.build_tampered_error(
            display_name, errors.describe_error(error)
        ) from None
    return RegisteredModel(model, version, card, churn, promotions[-1] if promotions else None)


def find_champion(settings: Settings) -> Champion | None:
    """Say which version is champion, with its card; None where none is.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached. A champion that cannot be read is no error: it is given
        with the reason.
    """
    store, name = connect_store(settings), settings.registry.model
    with _translate_registry_errors():
        version = aliases.read_aliases(store.client, name).champion
    if version is None:
        return None
    try:
        return Champion(version, load_alias(settings).card)
    except ModelError as error:
        return Champion(version, None, str(error))


def load_for_scoring(settings: Settings) -> RegisteredModel | None:
    """Load what the weekly list is made by.

    Returns
    -------
    RegisteredModel or None
        The champion; while there is none, the best simple ranking as it was kept with the
        challenger; None where no model was ever registered.

    Raises
    ------
    data.errors.ModelError
        As for :func:`load_alias`.
    """
    store, name = connect_store(settings), settings.registry.model
    with _translate_registry_errors():
        current = aliases.read_aliases(store.client, name)
        if current.champion is not None:
            return load_alias(settings)
        if current.challenger is None:
            return None
        model_version = store.client.get_model_version(name, current.challenger)
    return _load_fallback(store, model_version)


def _load_fallback(store: TrackingStore, model_version: ModelVersion) -> RegisteredModel:
    display_name = f"the simple ranking of model version {model_version.version}"
    try:
        with store.open_model_artifacts(str(model_version.run_id)) as folder:
            card, _ = serialization.verify_model_files(
                folder, model_version.tags.get(_DIGEST_TAG), display_name=display_name
            )
            ranking = serialization.load_ranking(card, display_name=display_name)
            churn = serialization.load_churn_model(folder, card, display_name=display_name)
    except (MlflowException, OSError) as error:
        raise serialization.build_tampered_error(
            display_name, errors.describe_error(error)
        ) from None
    return RegisteredModel(ranking, str(model_version.version), card, churn)


def _create_version(store: TrackingStore, name: str, run: Run, digest: str, verdict: str) -> str:
    """Make a version of what a run has kept."""
    client = store.client
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it is there already, or the registry is not
    source = f"{run.info.artifact_uri}/{MODEL_FOLDER}"
    model_version = client.create_model_version(
        name, source, run.info.run_id, tags={_DIGEST_TAG: digest}, description=verdict
    )
    return str(model_version.version)


@contextmanager
def _translate_registry_errors() -> Iterator[None]:
    """Tell in one sentence that the registry failed while it was read."""
    try:
        yield
    except MlflowException as error:
        raise ModelError(
            f"the model registry cannot be read: {errors.describe_error(error)}. Check [registry] in"
            " expansion.toml, and run again."
        ) from error
