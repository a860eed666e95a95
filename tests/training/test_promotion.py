"""Who is champion after a promotion, after going back, and after a kill between any two steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from data.config.settings import RegistryConfig, Settings
from data.errors import ModelError
from training import registry
from training.model.propensity import Propensity
from training.pipeline import fallback_ranking
from training.pipeline.fallback_ranking import CalibratedRanking
from training.registry import ModelAliases, serialization
from training.registry.run_record import RunRecord

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

RECORD = RunRecord("a run", verdict="Judged well.")
PASSES = {"passes": True, "sentence": "Passes the gate: it knows.", "champion": None}
REFUSED = {"passes": False, "sentence": "Not promoted: it knows nothing.", "champion": None}
STEPS = ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SQLite store for all: its tables take seconds to make."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def store(folder: Path, request: pytest.FixtureRequest) -> Settings:
    """A store that holds no model under this test's name."""
    return Settings(base=folder, state="state", registry=RegistryConfig(model=request.node.name))


@pytest.fixture(scope="module")
def fitted(history: Any) -> Propensity:
    """A small one: it is written and read back many times."""
    return history.fit(rounds=10, members=2)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ranking(history: Any, settings: Settings) -> CalibratedRanking:
    return fallback_ranking.train_fallback(
        history.snapshots, history.contracts, settings, end=history.end
    )


def put(model: Propensity, store: Settings, ruling: dict[str, Any] = PASSES, **rest: Any) -> str:
    """Register a model with a ruling made beside the present champion."""
    beside = {"champion": registry.get_aliases(store).champion}
    return registry.register_model(
        model, store, metadata={"gate": ruling | beside}, record=RECORD, **rest
    )


def crown(model: Propensity, store: Settings) -> str:
    version = put(model, store)
    registry.promote(store)
    return version


def test_what_is_registered_waits_until_it_is_promoted(fitted: Propensity, store: Settings) -> None:
    put(fitted, store)

    assert registry.get_aliases(store) == ModelAliases(challenger="1")
    with pytest.raises(ModelError, match="version 1 waits as the challenger, see `expansion pro"):
        registry.load_alias(store)

    made = registry.promote(store)

    assert registry.get_aliases(store) == ModelAliases(champion="1")
    assert (made.version, made.previous, made.forced) == ("1", None, False)
    assert made.reason == "Passes the gate: it knows."
    assert registry.load_alias(store).promotion == made.to_dict()


def test_what_the_gate_refused_needs_a_reason_that_is_kept(
    fitted: Propensity, store: Settings
) -> None:
    put(fitted, store, REFUSED)

    with pytest.raises(ModelError) as told:
        registry.promote(store)
    with pytest.raises(ModelError, match="for a reason only, and none was given"):
        registry.promote(store, force="  ")

    assert str(told.value) == (
        "version 1 is not promoted: Not promoted: it knows nothing. Promote it all the same with"
        " --force 'REASON'."
    )
    assert registry.get_aliases(store) == ModelAliases(challenger="1")
    made = registry.promote(store, force="agreed with sales")
    assert (made.reason, made.forced) == ("agreed with sales", True)
    kept = registry.load_alias(store).promotion
    assert kept is not None
    assert kept["reason"] == "agreed with sales"
    assert kept["forced"] is True
    assert kept["at"].endswith(" UTC")
    assert kept["by"]


def test_without_a_challenger_there_is_nothing_to_promote(
    fitted: Propensity, store: Settings
) -> None:
    with pytest.raises(ModelError, match=r"no challenger to promote\. Train one with `expansion"):
        registry.promote(store)

    crown(fitted, store)

    with pytest.raises(ModelError, match="no challenger to promote; version 1 is champion"):
        registry.promote(store)


def test_a_ruling_made_beside_another_champion_does_not_count(
    fitted: Propensity, store: Settings
) -> None:
    put(fitted, store)
    early = dict(PASSES)
    registry.promote(store)
    registry.register_model(fitted, store, metadata={"gate": early}, record=RECORD)

    with pytest.raises(ModelError, match="judged it beside no champion, and champion is 1; train"):
        registry.promote(store)


def test_a_challenger_that_is_not_whole_is_not_promoted(
    fitted: Propensity, store: Settings
) -> None:
    before = set(store.state_folder.rglob("card.json"))
    put(fitted, store)
    (card,) = set(store.state_folder.rglob("card.json")) - before
    card.write_text(card.read_text() + " ")

    with pytest.raises(ModelError, match="altered in the store"):
        registry.promote(store, force="never mind")

    assert registry.get_aliases(store).champion is None


def test_going_back_goes_there_and_back_again(fitted: Propensity, store: Settings) -> None:
    for _ in range(3):
        crown(fitted, store)
    put(fitted, store)

    assert registry.get_aliases(store) == ModelAliases("3", "4", "2")
    made = registry.rollback(store)
    assert registry.get_aliases(store) == ModelAliases("2", "4", "3")
    assert made.reason == "rolled back from version 3"
    registry.rollback(store)
    assert registry.get_aliases(store) == ModelAliases("3", "4", "2")


def test_without_a_previous_champion_there_is_no_way_back(
    fitted: Propensity, store: Settings
) -> None:
    with pytest.raises(ModelError, match=r"nothing to go back to \(there is no champion\)"):
        registry.rollback(store)

    crown(fitted, store)

    with pytest.raises(ModelError, match=r"nothing to go back to \(champion is 1\)"):
        registry.rollback(store)


@contextmanager
def killed_at(call: int) -> Iterator[list[str]]:
    """End the process before the so-manieth call that changes who is who, in whatever order."""
    made: list[str] = []

    def wrapped(step: str) -> Any:
        true = getattr(mlflow.MlflowClient, step)

        def run(*arguments: Any, **rest: Any) -> Any:
            if len(made) == call:
                raise Killed
            made.append(step)
            return true(*arguments, **rest)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for step in STEPS:
            patch.setattr(mlflow.MlflowClient, step, wrapped(step))
        yield made


@pytest.mark.parametrize("move", ["promote", "rollback"])
def test_a_kill_between_any_two_steps_leaves_the_state_before_or_after(
    move: str, fitted: Propensity, store: Settings
) -> None:
    for _ in range(2):
        crown(fitted, store)
    seen = []
    for call in range(20):
        put(fitted, store)
        before = registry.get_aliases(store)
        assert before.champion is not None
        after = {
            "promote": ModelAliases(before.challenger, None, before.champion),
            "rollback": ModelAliases(before.previous, before.challenger, before.champion),
        }[move]
        with killed_at(call) as made:
            try:
                getattr(registry, move)(store)
            except Killed:
                left = registry.get_aliases(store)
            else:
                assert registry.get_aliases(store) == after
                break
        assert left in (before, after), made
        assert registry.load_alias(store).version == left.champion
        seen.append(left == after)
        if left == before:  # what was broken off can be done
            getattr(registry, move)(store)
            assert registry.get_aliases(store) == after
    assert call >= 4
    assert set(seen) == {True, False}


def test_while_there_is_no_champion_the_simple_ranking_is_served(
    fitted: Propensity, ranking: CalibratedRanking, store: Settings, history: Any
) -> None:
    assert registry.load_for_scoring(store) is None
    put(fitted, store, REFUSED, simple=ranking, churn=replace(fitted, linear_share=0.5))

    served = registry.load_for_scoring(store)

    assert served is not None
    assert served.display_name == "seat utilisation (no model passed)"
    assert served.version == "1"
    assert repr(served.model) == repr(ranking)
    rows = history.snapshots.head(40)
    for name in ("margin", "probability", "low", "high"):
        before, after = (getattr(m.predict(rows), name) for m in (ranking, served.model))
        assert np.array_equal(before, after)
    assert served.churn is not None
    registry.promote(store, force="a test")
    champion = registry.load_for_scoring(store)
    assert champion is not None
    assert champion.display_name == "1"
    assert isinstance(champion.model, Propensity)


def test_a_refused_challenger_leaves_the_champion_serving(
    fitted: Propensity, ranking: CalibratedRanking, store: Settings
) -> None:
    crown(fitted, store)
    put(fitted, store, REFUSED, simple=ranking)

    served = registry.load_for_scoring(store)

    assert served is not None
    assert served.display_name == "1"
    assert registry.get_aliases(store) == ModelAliases(champion="1", challenger="2")


def test_a_version_without_a_simple_ranking_says_so(fitted: Propensity, store: Settings) -> None:
    put(fitted, store, REFUSED)

    with pytest.raises(ModelError, match="the simple ranking of model version 1 is not there; run"):
        registry.load_for_scoring(store)


def test_a_champion_that_cannot_be_read_is_given_with_the_reason(
    fitted: Propensity, store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.find_champion(store) is None
    crown(fitted, store)
    monkeypatch.setattr(serialization, "INPUTS", serialization.INPUTS[1:])

    found = registry.find_champion(store)

    assert found is not None
    assert found.version == "1"
    assert found.card is None
    assert "other features than this catalogue" in found.unavailable_reason
