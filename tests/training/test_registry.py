"""What comes out of the registry is what went in, or a clear refusal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import ModelError
from data.settings import Registry, Settings
from training import model, registry
from training.calibration import Calibration
from training.model import INPUTS, Propensity
from training.record import Record

# MLflow's own way with SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ABOUT = {"verdict": "Judged well.", "as_of": "2025-04-25"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SQLite store for all: its tables take seconds to make."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def store(folder: Path, request: pytest.FixtureRequest) -> Settings:
    """A store that holds no model under this test's name."""
    return Settings(base=folder, state="state", registry=Registry(model=request.node.name))


@pytest.fixture
def calibrated(fitted: Propensity) -> Propensity:
    return fitted.calibrated(Calibration(slope=0.9, intercept=-0.1))


@dataclass(frozen=True)
class Kept:
    """A registered model's version and files."""

    version: str
    folder: Path


@pytest.fixture
def kept(calibrated: Propensity, store: Settings) -> Kept:
    before = set(store.state_folder.rglob("card.json"))
    version = put(calibrated, store)
    (card,) = set(store.state_folder.rglob("card.json")) - before
    return Kept(version, card.parent)


def put(model: Propensity, store: Settings) -> str:
    return registry.register(model, store, about=ABOUT, record=Record("a run", verdict="Good."))


def test_a_model_comes_back_with_the_same_probabilities_bit_by_bit(
    calibrated: Propensity, kept: Kept, store: Settings, history: Any
) -> None:
    found = registry.load(store)

    assert found.version == kept.version
    assert found.card["verdict"] == "Judged well."
    for before, after in zip(
        _told(calibrated, history.snapshots), _told(found.model, history.snapshots), strict=True
    ):
        assert before.tobytes() == after.tobytes()
    assert found.model.calibration == calibrated.calibration


def _told(fitted: Propensity, snapshots: Any) -> list[np.ndarray]:
    estimate = fitted.estimate(snapshots)
    bounds = [estimate.margin, estimate.probability, estimate.low, estimate.high]
    return [*bounds, fitted.curve(snapshots), *fitted.contributions(snapshots)]


def test_without_a_champion_the_way_to_one_is_told(store: Settings) -> None:
    with pytest.raises(ModelError, match="run `expansion train` first"):
        registry.load(store)


def test_a_new_champion_moves_the_last_one_aside(calibrated: Propensity, store: Settings) -> None:
    versions = [put(calibrated, store) for _ in range(3)]

    assert versions == ["1", "2", "3"]
    assert registry.load(store).version == "3"
    assert registry.load(store, "previous").version == "2"


def test_nothing_that_runs_is_kept_of_a_model(kept: Kept, fitted: Propensity) -> None:
    names = {path.name for path in kept.folder.rglob("*")}

    assert names == {"card.json", *(f"booster_{n}.txt" for n in range(len(fitted.boosters)))}


def _tear(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _swap_a_digit(file: Path) -> None:
    text = file.read_text()
    at = text.index("leaf_value=") + len("leaf_value=-0.")
    file.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def _blind(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00" + file.read_bytes())


@pytest.mark.parametrize(
    ("name", "harm", "why"),
    [
        ("booster_1.txt", _swap_a_digit, "booster_1.txt does not match its digest"),
        ("booster_0.txt", _tear, "booster_0.txt does not match its digest"),
        ("booster_2.txt", Path.unlink, "booster_2.txt is missing or damaged"),
        ("booster_2.txt", _blind, "booster_2.txt is missing or damaged"),
        ("card.json", Path.unlink, "card.json is missing or damaged"),
        ("card.json", _tear, "card.json does not match its digest"),
        ("card.json", lambda f: f.write_text("[]"), "card.json does not match its digest"),
        (
            "card.json",
            lambda f: f.write_text(f.read_text().replace('"slope": 0.9', '"slope": 1.9')),
            "card.json does not match its digest",
        ),
    ],
)
def test_a_model_that_is_not_whole_is_refused(
    name: str, harm: Callable[[Path], object], why: str, kept: Kept, store: Settings
) -> None:
    file = kept.folder / name

    harm(file)

    with pytest.raises(ModelError, match=f"altered in the store \\({why}\\)"):
        registry.load(store)


def test_a_model_whose_folder_is_gone_is_refused(kept: Kept, store: Settings) -> None:
    kept.folder.rename(kept.folder.with_name("elsewhere"))

    with pytest.raises(ModelError, match="incomplete or was altered in the store"):
        registry.load(store)


def test_a_model_of_other_features_is_refused_with_their_names(
    store: Settings, history: Any, settings: Settings
) -> None:
    known = history.known()
    fewer = model.fit(
        known.snapshots,
        known.outcomes,
        settings.model.model_copy(update={"rounds": 10, "members": 2}),
        horizon_days=60,
        inputs=INPUTS[1:],
    )
    put(fewer, store)

    with pytest.raises(ModelError, match=rf"other features .* \({INPUTS[0]} differ\); run"):
        registry.load(store)


@pytest.mark.parametrize("uri", ["gopher://somewhere", "mssql://nobody:secret@localhost/x"])
def test_a_registry_out_of_reach_is_told_in_one_line_without_its_password(
    uri: str, tmp_path: Path
) -> None:
    away = Settings(base=tmp_path, registry=Registry(tracking_uri=uri))

    with pytest.raises(ModelError, match="the model registry cannot be reached") as told:
        registry.load(away)

    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)
