"""Walk-forward evaluation uses only what was known at each cutoff and skips empty ones."""

import csv
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.special import expit
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from data.config.settings import Settings
from data.errors import HistoryError
from data.io import atomic
from tests.unit.training.conftest import change_section
from training import labels
from training.evaluation import baselines, reference_models, splits
from training.evaluation.baselines import BEST_FEATURE
from training.evaluation.evaluate import EvaluationResult
from training.evaluation.reference_models import REFERENCE_MODELS
from training.model import calibration, event_date

START = date(2024, 1, 1)
FIRST = START + timedelta(days=30 * 7)
KEYS = ["account_id", "as_of", "cutoff"]
PREDICTION_COLUMNS = [
    *KEYS,
    *("probability", "low", "high", "margin", "base_rate", "baseline", BEST_FEATURE),
]


def test_every_snapshot_from_the_first_cutoff_on_is_tested_once(
    evaluation: EvaluationResult, history: Any
) -> None:
    keys = ["as_of", "account_id"]

    expected = history.snapshots.filter(pl.col("as_of") >= FIRST).select(keys)

    assert_frame_equal(evaluation.predictions.select(keys), expected.sort(keys))
    assert evaluation.predictions["cutoff"].n_unique() == 3
    assert evaluation.predictions.select((pl.col("cutoff") <= pl.col("as_of")).all()).item()
    assert "3 cutoffs" in repr(evaluation)


def test_data_after_a_cutoff_changes_none_of_its_predictions(
    evaluation: EvaluationResult, history: Any, late_settings: Settings
) -> None:
    cutoffs = evaluation.predictions["cutoff"].unique().sort()
    cutoff, until = cutoffs[1], cutoffs[2]
    end = splits.to_utc_midnight(cutoff)
    known = replace(
        history,
        snapshots=history.snapshots.filter(pl.col("as_of") < until),
        contracts=history.contracts.filter(pl.col("known") < end),
    )

    without_future = known.evaluate(late_settings, end=end)

    assert_frame_equal(
        without_future.predictions.select(PREDICTION_COLUMNS),
        evaluation.predictions.filter(pl.col("cutoff") <= cutoff).select(PREDICTION_COLUMNS),
    )


def test_the_first_cutoff_is_uncalibrated(evaluation: EvaluationResult) -> None:
    first = evaluation.predictions.filter(pl.col("cutoff") == pl.col("cutoff").min())

    assert first["probability"].to_numpy() == pytest.approx(expit(first["margin"].to_numpy()))


def test_a_cutoff_is_calibrated_only_on_matured_predictions_of_earlier_cutoffs(
    history: Any, late_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[str], int]] = []
    original = calibration.fit_affine_calibration

    def recording(margin: Any, expanded: Any, groups: list[date], account: Any) -> Any:
        calls.append((sorted({str(cutoff) for cutoff in groups}), len(margin)))
        return original(margin, expanded, groups, account)

    monkeypatch.setattr(calibration, "fit_affine_calibration", recording)
    result = history.evaluate(late_settings)

    cutoffs = [str(cutoff) for cutoff in result.predictions["cutoff"].unique().sort()]
    assert [earlier for earlier, _ in calls[:-1]] == [cutoffs[:1], cutoffs[:2]]
    # At the second cutoff, the window of the last of three as-ofs is incomplete.
    assert calls[0][1] == 60 * 2
    assert calls[-1] == (cutoffs, result.predictions["expanded"].count())


def test_outcomes_follow_the_contracts_and_are_null_while_unknown(
    evaluation: EvaluationResult, history: Any, late_settings: Settings
) -> None:
    expected_outcomes = labels.build_outcomes(
        evaluation.predictions.select("account_id", "as_of"),
        history.contracts,
        cutoff=history.end,
        rules=late_settings.outcome,
    ).select(expanded=labels.expansion_label(60))

    assert_frame_equal(evaluation.predictions.select("expanded"), expected_outcomes)
    unfinished = pl.col("as_of") > history.end.date() - timedelta(days=60)
    assert (
        evaluation.predictions.filter(pl.col("expanded").is_null()).select(unfinished.all()).item()
    )


def test_the_cumulative_incidence_is_monotone_and_contains_the_probability(
    evaluation: EvaluationResult,
) -> None:
    curve = evaluation.predictions.select(f"within_{h}d" for h in (14, 30, 60, 90, 180)).to_numpy()

    assert (np.diff(curve, axis=1) >= 0).all()
    assert curve[:, 2] == pytest.approx(evaluation.predictions["probability"].to_numpy())


def test_the_expected_dates_follow_the_cumulative_incidence(evaluation: EvaluationResult) -> None:
    horizons = (14, 30, 60, 90, 180)
    curve = evaluation.predictions.select(f"within_{h}d" for h in horizons).to_numpy()

    expected = event_date.estimate_event_dates(curve, horizons)

    for name in ("early", "median", "late"):
        days = evaluation.predictions[f"{name}_days"].to_numpy()
        assert days == pytest.approx(np.floor(getattr(expected, name)))


def test_days_to_expansion_follow_the_contracts_once_180_days_have_passed(
    evaluation: EvaluationResult, history: Any
) -> None:
    result = evaluation.predictions
    complete = pl.col("as_of") <= history.end.date() - timedelta(days=180)
    assert result.select((pl.col("expanded_180d").is_not_null() == complete).all()).item()
    expected_days = [
        _first_day(history, row["account_id"], row["as_of"])
        for row in result.filter(complete).to_dicts()
    ]
    assert result.filter(complete)["days_to_expansion"].to_list() == expected_days
    assert (
        result.filter(~complete)["days_to_expansion"].null_count()
        == result.filter(~complete).height
    )


def _first_day(history: Any, account: str, as_of: date) -> int | None:
    """Return days to the account's first signature within 180 days; all signatures add seats."""
    signed = history.contracts.filter(pl.col("account_id") == account)["known"].dt.date()
    days = [(day - as_of).days for day in signed]
    return min((day for day in days if 0 <= day < 180), default=None)


def test_the_constant_day_is_the_median_of_the_training_set(
    evaluation: EvaluationResult, history: Any
) -> None:
    for (cutoff,), rows in evaluation.predictions.group_by("cutoff"):
        snapshots = history.snapshots.filter(pl.col("as_of") <= cutoff - timedelta(days=180))
        days = [_first_day(history, *row) for row in snapshots.select("account_id", "as_of").rows()]
        event_days = sorted(day for day in days if day is not None)

        medians = {event_days[(len(event_days) - 1) // 2], event_days[len(event_days) // 2]}
        assert set(rows["constant_median_days"]) <= {float(day) for day in medians}


def test_the_callback_receives_each_folds_model_and_test_snapshots(
    history: Any, late_settings: Settings
) -> None:
    calls: list[tuple[Any, pl.DataFrame]] = []

    result = history.evaluate(
        late_settings, on_fold=lambda fitted, rows: calls.append((fitted, rows))
    )

    repeated = [fitted.predict(expected).probability for fitted, expected in calls]
    assert np.concatenate(repeated) == pytest.approx(result.predictions["probability"].to_numpy())


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
            loss = log_loss(label, score)
            base_loss = log_loss(label, [float(row["base_rate"]) for row in rows])
            assert estimates["log_loss"].value == pytest.approx(loss)
            assert estimates["log_loss_skill"].value == pytest.approx(1 - loss / base_loss)


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
    training_set = history.training_set(cutoff)
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


def test_a_real_signal_beats_the_base_rate(evaluation: EvaluationResult) -> None:
    assert evaluation.summarize_verdict().startswith(
        "The model beats the base rate (log-loss skill 0."
    )
    assert "against" in evaluation.summarize_verdict()
    assert evaluation.to_metric_values()["auroc"] > 0.6
    assert evaluation.best_baseline() in baselines.BASELINES


def test_pure_noise_gives_the_verdict_of_no_usable_signal(
    noise: Any, late_settings: Settings
) -> None:
    result = noise.evaluate(late_settings)

    assert result.summarize_verdict().startswith("No usable signal was found")


def test_a_cutoff_that_cannot_be_trained_is_skipped_with_its_reason(
    history: Any, settings: Settings
) -> None:
    early = change_section(settings, "evaluation", first_as_of=date(2024, 1, 31))
    short = history.snapshots.filter(pl.col("as_of") < date(2024, 8, 1))

    result = replace(history, snapshots=short).evaluate(early, end=history.end)

    assert list(result.skipped) == [date(2024, 1, 31)]
    assert "no snapshot has a complete window of 60 days yet" in result.skipped[date(2024, 1, 31)]
    assert result.predictions["cutoff"].min() > date(2024, 1, 31)


@pytest.mark.parametrize(
    ("months", "reason"),
    [(2, "no"), (0, "the history has no as-of to test")],
    ids=["short", "empty"],
)
def test_a_history_without_a_trainable_cutoff_is_too_short(
    history: Any, settings: Settings, months: int, reason: str
) -> None:
    snapshots = history.snapshots.filter(pl.col("as_of") < START + timedelta(days=30 * months))

    with pytest.raises(
        HistoryError, match=f"^the history is too short for walk-forward validation: {reason}"
    ):
        replace(history, snapshots=snapshots).evaluate(settings, end=history.end)


def test_without_matured_labels_nothing_is_evaluated_or_plotted(
    history: Any, settings: Settings
) -> None:
    late = change_section(settings, "evaluation", first_as_of=history.end.date())

    result = history.evaluate(late)

    assert result.predictions["expanded"].null_count() == result.predictions.height
    assert result.summarize_verdict() == "Too few outcomes are known to evaluate the model."
    assert result.to_metric_values() == {}
    assert {estimate.value for estimate in result.date_metrics.values()} == {None}


def test_progress_is_reported_after_every_cutoff(
    evaluation: EvaluationResult, steps: list[tuple[int, int]]
) -> None:
    assert evaluation.predictions["cutoff"].n_unique() == 3
    assert steps == [(1, 3), (2, 3), (3, 3)]
