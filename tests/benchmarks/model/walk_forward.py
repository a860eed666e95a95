"""Walk-forward validation of one company, with stored predictions and explanations."""

import json
import shutil
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from data.errors import HistoryError
from tests.benchmarks.model.panels import BenchCompany
from training.evaluation import evaluate
from training.explain import attributions
from training.model.propensity import Propensity

__all__ = ["check_additivity", "run_company_walk"]


def run_company_walk(company: BenchCompany, explanations: str = "") -> dict[str, Any]:
    """Run walk-forward validation with a user's settings, explained or not; store its results."""
    history = company.load_history()
    walk_folder = company.walk_folder
    shutil.rmtree(walk_folder, ignore_errors=True)
    walk_folder.mkdir(parents=True)
    parts: list[pl.DataFrame] = []
    on_fold = (
        (lambda fitted, test_set: parts.append(_explain_fold(fitted, test_set)))
        if explanations
        else None
    )
    try:
        evaluation = evaluate.evaluate_walk_forward(
            history.snapshots,
            history.contracts,
            history.settings,
            end=history.end,
            on_fold=on_fold,
            reference_models={},
        )
    except HistoryError as error:
        return {"skipped_reason": str(error)}
    evaluation.predictions.write_parquet(walk_folder / "predictions.parquet")
    if parts:
        pl.concat(parts).write_parquet(walk_folder / "explanations.parquet")
    stored = {
        "metrics": {
            ranking: {metric: asdict(estimate) for metric, estimate in each.items()}
            for ranking, each in evaluation.metrics.items()
        },
        "dates": {figure: asdict(value) for figure, value in evaluation.date_metrics.items()},
        "precision_gain_over_best_baseline": asdict(evaluation.gain_over_best_baseline),
        "best_baseline": evaluation.best_baseline(),
        "blend_weight": evaluation.blend_weight,
        "calibration": asdict(evaluation.calibration),
        "skipped": {str(cutoff): reason for cutoff, reason in evaluation.skipped.items()},
        "summary": repr(evaluation),
    }
    (walk_folder / "metrics.json").write_text(json.dumps(stored), encoding="utf-8")
    return {}


def check_additivity(company: BenchCompany) -> dict[str, Any]:
    """Return the largest difference between base plus contributions and the margin."""
    off = company.load_explanations()["error"]
    return {"max_error": off.max(), "predictions": len(off)}


def _explain_fold(fitted: Propensity, test_set: pl.DataFrame) -> pl.DataFrame:
    explanation = attributions.explain_predictions(fitted, test_set)
    error = np.abs(
        explanation.base_value
        + explanation.attributions.sum(axis=1)
        - fitted.predict(test_set).margin
    )
    return test_set.select(
        "account_id",
        "as_of",
        signals=pl.Series(explanation.reason_groups, dtype=pl.List(pl.String)),
        error=pl.Series(error),
    )
