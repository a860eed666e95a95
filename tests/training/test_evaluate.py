"""A walk through history judges with what each cut knew, and says so when that is nothing."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.special import expit
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from data.config.settings import Settings
from data.errors import HistoryError
from training import labels
from training.evaluation import baselines, evaluate, splits
from training.evaluation.baseline_selection import BEST_FEATURE
from training.evaluation.evaluate import EvaluationResult
from training.model import calibration, event_date
from training.report import run_plots

FIRST = date(2024, 1, 1) + timedelta(days=30 * 7)
SAID = ["account_id", "as_of", "cut", "probability", "low", "high", "margin", "base_rate"]


def judging_from(settings: Settings, first: date | None) -> Settings:
    rules = settings.evaluation.model_copy(update={"first_as_of": first})
    return settings.model_copy(update={"evaluation": rules})


@pytest.fixture(scope="module")
def chosen(settings: Settings) -> Settings:
    return judging_from(settings, FIRST)


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int]]:
    """What the walk told of its progress."""
    return []


@pytest.fixture(scope="module")
def walked(history: Any, chosen: Settings, told: list[tuple[int, int]]) -> EvaluationResult:
    return evaluate.evaluate_walk_forward(
        history.snapshots,
        history.contracts,
        chosen,
        end=history.end,
        reference_models={},
        progress=lambda done, total: told.append((done, total)),
    )


def test_every_snapshot_from_the_first_on_is_judged_once(
    walked: EvaluationResult, history: Any
) -> None:
    keys = ["as_of", "account_id"]

    judged = history.snapshots.filter(pl.col("as_of") >= FIRST).select(keys)

    assert_frame_equal(walked.predictions.select(keys), judged.sort(keys))
    assert walked.predictions["cut"].n_unique() == 3
    assert walked.predictions.select((pl.col("cut") <= pl.col("as_of")).all()).item()
    assert "3 cuts" in repr(walked)


def test_what_comes_after_a_cut_changes_none_of_its_predictions(
    walked: EvaluationResult, history: Any, chosen: Settings
) -> None:
    cuts = walked.predictions["cut"].unique().sort()
    cut, until = cuts[1], cuts[2]
    earlier = history.snapshots.filter(pl.col("as_of") < until)
    known = history.contracts.filter(pl.col("known") < splits.utc_midnight(cut))

    without = evaluate.evaluate_walk_forward(
        earlier, known, chosen, end=splits.utc_midnight(cut), reference_models={}
    )

    assert_frame_equal(
        without.predictions.select(SAID),
        walked.predictions.filter(pl.col("cut") <= cut).select(SAID),
    )


def test_the_first_cut_has_nothing_to_be_calibrated_on(walked: EvaluationResult) -> None:
    first = walked.predictions.filter(pl.col("cut") == pl.col("cut").min())

    assert first["probability"].to_numpy() == pytest.approx(expit(first["margin"].to_numpy()))


def test_a_cut_is_calibrated_on_matured_predictions_of_earlier_cuts_only(
    history: Any, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], int]] = []
    honest = calibration.fit_affine_calibration

    def recording(margin: Any, expanded: Any, groups: list[date], account: Any) -> Any:
        seen.append((sorted({str(cut) for cut in groups}), len(margin)))
        return honest(margin, expanded, groups, account)

    monkeypatch.setattr(calibration, "fit_affine_calibration", recording)
    found = evaluate.evaluate_walk_forward(
        history.snapshots, history.contracts, chosen, end=history.end, reference_models={}
    )

    cuts = [str(cut) for cut in found.predictions["cut"].unique().sort()]
    assert [earlier for earlier, _ in seen[:-1]] == [cuts[:1], cuts[:2]]
    # At the second cut, of its three as-ofs the last has a window that is not complete yet.
    assert seen[0][1] == 60 * 2
    assert seen[-1] == (cuts, found.predictions["expanded"].count())


def test_outcomes_are_those_of_the_contracts_and_null_while_unknown(
    walked: EvaluationResult, history: Any, chosen: Settings
) -> None:
    truth = labels.build_outcomes(
        walked.predictions.select("account_id", "as_of"),
        history.contracts,
        cutoff=history.end,
        rules=chosen.outcome,
    ).select(expanded=labels.expanded_within(60))

    assert_frame_equal(walked.predictions.select("expanded"), truth)
    unfinished = pl.col("as_of") > history.end.date() - timedelta(days=60)
    assert walked.predictions.filter(pl.col("expanded").is_null()).select(unfinished.all()).item()


def test_the_curve_of_every_prediction_rises_and_holds_its_probability(
    walked: EvaluationResult,
) -> None:
    curve = walked.predictions.select(f"within_{h}d" for h in (14, 30, 60, 90, 180)).to_numpy()

    assert (np.diff(curve, axis=1) >= 0).all()
    assert curve[:, 2] == pytest.approx(walked.predictions["probability"].to_numpy())


def test_the_expected_dates_are_those_of_the_curve(walked: EvaluationResult) -> None:
    horizons = (14, 30, 60, 90, 180)
    curve = walked.predictions.select(f"within_{h}d" for h in horizons).to_numpy()

    expected = event_date.estimate_event_dates(curve, horizons)

    for name in ("early", "median", "late"):
        told = walked.predictions[f"{name}_days"].to_numpy()
        assert told == pytest.approx(np.floor(getattr(expected, name)))


def test_days_to_expansion_are_those_of_the_contracts_once_180_days_are_over(
    walked: EvaluationResult, history: Any
) -> None:
    found = walked.predictions
    over = pl.col("as_of") <= history.end.date() - timedelta(days=180)
    assert found.select((pl.col("expanded_180d").is_not_null() == over).all()).item()
    slow = [
        _first_day(history, row["account_id"], row["as_of"])
        for row in found.filter(over).to_dicts()
    ]
    assert found.filter(over)["days_to_expansion"].to_list() == slow
    assert found.filter(~over)["days_to_expansion"].null_count() == found.filter(~over).height


def _first_day(history: Any, account: str, as_of: date) -> int | None:
    """Days to the account's first signature within 180 days; every signature adds seats here."""
    signed = history.contracts.filter(pl.col("account_id") == account)["known"].dt.date()
    days = [(day - as_of).days for day in signed]
    return min((day for day in days if 0 <= day < 180), default=None)


def test_the_usual_day_is_the_median_of_what_the_cut_knew(
    walked: EvaluationResult, history: Any
) -> None:
    for (cut,), told in walked.predictions.group_by("cut"):
        asked = history.snapshots.filter(pl.col("as_of") <= cut - timedelta(days=180))
        days = [_first_day(history, *row) for row in asked.select("account_id", "as_of").rows()]
        came = sorted(day for day in days if day is not None)

        middle = {came[(len(came) - 1) // 2], came[len(came) // 2]}
        assert set(told["usual_median_days"]) <= {float(day) for day in middle}


def test_each_cuts_model_is_handed_over_with_the_snapshots_it_judges(
    history: Any, chosen: Settings
) -> None:
    handed: list[tuple[Any, pl.DataFrame]] = []

    found = evaluate.evaluate_walk_forward(
        history.snapshots,
        history.contracts,
        chosen,
        end=history.end,
        reference_models={},
        on_fold=lambda fitted, judged: handed.append((fitted, judged)),
    )

    again = [fitted.predict(judged).probability for fitted, judged in handed]
    assert np.concatenate(again) == pytest.approx(found.predictions["probability"].to_numpy())


def test_figures_agree_with_scikit_learn_on_the_predictions(walked: EvaluationResult) -> None:
    known = walked.predictions.drop_nulls("expanded")
    happened, base = known["expanded"].to_numpy(), known["base_rate"].to_numpy()

    figures = {name: {n: f.value for n, f in of.items()} for name, of in walked.metrics.items()}

    assert set(figures) == {"model", *baselines.BASELINES, BEST_FEATURE}
    for name, found in figures.items():
        score = known["probability" if name == "model" else name].to_numpy()
        assert found["auroc"] == pytest.approx(roc_auc_score(happened, score))
        assert found["average_precision"] == pytest.approx(average_precision_score(happened, score))
    loss = log_loss(happened, known["probability"].to_numpy())
    assert figures["model"]["log_loss"] == pytest.approx(loss)
    assert figures["model"]["log_loss_skill"] == pytest.approx(1 - loss / log_loss(happened, base))


def test_a_signal_that_is_there_is_found(walked: EvaluationResult) -> None:
    assert walked.summarize_verdict().startswith("The model beats the base rate (log-loss skill 0.")
    assert "against" in walked.summarize_verdict()
    assert walked.to_metric_values()["auroc"] > 0.6
    assert walked.best_baseline() in baselines.BASELINES


def test_pure_noise_is_told_as_next_to_no_usable_signal(noise: Any, chosen: Settings) -> None:
    found = evaluate.evaluate_walk_forward(
        noise.snapshots, noise.contracts, chosen, end=noise.end, reference_models={}
    )

    assert found.summarize_verdict().startswith("Next to no usable signal was found")


def test_a_cut_that_cannot_be_trained_is_skipped_with_its_reason(
    history: Any, settings: Settings
) -> None:
    early = judging_from(settings, date(2024, 1, 31))
    short = history.snapshots.filter(pl.col("as_of") < date(2024, 8, 1))

    found = evaluate.evaluate_walk_forward(
        short, history.contracts, early, end=history.end, reference_models={}
    )

    assert list(found.skipped) == [date(2024, 1, 31)]
    assert "no snapshot has a complete window of 60 days yet" in found.skipped[date(2024, 1, 31)]
    assert found.predictions["cut"].min() > date(2024, 1, 31)


def test_a_history_without_a_cut_to_train_at_is_too_short(history: Any, settings: Settings) -> None:
    short = history.snapshots.filter(pl.col("as_of") <= date(2024, 1, 31))

    with pytest.raises(HistoryError, match=r"^the history is too short for a walk forward: no"):
        evaluate.evaluate_walk_forward(
            short, history.contracts, settings, end=history.end, reference_models={}
        )


def test_an_empty_history_is_too_short(history: Any, settings: Settings) -> None:
    with pytest.raises(HistoryError, match="the history has no as-of to judge"):
        evaluate.evaluate_walk_forward(
            history.snapshots.clear(),
            history.contracts,
            settings,
            end=history.end,
            reference_models={},
        )


def test_where_nothing_has_matured_yet_nothing_is_judged_or_drawn(
    history: Any, settings: Settings
) -> None:
    last = judging_from(settings, history.end.date())

    found = evaluate.evaluate_walk_forward(
        history.snapshots, history.contracts, last, end=history.end, reference_models={}
    )

    assert found.predictions["expanded"].null_count() == found.predictions.height
    assert found.summarize_verdict() == "Too little is known of the outcomes to judge the model."
    assert found.to_metric_values() == {}
    assert {figure.value for figure in found.date_metrics.values()} == {None}
    assert run_plots.plot_predictions(found.predictions, capacity=5) == {}


def test_progress_is_told_after_every_cut(
    walked: EvaluationResult, told: list[tuple[int, int]]
) -> None:
    assert walked.predictions["cut"].n_unique() == 3
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_reliability_and_precision_are_drawn(walked: EvaluationResult) -> None:
    drawn = run_plots.plot_predictions(walked.predictions, capacity=5)

    assert set(drawn) >= {"reliability.png", "precision_recall.png"}
    lines = drawn["precision_recall.png"].axes[0].get_lines()
    assert {line.get_label() for line in lines} >= {"model", *run_plots.PLOTTED_BASELINES}
