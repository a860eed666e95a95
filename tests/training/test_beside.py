"""What stands beside the model can be computed again from the file of predictions, by anyone."""

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
from training.evaluation import baselines, evaluate, reference_models, splits
from training.evaluation.baseline_selection import BEST_FEATURE
from training.evaluation.evaluate import EvaluationResult
from training.evaluation.reference_models import REFERENCE_MODELS
from training.promotion import champion_comparison
from training.promotion.champion import ChampionPredictions

pytestmark = pytest.mark.long

FIRST = date(2024, 1, 1) + timedelta(days=30 * 10)


@pytest.fixture(scope="module")
def chosen(settings: Settings) -> Settings:
    rules = settings.evaluation.model_copy(update={"first_as_of": FIRST})
    return settings.model_copy(update={"evaluation": rules})


@pytest.fixture(scope="module")
def walked(history: Any, chosen: Settings) -> EvaluationResult:
    return evaluate.evaluate_walk_forward(
        history.snapshots, history.contracts, chosen, end=history.end
    )


def test_every_figure_can_be_computed_again_from_the_file(
    walked: EvaluationResult, tmp_path: Path
) -> None:
    atomic.write_table(walked.predictions, tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["expanded"]]
    happened = [row["expanded"] == "true" for row in rows]

    for name, found in {**walked.metrics, **walked.reference_metrics}.items():
        score = [float(row["probability" if name == "model" else name]) for row in rows]
        assert found["auroc"].value == pytest.approx(roc_auc_score(happened, score))
        assert found["average_precision"].value == pytest.approx(
            average_precision_score(happened, score)
        )
        assert found["precision_at_capacity"].value == pytest.approx(
            _precision(rows, score, capacity=5)
        )
        if "log_loss" in found:
            assert found["log_loss"].value == pytest.approx(log_loss(happened, score))


def _precision(rows: list[dict[str, str]], score: list[float], *, capacity: int) -> float:
    """Mean over the as-ofs of the share that expanded among the first; equals by their average."""
    months: dict[str, list[tuple[float, bool]]] = {}
    for row, value in zip(rows, score, strict=True):
        months.setdefault(row["as_of"], []).append((value, row["expanded"] == "true"))
    shares = []
    for month in months.values():
        found, left = 0.0, float(capacity)
        for value in sorted({value for value, _ in month}, reverse=True):
            tied = [happened for each, happened in month if each == value]
            taken = min(left, len(tied))
            found += taken * sum(tied) / len(tied)
            left -= taken
        shares.append(found / capacity)
    return sum(shares) / len(shares)


def test_what_followed_is_told_with_whether_it_was_an_expansion(
    walked: EvaluationResult, chosen: Settings
) -> None:
    rows = walked.predictions
    within = rows["expansion_seen"] & (rows["days_followed"] < 60)

    complete = rows.filter(pl.col("known_days") >= 60)

    assert complete["expanded"].null_count() == 0
    assert complete["expanded"].to_list() == within.filter(rows["known_days"] >= 60).to_list()
    assert rows.filter(pl.col("known_days") < 60)["expanded"].null_count() == (
        rows.height - complete.height
    )
    assert (rows["days_followed"] <= rows["known_days"]).all()
    assert rows["days_followed"].is_between(0, 180).all()


def test_figures_of_a_cut_are_those_of_its_rows(walked: EvaluationResult, chosen: Settings) -> None:
    for cut, found in walked.metrics_by_cutoff.items():
        rows = walked.predictions.filter(pl.col("cut") == cut).drop_nulls("expanded")
        for name in ("seat utilisation", "LightGBM defaults"):
            theirs = roc_auc_score(rows["expanded"], rows[name])
            assert found[name]["auroc"].value == pytest.approx(theirs)
    assert set(found) == {"model", *baselines.BASELINES, BEST_FEATURE, *REFERENCE_MODELS}


def test_the_score_that_a_cut_would_have_chosen_is_that_of_the_ranking_it_names(
    walked: EvaluationResult,
) -> None:
    for row in walked.predictions.iter_rows(named=True):
        assert row["simple_score"] == row[row["simple"]]


def test_plain_learners_learn_what_the_cut_knew_alone(history: Any, chosen: Settings) -> None:
    cut = splits.utc_midnight(FIRST)
    known = splits.build_training_set(history.snapshots, history.contracts, cut, chosen.outcome)
    judged = history.snapshots.filter(pl.col("as_of") == FIRST)
    inputs = ("seat_utilization", "champion_share_90d", "mrr", "plan_rank")  # gaps, none, constant

    found = reference_models.predict_reference_models(
        REFERENCE_MODELS, known, labels.expanded_within(60), judged, inputs
    )
    again = reference_models.predict_reference_models(
        REFERENCE_MODELS, known, labels.expanded_within(60), judged.reverse(), inputs
    )

    for name, said in found.items():
        assert said.is_between(0, 1).all()
        assert again[name].reverse().to_list() == pytest.approx(said.to_list())
        use = judged["seat_utilization"].to_numpy()
        assert np.corrcoef(use, said.to_numpy())[0, 1] > 0.3


def test_all_that_is_told_is_json(walked: EvaluationResult) -> None:
    told = walked.to_dict()

    assert json.loads(json.dumps(told, allow_nan=False))["power"]["said"] == str(walked.power)
    assert set(told["segments"]) == {"size", "plan", "tenure"}
    assert len(told["lift"]) == 10
    assert told["over_best_simple"]["ranking"] == walked.best_baseline()


def test_a_champion_of_equal_settings_is_told_in_one_line(
    walked: EvaluationResult, chosen: Settings
) -> None:
    same = ChampionPredictions(
        walked.predictions.select("account_id", "as_of", "probability"), "Equal."
    )

    assert champion_comparison.compare_with_champion(
        walked, same, chosen
    ) == champion_comparison.ChampionComparison("Equal.")
    assert (
        champion_comparison.compare_with_champion(
            walked, ChampionPredictions(None, "Left out."), chosen
        ).metrics
        == {}
    )


def test_a_champion_is_judged_on_what_the_model_was_judged_on(
    walked: EvaluationResult, chosen: Settings
) -> None:
    keys = walked.predictions.select("account_id", "as_of")
    worse = ChampionPredictions(
        keys.with_columns(probability=walked.predictions["random"].clip(0.01)), "Walked."
    )

    found = champion_comparison.compare_with_champion(walked, worse, chosen)

    known = walked.predictions.drop_nulls("expanded")
    assert found.metrics["auroc"].value == pytest.approx(
        roc_auc_score(known["expanded"], known["random"].clip(0.01))
    )
    assert found.precision_gain is not None
    assert found.precision_gain.value == pytest.approx(
        walked.metrics["model"]["precision_at_capacity"].value
        - found.metrics["precision_at_capacity"].value
    )
