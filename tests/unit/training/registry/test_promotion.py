"""The champion after a promotion, a rollback, and an interruption between any two steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import mlflow
import numpy as np
import pytest

from data.config.settings import Settings
from data.errors import ModelError
from training import registry
from training.model.propensity import Propensity
from training.pipeline import fallback_ranking
from training.pipeline.fallback_ranking import CalibratedRanking
from training.registry import ModelAliases, serialization
from training.registry.run_record import RunRecord

# MLflow uses deprecated SQLAlchemy calls.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

RECORD = RunRecord("a run", verdict="Evaluated well.")
PASSES = {"passes": True, "summary": "Passes the gate: skill is significant.", "champion": None}
REFUSED = {"passes": False, "summary": "Not promoted: no significant skill.", "champion": None}
STEPS = ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias")


class Killed(BaseException):
    """Simulated end of the process."""


@pytest.fixture(scope="module")
def fitted(history: Any) -> Propensity:
    """Fit a small model, because it is saved and loaded many times."""
    return history.fit(n_estimators=10, ensemble_size=2)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ranking(history: Any, settings: Settings) -> CalibratedRanking:
    return fallback_ranking.train_fallback(
        history.snapshots, history.contracts, settings, end=history.end
    )


def register(
    model: Propensity, store: Settings, decision: dict[str, Any] = PASSES, **options: Any
) -> str:
    """Register a model with a gate decision against the current champion."""
    compared = {"champion": registry.get_aliases(store).champion}
    return registry.register_model(
        model, store, metadata={"gate": decision | compared}, record=RECORD, **options
    )


def register_and_promote(model: Propensity, store: Settings) -> str:
    version = register(model, store)
    registry.promote(store)
    return version


def test_a_registered_model_waits_for_promotion(fitted: Propensity, store: Settings) -> None:
    register(fitted, store)

    assert registry.get_aliases(store) == ModelAliases(challenger="1")
    with pytest.raises(ModelError, match="version 1 is the challenger; see `expansion pro"):
        registry.load_alias(store)

    promotion = registry.promote(store)

    assert registry.get_aliases(store) == ModelAliases(champion="1")
    assert (promotion.version, promotion.previous, promotion.forced) == ("1", None, False)
    assert promotion.reason == "Passes the gate: skill is significant."
    assert registry.load_alias(store).promotion == asdict(promotion)


def test_promotion_against_the_gate_needs_a_recorded_reason(
    fitted: Propensity, store: Settings
) -> None:
    register(fitted, store, REFUSED)

    with pytest.raises(ModelError) as error:
        registry.promote(store)
    with pytest.raises(ModelError, match="requires a reason, and it was blank"):
        registry.promote(store, force="  ")

    assert str(error.value) == (
        "version 1 is not promoted: no significant skill. To promote it anyway use"
        " --force 'REASON'."
    )
    assert registry.get_aliases(store) == ModelAliases(challenger="1")
    promotion = registry.promote(store, force="agreed with sales")
    assert (promotion.reason, promotion.forced) == ("agreed with sales", True)
    note = registry.load_alias(store).promotion
    assert note is not None
    assert note["reason"] == "agreed with sales"
    assert note["forced"] is True
    assert note["promoted_at"].endswith(" UTC")
    assert note["promoted_by"]


@pytest.mark.parametrize(
    ("move", "before", "after"),
    [
        (
            registry.promote,
            r"no challenger to promote\. Train one with `expansion",
            "no challenger to promote; version 1 is champion",
        ),
        (
            registry.rollback,
            r"no previous champion to roll back to \(there is no champion\)",
            r"no previous champion to roll back to \(version 1 is champion\)",
        ),
    ],
    ids=["promote", "rollback"],
)
def test_a_move_to_a_version_that_does_not_exist_is_rejected(
    move: Callable[[Settings], object],
    before: str,
    after: str,
    fitted: Propensity,
    store: Settings,
) -> None:
    with pytest.raises(ModelError, match=before):
        move(store)

    register_and_promote(fitted, store)

    with pytest.raises(ModelError, match=after):
        move(store)


def test_a_decision_against_another_champion_is_rejected(
    fitted: Propensity, store: Settings
) -> None:
    register(fitted, store)
    old_decision = dict(PASSES)
    registry.promote(store)
    registry.register_model(fitted, store, metadata={"gate": old_decision}, record=RECORD)

    with pytest.raises(
        ModelError, match="compared it with no champion, but version 1 is champion; run"
    ):
        registry.promote(store)


def test_a_damaged_challenger_is_not_promoted(fitted: Propensity, store: Settings) -> None:
    before = set(store.state_folder.rglob("card.json"))
    register(fitted, store)
    (card,) = set(store.state_folder.rglob("card.json")) - before
    card.write_text(card.read_text() + " ")

    with pytest.raises(ModelError, match="altered in the store"):
        registry.promote(store, force="never mind")

    assert registry.get_aliases(store).champion is None


def test_two_rollbacks_cancel_out(fitted: Propensity, store: Settings) -> None:
    for _ in range(3):
        register_and_promote(fitted, store)
    register(fitted, store)

    assert registry.get_aliases(store) == ModelAliases("3", "4", "2")
    promotion = registry.rollback(store)
    assert registry.get_aliases(store) == ModelAliases("2", "4", "3")
    assert promotion.reason == "rolled back from version 3"
    registry.rollback(store)
    assert registry.get_aliases(store) == ModelAliases("3", "4", "2")


@contextmanager
def killed_at(call: int) -> Iterator[list[str]]:
    """Raise Killed before the given call that changes an alias or tag."""
    promotion: list[str] = []

    def wrap(step: str) -> Any:
        original = getattr(mlflow.MlflowClient, step)

        def run(*arguments: Any, **options: Any) -> Any:
            if len(promotion) == call:
                raise Killed
            promotion.append(step)
            return original(*arguments, **options)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for step in STEPS:
            patch.setattr(mlflow.MlflowClient, step, wrap(step))
        yield promotion


@pytest.mark.parametrize("move", ["promote", "rollback"])
def test_a_kill_between_any_two_steps_leaves_the_state_before_or_after(
    move: str, fitted: Propensity, store: Settings
) -> None:
    for _ in range(2):
        register_and_promote(fitted, store)
    outcomes = []
    for call in range(20):
        register(fitted, store)
        before = registry.get_aliases(store)
        assert before.champion is not None
        after = {
            "promote": ModelAliases(before.challenger, None, before.champion),
            "rollback": ModelAliases(before.previous, before.challenger, before.champion),
        }[move]
        with killed_at(call) as promotion:
            try:
                getattr(registry, move)(store)
            except Killed:
                current = registry.get_aliases(store)
            else:
                assert registry.get_aliases(store) == after
                break
        assert current in (before, after), promotion
        assert registry.load_alias(store).version == current.champion
        outcomes.append(current == after)
        if current == before:  # an interrupted move can be repeated
            getattr(registry, move)(store)
            assert registry.get_aliases(store) == after
    assert call >= 4
    assert set(outcomes) == {True, False}


def test_without_a_champion_the_fallback_ranking_is_served(
    fitted: Propensity, ranking: CalibratedRanking, store: Settings, history: Any
) -> None:
    assert registry.load_for_scoring(store) is None
    register(
        fitted, store, REFUSED, fallback=ranking, churn_model=replace(fitted, blend_weight=0.5)
    )

    served = registry.load_for_scoring(store)

    assert served is not None
    assert served.display_name == "seat utilization (no model passed)"
    assert served.version == "1"
    assert repr(served.model) == repr(ranking)
    rows = history.snapshots.head(40)
    for name in ("margin", "probability", "low", "high"):
        before, after = (getattr(model.predict(rows), name) for model in (ranking, served.model))
        assert np.array_equal(before, after)
    assert served.churn is not None
    registry.promote(store, force="a test")
    champion = registry.load_for_scoring(store)
    assert champion is not None
    assert champion.display_name == "1"
    assert isinstance(champion.model, Propensity)


def test_a_refused_challenger_keeps_the_champion_serving(
    fitted: Propensity, ranking: CalibratedRanking, store: Settings
) -> None:
    register_and_promote(fitted, store)
    register(fitted, store, REFUSED, fallback=ranking)

    served = registry.load_for_scoring(store)

    assert served is not None
    assert served.display_name == "1"
    assert registry.get_aliases(store) == ModelAliases(champion="1", challenger="2")


def test_a_version_without_a_fallback_ranking_is_rejected(
    fitted: Propensity, store: Settings
) -> None:
    register(fitted, store, REFUSED)

    with pytest.raises(ModelError, match="the fallback ranking of model version 1 is missing; run"):
        registry.load_for_scoring(store)


def test_an_unreadable_champion_is_returned_with_the_reason(
    fitted: Propensity, store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.find_champion(store) is None
    register_and_promote(fitted, store)
    monkeypatch.setattr(serialization, "INPUTS", serialization.INPUTS[1:])

    champion = registry.find_champion(store)

    assert champion is not None
    assert champion.version == "1"
    assert champion.card is None
    assert "differ from the catalogue" in champion.unavailable_reason
