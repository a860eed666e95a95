"""A folder that is not exactly what was written is refused before anything of it is parsed."""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.errors import ModelError
from training.model.propensity import Propensity
from training.registry import serialization


class Trap:
    """Unpickling it would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    return made


def reworded(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Alter the card, and give the digest that whoever altered it would put in the registry."""
    card = json.loads((folder / "card.json").read_text())
    change(card)
    text = json.dumps(card)
    (folder / "card.json").write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_is_read_is_what_was_written(fitted: Propensity, folder: Path) -> None:
    digest = serialization.save_model(fitted, folder, {"verdict": "Judged well."})

    model, card = serialization.load_model(folder, digest)

    assert repr(model) == repr(fitted)
    assert card["verdict"] == "Judged well."


def test_the_model_of_churn_is_read_back_from_beside_the_model(
    fitted: Propensity, folder: Path
) -> None:
    churn = replace(fitted, linear_share=0.75)
    digest = serialization.save_model(fitted, folder, {}, churn)

    model, card = serialization.load_model(folder, digest)
    again = serialization.load_churn_model(folder, card)

    assert model.blend_weight == fitted.blend_weight
    assert again is not None
    assert again.blend_weight == 0.75
    assert [b.model_to_string() for b in again.boosters] == [
        b.model_to_string() for b in churn.boosters
    ]


def test_a_folder_of_churn_that_the_card_does_not_name_is_refused(
    fitted: Propensity, folder: Path
) -> None:
    digest = serialization.save_model(fitted, folder, {})
    (folder / "churn").mkdir()
    (folder / "churn" / "card.json").write_text("{}")

    with pytest.raises(ModelError, match=r"churn/card\.json does not belong to it"):
        serialization.load_model(folder, digest)


def test_the_same_model_has_the_same_digest(fitted: Propensity, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()

    one, other = (serialization.save_model(fitted, folder, {}) for folder in folders)

    assert one == other


def test_without_a_digest_nothing_is_read(fitted: Propensity, folder: Path) -> None:
    serialization.save_model(fitted, folder, {})

    with pytest.raises(ModelError, match=r"card\.json does not match its digest"):
        serialization.load_model(folder, None)


def test_a_pickle_beside_the_model_is_refused_and_never_opened(
    fitted: Propensity, folder: Path
) -> None:
    digest = serialization.save_model(fitted, folder, {})
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Trap(folder.parent / "executed")))

    with pytest.raises(ModelError, match=r"python_model\.pkl does not belong to it"):
        serialization.load_model(folder, digest)

    assert not (folder.parent / "executed").exists()


def test_a_booster_that_is_a_pickle_is_refused_and_never_opened(
    fitted: Propensity, folder: Path
) -> None:
    digest = serialization.save_model(fitted, folder, {})
    (folder / "booster_0.txt").write_bytes(pickle.dumps(Trap(folder.parent / "executed")))

    with pytest.raises(ModelError, match=r"booster_0\.txt (is missing|does not match)"):
        serialization.load_model(folder, digest)

    assert not (folder.parent / "executed").exists()


@pytest.mark.parametrize("name", ["../booster_0.txt", "/etc/passwd", "sub/booster_0.txt", "x.pkl"])
def test_a_card_that_points_elsewhere_is_refused(
    name: str, fitted: Propensity, folder: Path
) -> None:
    serialization.save_model(fitted, folder, {})
    digest = reworded(folder, lambda card: card["boosters"].update({name: "0" * 64}))

    with pytest.raises(ModelError, match=f"its card names '{name}', which is no booster"):
        serialization.load_model(folder, digest)


def test_a_model_of_another_format_is_refused(fitted: Propensity, folder: Path) -> None:
    serialization.save_model(fitted, folder, {})
    digest = reworded(folder, lambda card: card.update(format=0))

    with pytest.raises(ModelError, match=r"written in format 0, and this version reads \d"):
        serialization.load_model(folder, digest)
