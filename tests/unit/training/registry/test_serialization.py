"""A model folder that was altered is rejected before anything is parsed."""

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


class PickleTrap:
    """Creates a file when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model_folder = tmp_path / "model"
    model_folder.mkdir()
    return model_folder


def alter_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Alter the card and return the digest an attacker would store in the registry."""
    card = json.loads((folder / "card.json").read_text())
    change(card)
    text = json.dumps(card)
    (folder / "card.json").write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_churn_model_is_saved_and_loaded(fitted: Propensity, folder: Path) -> None:
    churn_model = replace(fitted, blend_weight=0.75)
    digest = serialization.save_model(fitted, folder, {}, churn_model)

    model, card = serialization.load_model(folder, digest)
    loaded_churn = serialization.load_churn_model(folder, card)

    assert model.blend_weight == fitted.blend_weight
    assert loaded_churn is not None
    assert loaded_churn.blend_weight == 0.75
    assert [b.model_to_string() for b in loaded_churn.boosters] == [
        b.model_to_string() for b in churn_model.boosters
    ]


def test_a_churn_folder_missing_from_the_card_is_rejected(fitted: Propensity, folder: Path) -> None:
    digest = serialization.save_model(fitted, folder, {})
    (folder / "churn").mkdir()
    (folder / "churn" / "card.json").write_text("{}")

    with pytest.raises(ModelError, match=r"churn/card\.json is not listed on its card"):
        serialization.load_model(folder, digest)


def test_the_same_model_has_the_same_digest(fitted: Propensity, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()

    first, second = (serialization.save_model(fitted, folder, {}) for folder in folders)

    assert first == second


def test_a_card_without_a_digest_is_rejected(fitted: Propensity, folder: Path) -> None:
    serialization.save_model(fitted, folder, {})

    with pytest.raises(ModelError, match=r"card\.json does not match its digest"):
        serialization.load_model(folder, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("python_model.pkl", r"python_model\.pkl is not listed on its card"),
        ("booster_0.txt", r"booster_0\.txt (is missing|does not match)"),
    ],
)
def test_a_pickle_is_rejected_unopened(
    name: str, message: str, fitted: Propensity, folder: Path
) -> None:
    digest = serialization.save_model(fitted, folder, {})
    (folder / name).write_bytes(pickle.dumps(PickleTrap(folder.parent / "executed")))

    with pytest.raises(ModelError, match=message):
        serialization.load_model(folder, digest)

    assert not (folder.parent / "executed").exists()


@pytest.mark.parametrize("name", ["../booster_0.txt", "/etc/passwd", "sub/booster_0.txt", "x.pkl"])
def test_a_card_that_points_outside_the_folder_is_rejected(
    name: str, fitted: Propensity, folder: Path
) -> None:
    serialization.save_model(fitted, folder, {})
    digest = alter_card(folder, lambda card: card["boosters"].update({name: "0" * 64}))

    with pytest.raises(ModelError, match=f"its card lists '{name}', which is not a booster file"):
        serialization.load_model(folder, digest)


def test_a_model_of_another_format_is_rejected(fitted: Propensity, folder: Path) -> None:
    serialization.save_model(fitted, folder, {})
    digest = alter_card(folder, lambda card: card.update(format=0))

    with pytest.raises(ModelError, match=r"has format 0; this version reads format \d"):
        serialization.load_model(folder, digest)
