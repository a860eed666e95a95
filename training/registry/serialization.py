"""Model serialization: LightGBM text files and a JSON model card, without pickle.

Loading executes no code. The card holds a digest of every booster, and the registry keeps the
card's digest; both are checked before anything is parsed.
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
from features.catalogue import FEATURES_BY_NAME
from training.evaluation.baselines import BASELINES
from training.model.calibration import Calibration
from training.model.horizons import HorizonLink
from training.model.logistic import BaggedLogistic, QuantileNormalizer
from training.model.propensity import INPUTS, Propensity
from training.pipeline.fallback_ranking import CalibratedRanking

__all__ = [
    "CARD",
    "build_tampered_error",
    "load_churn_model",
    "load_model",
    "load_ranking",
    "logistic_from_dict",
    "logistic_to_dict",
    "save_model",
    "verify_model_files",
]

CARD: Final = "card.json"
_FORMAT_VERSION: Final = 5
_CHURN_FOLDER: Final = "churn"
_NORMALIZER_FIELDS: Final = ("quantiles", "mean", "deviation", "missing")
_BOOSTER_FILE: Final = re.compile(r"booster_\d+\.txt")


def save_model(
    model: Propensity,
    folder: Path,
    metadata: Mapping[str, Any],
    churn_model: Propensity | None = None,
    fallback: CalibratedRanking | None = None,
) -> str:
    """Save a model to an empty folder, with its churn model in a sub-folder.

    ``metadata`` are JSON values for the card: data window, metrics, verdict. The fallback ranking
    is stored on the card too. Returns the card's digest, to be stored elsewhere and passed to
    :func:`load_model`.
    """
    digests = {}
    for number, booster in enumerate(model.boosters):
        text = booster.model_to_string()
        (folder / f"booster_{number}.txt").write_text(text, encoding="utf-8")
        digests[f"booster_{number}.txt"] = _compute_digest(text)
    churn_digest = None
    if churn_model is not None:
        (folder / _CHURN_FOLDER).mkdir()
        churn_digest = save_model(churn_model, folder / _CHURN_FOLDER, {})
    card = {
        "format": _FORMAT_VERSION,
        "lightgbm": lgb.__version__,
        "features": {name: FEATURES_BY_NAME[name].unit for name in model.inputs},
        **_horizons_to_dict(model.horizon_link),
        "residual_logit_sd": model.residual_logit_sd,
        "blend_weight": model.blend_weight,
        "mean_correction": model.correction,
        "logistic": logistic_to_dict(model.logistic),
        "calibration": asdict(model.calibration),
        "boosters": digests,
        "churn": churn_digest,
        "fallback": None if fallback is None else _ranking_to_dict(fallback),
        **metadata,
    }
    text = json.dumps(card, indent=2)
    (folder / CARD).write_text(text, encoding="utf-8")
    return _compute_digest(text)


def load_model(
    folder: Path, digest: str | None, *, display_name: str = "the model"
) -> tuple[Propensity, dict[str, Any]]:
    """Load a model, identical bit for bit, and its card after checking integrity and features.

    ``digest`` is the card's expected digest, None never matches; ``display_name`` names the model
    in messages, such as "model version 3".

    Raises
    ------
    data.errors.ModelError
        If a file is missing, altered or foreign, or the model's features differ from the catalogue.
    """
    card, texts = verify_model_files(folder, digest, display_name=display_name)
    _check_features(card["features"], display_name)
    model = Propensity(
        boosters=tuple(lgb.Booster(model_str=text) for text in texts),
        logistic=logistic_from_dict(card["logistic"]),
        inputs=tuple(card["features"]),
        horizon_link=_horizons_from_dict(card),
        residual_logit_sd=card["residual_logit_sd"],
        blend_weight=card["blend_weight"],
        correction=card["mean_correction"],
        calibration=Calibration(**card["calibration"]),
    )
    return model, card


def load_churn_model(
    folder: Path, card: Mapping[str, Any], *, display_name: str = "the model"
) -> Propensity | None:
    """Load the churn model saved with a model, if any; errors as for :func:`load_model`."""
    if card["churn"] is None:
        return None
    return load_model(
        folder / _CHURN_FOLDER, card["churn"], display_name=f"the churn model of {display_name}"
    )[0]


def load_ranking(
    card: Mapping[str, Any], *, display_name: str = "the fallback ranking"
) -> CalibratedRanking:
    """Load the fallback ranking from a card that :func:`verify_model_files` returned.

    Raises
    ------
    data.errors.ModelError
        If there is none, or it is a ranking that this version does not have.
    """
    fields = card["fallback"]
    if fields is None or fields["ranking"] not in BASELINES:
        problem = (
            "is missing" if fields is None else f"uses the unknown ranking {fields['ranking']!r}"
        )
        raise ModelError(f"{display_name} {problem}; run `expansion train` again.")
    return CalibratedRanking(
        ranking=fields["ranking"],
        residual_logit_sd=fields["residual_logit_sd"],
        logistic=logistic_from_dict(fields["logistic"]),
        horizon_link=_horizons_from_dict(fields),
        calibration=Calibration(**fields["calibration"]),
        bands=tuple(fields["bands"]),
    )


def _ranking_to_dict(ranking: CalibratedRanking) -> dict[str, Any]:
    return {
        "ranking": ranking.ranking,
        "logistic": logistic_to_dict(ranking.logistic),
        **_horizons_to_dict(ranking.horizon_link),
        "residual_logit_sd": ranking.residual_logit_sd,
        "calibration": asdict(ranking.calibration),
        "bands": ranking.bands,
    }


def logistic_to_dict(model: BaggedLogistic) -> dict[str, Any]:
    """Return the logistic regressions as JSON values."""
    normalizer = {name: getattr(model.normalizer, name).tolist() for name in _NORMALIZER_FIELDS}
    return {
        "normalizer": normalizer,
        "coefficients": model.coefficients.tolist(),
        "intercepts": model.intercepts.tolist(),
    }


def logistic_from_dict(fields: Mapping[str, Any]) -> BaggedLogistic:
    """Return the logistic regressions from JSON values."""
    normalizer = {name: np.array(fields["normalizer"][name]) for name in _NORMALIZER_FIELDS}
    return BaggedLogistic(
        normalizer=QuantileNormalizer(**normalizer),
        coefficients=np.array(fields["coefficients"]),
        intercepts=np.array(fields["intercepts"]),
    )


def _horizons_to_dict(horizons: HorizonLink) -> dict[str, Any]:
    return {
        "horizon_days": horizons.horizon_days,
        "horizons_days": horizons.days,
        "coefficients": list(horizons.coefficients.values()),
    }


def _horizons_from_dict(fields: Mapping[str, Any]) -> HorizonLink:
    coefficients = map(tuple, fields["coefficients"])
    return HorizonLink(
        fields["horizon_days"], dict(zip(fields["horizons_days"], coefficients, strict=True))
    )


def verify_model_files(
    folder: Path, digest: str | None, *, display_name: str = "the model"
) -> tuple[dict[str, Any], list[str]]:
    """Verify that a folder holds exactly the files that were saved, without parsing a booster.

    LightGBM's parser trusts its input, so no unverified text may reach it. Returns the card and the
    texts of its boosters, in order; arguments as for :func:`load_model`.

    Raises
    ------
    data.errors.ModelError
        If a file is missing, altered or foreign.
    """
    card = json.loads(_read_verified(folder / CARD, digest, display_name))
    if card["format"] != _FORMAT_VERSION:
        raise ModelError(
            f"{display_name} has format {card['format']}; this version reads format"
            f" {_FORMAT_VERSION}; run `expansion train` again."
        )
    _reject_foreign_files(
        folder, card["boosters"], display_name, has_churn=card["churn"] is not None
    )
    if card["churn"] is not None:
        verify_model_files(
            folder / _CHURN_FOLDER, card["churn"], display_name=f"the churn model of {display_name}"
        )
    return card, [
        _read_verified(folder / name, booster_digest, display_name)
        for name, booster_digest in card["boosters"].items()
    ]


def build_tampered_error(display_name: str, reason: str) -> ModelError:
    """Return the error for a model whose files differ from what was saved."""
    return ModelError(
        f"{display_name} is incomplete or was altered in the store ({reason}); run"
        " `expansion train` again, or restore its artifacts."
    )


def _read_verified(file: Path, digest: str | None, display_name: str) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise build_tampered_error(display_name, f"{file.name} is missing or damaged") from None
    if _compute_digest(text) != digest:
        raise build_tampered_error(display_name, f"{file.name} does not match its digest")
    return text


def _compute_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _reject_foreign_files(
    folder: Path, boosters: Mapping[str, str], display_name: str, *, has_churn: bool
) -> None:
    """Reject booster names outside the folder, and files that the card does not list."""
    invalid_names = sorted(name for name in boosters if not _BOOSTER_FILE.fullmatch(name))
    if invalid_names:
        raise build_tampered_error(
            display_name, f"its card lists {invalid_names[0]!r}, which is not a booster file"
        )
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    # The churn model's folder is verified with that model.
    model_files = {
        file.as_posix() for file in files if not has_churn or file.parts[0] != _CHURN_FOLDER
    }
    foreign = sorted(model_files - {CARD, *boosters})
    if foreign:
        raise build_tampered_error(display_name, f"{foreign[0]} is not listed on its card")


def _check_features(features: Mapping[str, str], display_name: str) -> None:
    current = {name: FEATURES_BY_NAME[name].unit for name in INPUTS}
    differing = sorted({name for name, _ in features.items() ^ current.items()})
    if differing:
        raise ModelError(
            f"the features of {display_name} differ from the catalogue"
            f" ({', '.join(differing[:3])}{', …' if len(differing) > 3 else ''}); run"
            " `expansion train` again."
        )
