"""Who becomes champion: the challenger if the gate let it pass, or on someone's word; and back."""

import getpass
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.exceptions import MlflowException

from data.config.settings import Settings
from data.errors import ModelError
from training.registry import aliases, errors, model_store
from training.registry.aliases import CHALLENGER, PREVIOUS, ModelAliases
from training.registry.store import connect_store

__all__ = ["Promotion", "get_aliases", "promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """A change of champion.

    Attributes
    ----------
    version : str
        The champion now.
    previous : str or None
        The champion before.
    at, by : str
        When, UTC, and by which user of the machine.
    reason : str
        Why: the gate's sentence, or what was given.
    forced : bool
        Whether the gate had refused it.
    """

    version: str
    previous: str | None
    at: str
    by: str
    reason: str
    forced: bool

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return asdict(self)


def get_aliases(settings: Settings) -> ModelAliases:
    """Say which version is champion, which challenges it, and which was before it.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached.
    """
    try:
        return aliases.read_aliases(connect_store(settings).client, settings.registry.model)
    except MlflowException as error:
        raise ModelError(
            f"the model registry cannot be read: {errors.describe_error(error)}."
        ) from error


def promote(settings: Settings, *, force: str | None = None) -> Promotion:
    """Make the challenger the champion, if the gate let it pass.

    Parameters
    ----------
    settings : data.config.settings.Settings
        Where the registry is.
    force : str, optional
        The reason to promote it whatever the gate said.

    Returns
    -------
    Promotion
        What is kept with the version.

    Raises
    ------
    data.errors.ModelError
        If there is no challenger, it is not whole, the gate refused it or judged it beside
        another champion, or the reason is blank.
    """
    if force is not None and not force.strip():
        raise ModelError(
            "a model is promoted against the gate for a reason only, and none was given; say it:"
            " --force 'REASON'."
        )
    current = get_aliases(settings)
    if current.challenger is None:
        champion_note = (
            "" if current.champion is None else f"; version {current.champion} is champion"
        )
        raise ModelError(
            f"there is no challenger to promote{champion_note}. Train one with `expansion train`."
        )
    challenger = model_store.load_alias(settings, CHALLENGER)
    refusal = _find_refusal_reason(challenger, current)
    if refusal is not None and force is None:
        raise ModelError(
            f"version {current.challenger} is not promoted: {refusal} Promote it all the same with"
            " --force 'REASON'."
        )
    gate_reason = challenger.card.get("gate", {}).get("sentence", "")
    reason = gate_reason if force is None else force.strip()
    return _install_champion(
        settings, current.challenger, current, reason, forced=refusal is not None
    )


def rollback(settings: Settings) -> Promotion:
    """Make the champion of before the champion again; done twice, nothing has changed.

    Raises
    ------
    data.errors.ModelError
        If there was none before, or it is not whole or does not fit this catalogue any more.
    """
    current = get_aliases(settings)
    if current.previous is None:
        raise ModelError(
            "no champion was there before, so there is nothing to go back to"
            f" ({_describe_champion(current)}). See what was trained in MLflow."
        )
    model_store.load_alias(settings, PREVIOUS)
    reason = f"rolled back from version {current.champion}"
    return _install_champion(settings, current.previous, current, reason, forced=False)


def _find_refusal_reason(
    challenger: model_store.RegisteredModel, current: ModelAliases
) -> str | None:
    """Why a challenger may not pass without force, as a sentence."""
    decision = challenger.card.get("gate")
    if decision is None:
        return "The gate has not judged it."
    if not decision["passes"]:
        return str(decision["sentence"])
    if decision["champion"] != current.champion:
        compared_version = decision["champion"]
        return (
            f"The gate judged it beside {'no champion' if compared_version is None else f'version {compared_version}'},"
            f" and {_describe_champion(current)}; train again."
        )
    return None


def _describe_champion(current: ModelAliases) -> str:
    return "there is no champion" if current.champion is None else f"champion is {current.champion}"


def _install_champion(
    settings: Settings, version: str, current: ModelAliases, reason: str, *, forced: bool
) -> Promotion:
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    promotion = Promotion(version, current.champion, at, _current_user(), reason, forced)
    try:
        client = connect_store(settings).client
        aliases.set_champion(client, settings.registry.model, version, note=promotion.to_dict())
    except MlflowException as error:
        raise ModelError(
            f"version {version} could not be made champion: {errors.describe_error(error)}. Run the command"
            " again; a list made meanwhile is by the champion of before, or already by this one."
        ) from error
    return promotion


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container need not know its own user
        return "unknown"
