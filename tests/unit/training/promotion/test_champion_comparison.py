"""Metrics can be recomputed from the predictions file; comparisons use the same rows."""

import csv
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from data.config.settings import Settings
from data.io import atomic
from training import labels
from training.evaluation import baselines, reference_models, splits
from training.evaluation.baselines import BEST_FEATURE
from training.evaluation.evaluate import EvaluationResult
from training.evaluation.reference_models import REFERENCE_MODELS
from training.promotion import champion as promotion
from training.promotion.champion import ChampionPredictions

pytestmark = pytest.mark.long

FIRST = date(2024, 1, 1) + timedelta(days=30 * 7)


def test_every_metric_can_be_recomputed_from_the_predictions_file(
    evaluation: EvaluationResult, tmp_path: Path
) -> None:
    atomic.write_table(evaluation.predictions, tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["expanded"]]
    label = [row["expanded"] == "true" for row in rows]

    for name, estimates in {**evaluation.metrics, **evaluation.reference_metrics}.items():
        score = [float(row["probability" if name == "model" else name]) for row in rows]
        assert estimates["auroc"].value == pytest.approx(roc_auc_score(label, score))
        assert estimates["average_precision"].value == pytest.approx(
            average_precision_score(label, score)
        )
        assert estimates["precision_at_capacity"].value == pytest.approx(
            _precision(rows, score, capacity=5)
        )
        if "log_loss" in estimates:
            assert estimates["log_loss"].value == pytest.approx(log_loss(label, score))


def _precision(rows: list[dict[str, str]], score: list[float], *, capacity: int) -> float:
    """Compute mean precision at capacity over the as-ofs; ties count by their average."""
    months: dict[str, list[tuple[float, bool]]] = {}
    for row, value in zip(rows, score, strict=True):
        months.setdefault(row["as_of"], []).append((value, row["expanded"] == "true"))
    precisions = []
    for month in months.values():
        hits, remaining = 0.0, float(capacity)
        for value in sorted({value for value, _ in month}, reverse=True):
            tied = [expanded for score_of_row, expanded in month if score_of_row == value]
            selected = min(remaining, len(tied))
            hits += selected * sum(tied) / len(tied)
            remaining -= selected
        precisions.append(hits / capacity)
    return sum(precisions) / len(precisions)


def test_followup_days_and_event_flags_agree_with_the_label(
    evaluation: EvaluationResult, late_settings: Settings
) -> None:
    rows = evaluation.predictions
    within = rows["event_observed"] & (rows["followup_days"] < 60)

    complete = rows.filter(pl.col("observed_days") >= 60)

    assert complete["expanded"].null_count() == 0
    assert complete["expanded"].to_list() == within.filter(rows["observed_days"] >= 60).to_list()
    assert rows.filter(pl.col("observed_days") < 60)["expanded"].null_count() == (
        rows.height - complete.height
    )
    assert (rows["followup_days"] <= rows["observed_days"]).all()
    assert rows["followup_days"].is_between(0, 180).all()


def test_metrics_of_a_cutoff_use_only_its_rows(
    evaluation: EvaluationResult, late_settings: Settings
) -> None:
    for cutoff, estimates in evaluation.metrics_by_cutoff.items():
        rows = evaluation.predictions.filter(pl.col("cutoff") == cutoff).drop_nulls("expanded")
        for name in ("seat utilization", "LightGBM defaults"):
            expected = roc_auc_score(rows["expanded"], rows[name])
            assert estimates[name]["auroc"].value == pytest.approx(expected)
    assert set(estimates) == {"model", *baselines.BASELINES, BEST_FEATURE, *REFERENCE_MODELS}


def test_the_selected_baseline_score_is_that_of_the_named_baseline(
    evaluation: EvaluationResult,
) -> None:
    for row in evaluation.predictions.iter_rows(named=True):
        assert row["baseline_score"] == row[row["baseline"]]


def test_reference_models_train_on_the_training_set_only(
    history: Any, late_settings: Settings
) -> None:
    cutoff = splits.to_utc_midnight(FIRST)
    training_set = splits.build_training_set(
        history.snapshots, history.contracts, cutoff, late_settings.outcome
    )
    test_snapshots = history.snapshots.filter(pl.col("as_of") == FIRST)
    inputs = ("seat_utilization", "champion_share_90d", "mrr", "plan_rank")  # gaps, none, constant

    predictions = reference_models.predict_reference_models(
        REFERENCE_MODELS, training_set, labels.expansion_label(60), test_snapshots, inputs
    )
    reversed_predictions = reference_models.predict_reference_models(
        REFERENCE_MODELS, training_set, labels.expansion_label(60), test_snapshots.reverse(), inputs
    )

    for name, probabilities in predictions.items():
        assert probabilities.is_between(0, 1).all()
        assert reversed_predictions[name].reverse().to_list() == pytest.approx(
            probabilities.to_list()
        )
        utilization = test_snapshots["seat_utilization"].to_numpy()
        assert np.corrcoef(utilization, probabilities.to_numpy())[0, 1] > 0.3


def test_the_evaluation_is_json_serializable(evaluation: EvaluationResult) -> None:
    payload = evaluation.to_dict()

    assert json.loads(json.dumps(payload, allow_nan=False))["power"]["summary"] == str(
        evaluation.power
    )
    assert set(payload["segments"]) == {"size", "plan", "tenure"}
    assert len(payload["lift"]) == 10
    assert payload["precision_gain_over_best_baseline"]["ranking"] == evaluation.best_baseline()


def test_a_champion_with_equal_settings_has_only_a_note(
    evaluation: EvaluationResult, late_settings: Settings
) -> None:
    champion = ChampionPredictions(
        evaluation.predictions.select("account_id", "as_of", "probability"), "Equal."
    )

    assert promotion.compare_with_champion(
        evaluation, champion, late_settings
    ) == promotion.ChampionComparison("Equal.")
    assert (
        promotion.compare_with_champion(
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

    comparison = promotion.compare_with_champion(evaluation, champion, late_settings)

    labelled = evaluation.predictions.drop_nulls("expanded")
    assert comparison.metrics["auroc"].value == pytest.approx(
        roc_auc_score(labelled["expanded"], labelled["random"].clip(0.01))
    )
    assert comparison.precision_gain is not None
    assert comparison.precision_gain.value == pytest.approx(
        evaluation.metrics["model"]["precision_at_capacity"].value
        - comparison.metrics["precision_at_capacity"].value
    )
