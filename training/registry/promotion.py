"""Who becomes champion: the challenger if the gate let it pass, or on someone's word; and back."""

import getpass
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.exceptions import MlflowException

from data.errors import ModelError
from data.settings import Settings
from training import faults
from training.registry import aliases, kept
from training.registry.aliases import CHALLENGER, PREVIOUS, Aliases
from training.registry.store import connect

__all__ = ["Promotion", "parts", "promote", "rollback"]


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

    def told(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return asdict(self)


def parts(settings: Settings) -> Aliases:
    """Say which version is champion, which challenges it, and which was before it.

    Raises
    ------
    data.errors.ModelError
        If the registry cannot be reached.
    """
    try:
        return aliases.of(connect(settings).client, settings.registry.model)
    except MlflowException as error:
        raise ModelError(f"the model registry cannot be read: {faults.told(error)}.") from error


def promote(settings: Settings, *, force: str | None = None) -> Promotion:
    """Make the challenger the champion, if the gate let it pass.

    Parameters
    ----------
    settings : data.settings.Settings
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
    found = parts(settings)
    if found.challenger is None:
        standing = "" if found.champion is None else f"; version {found.champion} is champion"
        raise ModelError(
            f"there is no challenger to promote{standing}. Train one with `expansion train`."
        )
    challenger = kept.load(settings, CHALLENGER)
    refusal = _refusal(challenger, found)
    if refusal is not None and force is None:
        raise ModelError(
            f"version {found.challenger} is not promoted: {refusal} Promote it all the same with"
            " --force 'REASON'."
        )
    ruling = challenger.card.get("gate", {}).get("sentence", "")
    reason = ruling if force is None else force.strip()
    return _install(settings, found.challenger, found, reason, forced=refusal is not None)


def rollback(settings: Settings) -> Promotion:
    """Make the champion of before the champion again; done twice, nothing has changed.

    Raises
    ------
    data.errors.ModelError
        If there was none before, or it is not whole or does not fit this catalogue any more.
    """
    found = parts(settings)
    if found.previous is None:
        raise ModelError(
            "no champion was there before, so there is nothing to go back to"
            f" ({_standing(found)}). See what was trained in MLflow."
        )
    kept.load(settings, PREVIOUS)
    reason = f"rolled back from version {found.champion}"
    return _install(settings, found.previous, found, reason, forced=False)


def _refusal(challenger: kept.Registered, found: Aliases) -> str | None:
    """Why a challenger may not pass without force, as a sentence."""
    ruling = challenger.card.get("gate")
    if ruling is None:
        return "The gate has not judged it."
    if not ruling["passes"]:
        return str(ruling["sentence"])
    if ruling["champion"] != found.champion:
        beside = ruling["champion"]
        return (
            f"The gate judged it beside {'no champion' if beside is None else f'version {beside}'},"
            f" and {_standing(found)}; train again."
        )
    return None


def _standing(found: Aliases) -> str:
    return "there is no champion" if found.champion is None else f"champion is {found.champion}"


def _install(
    settings: Settings, version: str, found: Aliases, reason: str, *, forced: bool
) -> Promotion:
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    made = Promotion(version, found.champion, at, _user(), reason, forced)
    try:
        client = connect(settings).client
        aliases.install(client, settings.registry.model, version, note=made.told())
    except MlflowException as error:
        raise ModelError(
            f"version {version} could not be made champion: {faults.told(error)}. Run the command"
            " again; a list made meanwhile is by the champion of before, or already by this one."
        ) from error
    return made


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container need not know its own user
        return "unknown"
