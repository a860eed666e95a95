"""The champion is backtested where possible and excluded with a note where not."""

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

from data.config.settings import Settings
from features.catalogue import FEATURES_BY_NAME
from tests.unit.training.conftest import change_section
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.model.propensity import INPUTS
from training.promotion.champion import (
    Champion,
    ChampionComparison,
    ChampionPredictions,
    backtest_champion,
    compare_with_champion,
    decide_promotion,
    decision_to_dict,
)
from training.promotion.gate import GateDecision

FEATURES = {name: FEATURES_BY_NAME[name].unit for name in INPUTS}
KEYS = ["account_id", "as_of", "probability"]


def card(settings: Settings, **changes: Any) -> dict[str, Any]:
    model_settings = settings.model.model_dump(mode="json") | changes
    return {"features": FEATURES, "settings": model_settings}


def backtest(
    champion: Champion, evaluation: EvaluationResult, history: Any, settings: Settings
) -> ChampionPredictions:
    return backtest_champion(
        champion,
        evaluation.predictions,
        history.snapshots,
        history.contracts,
        settings,
        end=history.end,
    )


def test_a_champion_with_equal_settings_needs_no_backtest(
    evaluation: EvaluationResult,
    history: Any,
    late_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(evaluate, "evaluate_walk_forward")  # a backtest would need it

    result = backtest(Champion("3", card(late_settings)), evaluation, history, late_settings)

    assert result.note == (
        "Champion version 3 has the same settings and therefore the same predictions."
    )
    assert result.predictions is not None
    assert_frame_equal(result.predictions, evaluation.predictions.select(KEYS))


def test_a_champion_with_other_settings_is_backtested_on_the_same_cutoffs(
    evaluation: EvaluationResult, history: Any, late_settings: Settings
) -> None:
    champion_settings = change_section(late_settings, "model", ensemble_size=2, n_estimators=15)

    result = backtest(Champion("3", card(champion_settings)), evaluation, history, late_settings)

    expected = history.evaluate(champion_settings)
    assert result.note == "Champion version 3 was evaluated on the same cutoffs."
    assert result.predictions is not None
    assert_frame_equal(result.predictions, expected.predictions.select(KEYS))


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        (Champion("3", None, "it was altered."), "it was altered."),
        (
            Champion("3", {"features": {"shoe_size": "cm"}, "settings": {}}),
            "it was trained on features that differ from this catalogue.",
        ),
        (
            Champion("3", {"features": FEATURES, "settings": {"depth": 3}}),
            "its settings are not valid in this version.",
        ),
        (
            Champion("3", {"features": FEATURES}),
            "its settings are not valid in this version.",
        ),
    ],
)
def test_a_champion_that_cannot_be_backtested_is_excluded_with_a_note(
    champion: Champion,
    reason: str,
    evaluation: EvaluationResult,
    history: Any,
    late_settings: Settings,
) -> None:
    decision = decide(champion, evaluation, history, late_settings)

    assert decision.notes[0] == f"Champion version 3 is excluded from the comparison: {reason}"
    assert len(decision.checks) == 2
    assert decision_to_dict(decision, champion)["champion"] == "3"


def decide(
    champion: Champion | None, evaluation: EvaluationResult, history: Any, settings: Settings
) -> GateDecision:
    """Decide on the later cutoffs, in which enough accounts did not expand."""
    predictions = evaluation.predictions
    return decide_promotion(
        predictions.filter(pl.col("cutoff") > predictions["cutoff"].min()),
        history.snapshots,
        history.contracts,
        settings,
        end=history.end,
        champion=champion,
    )


def test_a_champion_adds_a_check_to_the_gate(
    evaluation: EvaluationResult, history: Any, late_settings: Settings
) -> None:
    arguments = evaluation, history, late_settings

    without_champion = decide(None, *arguments)
    with_champion = decide(Champion("3", card(late_settings)), *arguments)

    assert [check.name for check in with_champion.checks] == [
        *(check.name for check in without_champion.checks),
        "precision over the champion",
    ]
    assert with_champion.checks[-1].passes
    assert decision_to_dict(without_champion, None)["champion"] is None


def test_a_champion_with_equal_predictions_has_only_a_note(
    evaluation: EvaluationResult, late_settings: Settings
) -> None:
    champion = ChampionPredictions(
        evaluation.predictions.select("account_id", "as_of", "probability"), "Equal."
    )

    assert compare_with_champion(evaluation, champion, late_settings) == ChampionComparison(
        "Equal."
    )
    assert (
        compare_with_champion(
            evaluation, ChampionPredictions(None, "Left out."), late_settings
        ).metrics
        == {}
    )


def test_a_champion_is_evaluated_on_the_same_rows_as_the_model(
    evaluation: EvaluationResult, late_settings: Settings
) -> None:
    keys = evaluation.predictions.select("account_id", "as_of")
    champion = ChampionPredictions(
        keys.with_columns(probability=evaluation.predictions["random"].clip(0.01)), "Walked."
    )

    comparison = compare_with_champion(evaluation, champion, late_settings)

    labelled = evaluation.predictions.drop_nulls("expanded")
    assert comparison.metrics["auroc"].value == pytest.approx(
        roc_auc_score(labelled["expanded"], labelled["random"].clip(0.01))
    )
    assert comparison.precision_gain is not None
    assert comparison.precision_gain.value == pytest.approx(
        evaluation.metrics["model"]["precision_at_capacity"].value
        - comparison.metrics["precision_at_capacity"].value
    )
