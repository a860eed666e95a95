"""A model as files: LightGBM's own text format, and a JSON card that says what it is.

Nothing is pickled, so reading executes no code. The card holds a digest of every booster, whoever
keeps the folder keeps the card's, and both are checked before anything is parsed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np

from data.errors import ModelError
from features.catalogue import by_name
from training.baselines import RANKINGS
from training.calibration import Calibration
from training.horizons import Horizons
from training.linear import Linear, Scale
from training.model import INPUTS, Propensity
from training.simple import Simple

__all__ = ["CARD", "altered", "check", "read", "read_churn", "read_simple", "write"]

CARD: Final = "card.json"
_FORMAT: Final = 5
_CHURN: Final = "churn"
_SCALE: Final = ("quantiles", "mean", "deviation", "missing")
_BOOSTER: Final = re.compile(r"booster_\d+\.txt")


def write(
    model: Propensity,
    folder: Path,
    about: Mapping[str, Any],
    churn: Propensity | None = None,
    simple: Simple | None = None,
) -> str:
    """Write a model into an empty folder.

    Parameters
    ----------
    model : Propensity
        The fitted, calibrated model.
    folder : pathlib.Path
        Where its files go.
    about : mapping
        JSON values for the card: data window, figures, verdict.
    churn : Propensity, optional
        The model of churn, written into a folder of its own.
    simple : Simple, optional
        The best simple ranking; it is on the card.

    Returns
    -------
    str
        The card's digest, to be kept elsewhere and given to :func:`read`.
    """
    digests = {}
    for number, booster in enumerate(model.boosters):
        text = booster.model_to_string()
        (folder / f"booster_{number}.txt").write_text(text, encoding="utf-8")
        digests[f"booster_{number}.txt"] = _digest(text)
    if churn is not None:
        (folder / _CHURN).mkdir()
    card = {
        "format": _FORMAT,
        "lightgbm": lgb.__version__,
        "features": {name: by_name[name].unit for name in model.inputs},
        **_told_horizons(model.horizons),
        "unseen_spread": model.unseen_spread,
        "linear_share": model.linear_share,
        "correction": model.correction,
        "linear": _told(model.linear),
        "calibration": asdict(model.calibration),
        "boosters": digests,
        "churn": None if churn is None else write(churn, folder / _CHURN, {}),
        "simple": None if simple is None else _told_simple(simple),
        **about,
    }
    text = json.dumps(card, indent=2)
    (folder / CARD).write_text(text, encoding="utf-8")
    return _digest(text)


def read(
    folder: Path, digest: str | None, *, called: str = "the model"
) -> tuple[Propensity, dict[str, Any]]:
    """Read a model back, after checking that it is whole and fits this catalogue.

    Parameters
    ----------
    folder : pathlib.Path
        As :func:`write` left it.
    digest : str or None
        The card's digest; None, where nobody kept it, is never matched.
    called : str
        What messages call the model, such as "model version 3".

    Returns
    -------
    model : Propensity
        The same to the bit.
    card : dict
        Everything that was written about it.

    Raises
    ------
    data.errors.ModelError
        If a file is missing, altered or not the model's own, or its features are not those that
        this version computes.
    """
    card, texts = check(folder, digest, called=called)
    _refuse_other_features(card["features"], called)
    model = Propensity(
        boosters=tuple(lgb.Booster(model_str=text) for text in texts),
        linear=_linear(card["linear"]),
        inputs=tuple(card["features"]),
        horizons=_horizons(card),
        unseen_spread=card["unseen_spread"],
        linear_share=card["linear_share"],
        correction=card["correction"],
        calibration=Calibration(**card["calibration"]),
    )
    return model, card


def read_churn(
    folder: Path, card: Mapping[str, Any], *, called: str = "the model"
) -> Propensity | None:
    """Read the model of churn that lies beside a model, if there is one.

    Parameters
    ----------
    folder : pathlib.Path
        Of the model.
    card : mapping
        Its card, as :func:`read` gave it: it vouches for the churn model's.
    called : str
        What messages call the model.

    Raises
    ------
    data.errors.ModelError
        As for :func:`read`.
    """
    if card["churn"] is None:
        return None
    return read(folder / _CHURN, card["churn"], called=f"the churn model of {called}")[0]


def read_simple(card: Mapping[str, Any], *, called: str = "the simple ranking") -> Simple:
    """Read the simple ranking that stands on a card.

    Parameters
    ----------
    card : mapping
        As :func:`check` gave it.
    called : str
        What messages call it.

    Raises
    ------
    data.errors.ModelError
        If there is none, or it ranks by what this version does not know.
    """
    told = card["simple"]
    if told is None or told["ranking"] not in RANKINGS:
        found = "is not there" if told is None else f"ranks by {told['ranking']!r}, now unknown"
        raise ModelError(f"{called} {found}; run `expansion train` again.")
    return Simple(
        **{name: told[name] for name in ("ranking", "unseen_spread")},
        linear=_linear(told["linear"]),
        horizons=_horizons(told),
        calibration=Calibration(**told["calibration"]),
        bands=tuple(told["bands"]),
    )


def _told_simple(ranking: Simple) -> dict[str, Any]:
    return {
        "ranking": ranking.ranking,
        "linear": _told(ranking.linear),
        **_told_horizons(ranking.horizons),
        "unseen_spread": ranking.unseen_spread,
        "calibration": asdict(ranking.calibration),
        "bands": ranking.bands,
    }


def _told(model: Linear) -> dict[str, Any]:
    """The regressions as JSON values."""
    scale = {name: getattr(model.scale, name).tolist() for name in _SCALE}
    return {
        "scale": scale,
        "weights": model.weights.tolist(),
        "intercepts": model.intercepts.tolist(),
    }


def _linear(told: Mapping[str, Any]) -> Linear:
    scale = {name: np.array(told["scale"][name]) for name in _SCALE}
    return Linear(
        scale=Scale(**scale),
        weights=np.array(told["weights"]),
        intercepts=np.array(told["intercepts"]),
    )


def _told_horizons(horizons: Horizons) -> dict[str, Any]:
    return {
        "horizon_days": horizons.horizon_days,
        "horizons_days": horizons.days,
        "shifts": list(horizons.shifts.values()),
    }


def _horizons(told: Mapping[str, Any]) -> Horizons:
    shifts = {
        days: (offset, slope)
        for days, (offset, slope) in zip(told["horizons_days"], told["shifts"], strict=True)
    }
    return Horizons(told["horizon_days"], shifts)


def check(
    folder: Path, digest: str | None, *, called: str = "the model"
) -> tuple[dict[str, Any], list[str]]:
    """Check that a folder is exactly what was written, without parsing any of its boosters.

    LightGBM's parser trusts its input: nothing unverified may reach it.

    Parameters
    ----------
    folder, digest, called
        As for :func:`read`.

    Returns
    -------
    card : dict
        Everything that was written about the model.
    texts : list of str
        Its boosters, in order.

    Raises
    ------
    data.errors.ModelError
        If a file is missing, altered or not the model's own.
    """
    card = json.loads(_verified(folder / CARD, digest, called))
    if card["format"] != _FORMAT:
        raise ModelError(
            f"{called} was written in format {card['format']}, and this version reads {_FORMAT};"
            " run `expansion train` again."
        )
    _refuse_strangers(folder, card["boosters"], called, has_churn=card["churn"] is not None)
    if card["churn"] is not None:
        check(folder / _CHURN, card["churn"], called=f"the churn model of {called}")
    return card, [_verified(folder / name, d, called) for name, d in card["boosters"].items()]


def altered(called: str, why: str) -> ModelError:
    """Say that a model is not what was written, and what to do."""
    return ModelError(
        f"{called} is incomplete or was altered in the store ({why}); run `expansion train` again,"
        " or restore its artifacts."
    )


def _verified(file: Path, digest: str | None, called: str) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise altered(called, f"{file.name} is missing or damaged") from None
    if _digest(text) != digest:
        raise altered(called, f"{file.name} does not match its digest")
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_strangers(
    folder: Path, boosters: Mapping[str, str], called: str, *, has_churn: bool
) -> None:
    """Refuse names that lead out of the folder, and files that nothing vouches for."""
    outside = sorted(name for name in boosters if not _BOOSTER.fullmatch(name))
    if outside:
        raise altered(called, f"its card names {outside[0]!r}, which is no booster")
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    # The churn model's folder is checked when that is read, by the same rule.
    mine = {file.as_posix() for file in files if not has_churn or file.parts[0] != _CHURN}
    foreign = sorted(mine - {CARD, *boosters})
    if foreign:
        raise altered(called, f"{foreign[0]} does not belong to it")


def _refuse_other_features(features: Mapping[str, str], called: str) -> None:
    present = {name: by_name[name].unit for name in INPUTS}
    differing = sorted({name for name, _ in features.items() ^ present.items()})
    if differing:
        raise ModelError(
            f"{called} was trained on other features than this catalogue has"
            f" ({', '.join(differing[:3])}{', …' if len(differing) > 3 else ''} differ); run"
            " `expansion train` again."
        )
