"""The champion beside a new model: walked where it can be, said plainly where it cannot."""

from typing import Any

import pytest
from polars.testing import assert_frame_equal

from data.config.settings import Settings
from features.catalogue import FEATURES_BY_NAME
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.model.propensity import INPUTS
from training.promotion.champion import (
    Champion,
    ChampionPredictions,
    backtest_champion,
    decide_promotion,
    decision_to_dict,
)

FEATURES = {name: FEATURES_BY_NAME[name].unit for name in INPUTS}
KEYS = ["account_id", "as_of", "probability"]


@pytest.fixture(scope="module")
def quick(settings: Settings) -> Settings:
    small = settings.model.model_copy(update={"ensemble_size": 2, "n_estimators": 15})
    rare = settings.evaluation.model_copy(update={"refit_months": 6})
    return settings.model_copy(update={"model": small, "evaluation": rare})


@pytest.fixture(scope="module")
def mine(history: Any, quick: Settings) -> EvaluationResult:
    return evaluate.evaluate_walk_forward(
        history.snapshots, history.contracts, quick, end=history.end
    )


def card(settings: Settings, **changes: Any) -> dict[str, Any]:
    told = settings.model.model_dump(mode="json") | changes
    return {"features": FEATURES, "settings": told}


def beside(
    champion: Champion, mine: EvaluationResult, history: Any, settings: Settings
) -> ChampionPredictions:
    return backtest_champion(
        champion,
        mine.predictions,
        history.snapshots,
        history.contracts,
        settings,
        end=history.end,
    )


def test_a_champion_of_the_same_settings_is_level_without_another_walk(
    mine: EvaluationResult, history: Any, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(evaluate, "evaluate_walk_forward")  # it would be needed for another

    found = beside(Champion("3", card(quick)), mine, history, quick)

    assert found.note == (
        "Champion version 3 has the same settings, so it compares as equal without another walk."
    )
    assert found.predictions is not None
    assert_frame_equal(found.predictions, mine.predictions.select(KEYS))


def test_a_champion_of_other_settings_is_walked_over_the_same_cuts(
    mine: EvaluationResult, history: Any, quick: Settings
) -> None:
    other = quick.model.model_copy(update={"num_leaves": 3})
    theirs = quick.model_copy(update={"model": other})

    found = beside(Champion("3", card(theirs)), mine, history, quick)

    again = evaluate.evaluate_walk_forward(
        history.snapshots, history.contracts, theirs, end=history.end
    )
    assert found.note == "Champion version 3 was walked over the same cuts."
    assert found.predictions is not None
    assert_frame_equal(found.predictions, again.predictions.select(KEYS))


@pytest.mark.parametrize(
    ("champion", "why"),
    [
        (Champion("3", None, "it was altered."), "it was altered."),
        (
            Champion("3", {"features": {"shoe_size": "cm"}, "settings": {}}),
            "it was trained on other features than this catalogue has.",
        ),
        (
            Champion("3", {"features": FEATURES, "settings": {"depth": 3}}),
            "its settings are not those of this version.",
        ),
        (
            Champion("3", {"features": FEATURES}),
            "its settings are not those of this version.",
        ),
    ],
)
def test_a_champion_that_cannot_be_walked_is_left_out_and_that_is_said(
    champion: Champion, why: str, mine: EvaluationResult, history: Any, quick: Settings
) -> None:
    ruling = decide_promotion(
        mine.predictions,
        history.snapshots,
        history.contracts,
        quick,
        end=history.end,
        champion=champion,
    )

    assert ruling.notes[0] == f"Champion version 3 is left out of the comparison: {why}"
    assert len(ruling.checks) == 2
    assert decision_to_dict(ruling, champion)["champion"] == "3"


def test_with_a_champion_the_gate_asks_one_question_more(
    mine: EvaluationResult, history: Any, quick: Settings
) -> None:
    arguments = (mine.predictions, history.snapshots, history.contracts, quick)

    alone = decide_promotion(*arguments, end=history.end, champion=None)
    both = decide_promotion(*arguments, end=history.end, champion=Champion("3", card(quick)))

    assert [check.name for check in both.checks] == [
        *(check.name for check in alone.checks),
        "precision over the champion",
    ]
    assert both.checks[-1].passes
    assert decision_to_dict(alone, None)["champion"] is None
