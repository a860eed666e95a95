"""Promotion of the challenger to champion, guarded by the gate, and rollback."""

import getpass
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from mlflow.exceptions import MlflowException

from data.config.settings import Settings
from data.errors import ModelError
from training.registry import aliases, model_store
from training.registry.aliases import CHALLENGER, PREVIOUS, ModelAliases
from training.registry.store import connect_store, describe_error

__all__ = ["Promotion", "get_aliases", "promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """A change of champion.

    Attributes
    ----------
    version, previous : str
        The new champion; the champion before, None without one.
    promoted_at, promoted_by : str
        Time, UTC, and user of the machine.
    reason : str
        The gate's summary, or the given reason.
    forced : bool
        Whether the gate had refused it.
    """

    version: str
    previous: str | None
    promoted_at: str
    promoted_by: str
    reason: str
    forced: bool


def get_aliases(settings: Settings) -> ModelAliases:
    """Return the versions that are champion, challenger and previous champion.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached.
    """
    try:
        return aliases.read_aliases(connect_store(settings))
    except MlflowException as error:
        raise ModelError(f"the model registry cannot be read: {describe_error(error)}.") from error


def promote(settings: Settings, *, force: str | None = None) -> Promotion:
    """Promote the challenger to champion if the gate passed it.

    ``force`` is a reason for promoting it regardless of the gate. Returns the note that is stored
    with the version.

    Raises
    ------
    data.errors.ModelError
        If there is no challenger, its files are not intact, the gate refused it or compared it with
        another champion, or the reason is blank.
    """
    if force is not None and not force.strip():
        raise ModelError(
            "promoting a model against the gate requires a reason, and it was blank; use"
            " --force 'REASON'."
        )
    current = get_aliases(settings)
    if current.challenger is None:
        champion = "" if current.champion is None else f"; {_describe_champion(current)}"
        raise ModelError(
            f"there is no challenger to promote{champion}. Train one with `expansion train`."
        )
    challenger = model_store.load_alias(settings, CHALLENGER)
    refusal = _find_refusal_reason(challenger, current)
    if refusal is not None and force is None:
        raise ModelError(
            f"version {current.challenger} is not promoted:"
            f" {refusal.removeprefix('Not promoted: ')} To promote it anyway use --force 'REASON'."
        )
    gate_reason = challenger.card.get("gate", {}).get("summary", "")
    reason = gate_reason if force is None else force.strip()
    return _install_champion(
        settings, current.challenger, current, reason, forced=refusal is not None
    )


def rollback(settings: Settings) -> Promotion:
    """Restore the previous champion; two rollbacks cancel out.

    Raises
    ------
    data.errors.ModelError
        If there is no previous champion, its files are not intact, or its features differ from the
        catalogue.
    """
    current = get_aliases(settings)
    if current.previous is None:
        raise ModelError(
            "there is no previous champion to roll back to"
            f" ({_describe_champion(current)}). MLflow lists all trained models."
        )
    model_store.load_alias(settings, PREVIOUS)
    reason = f"rolled back from version {current.champion}"
    return _install_champion(settings, current.previous, current, reason, forced=False)


def _find_refusal_reason(
    challenger: model_store.RegisteredModel, current: ModelAliases
) -> str | None:
    """Return the reason a challenger needs ``--force``, or None."""
    decision = challenger.card.get("gate")
    if decision is None:
        return "The gate has not evaluated it."
    if not decision["passes"]:
        return str(decision["summary"])
    if decision["champion"] != current.champion:
        version = decision["champion"]
        compared = "no champion" if version is None else f"version {version}"
        return (
            f"The gate compared it with {compared}, but {_describe_champion(current)}; run"
            " `expansion train` again."
        )
    return None


def _describe_champion(current: ModelAliases) -> str:
    if current.champion is None:
        return "there is no champion"
    return f"version {current.champion} is champion"


def _install_champion(
    settings: Settings, version: str, current: ModelAliases, reason: str, *, forced: bool
) -> Promotion:
    promoted_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    promotion = Promotion(
        version, current.champion, promoted_at, _get_current_user(), reason, forced
    )
    try:
        aliases.set_champion(connect_store(settings), version, note=asdict(promotion))
    except MlflowException as error:
        raise ModelError(
            f"version {version} could not be made champion: {describe_error(error)}. Run"
            " the command again; until then lists use either the previous or the new champion."
        ) from error
    return promotion


def _get_current_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user may be undefined in a container
        return "unknown"
