"""Walk-forward validation of one company, with stored predictions and explanations."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data.errors import HistoryError
from tests.benchmarks.model import panels
from training.evaluation import evaluate
from training.explain import attributions
from training.model.propensity import Propensity

__all__ = [
    "check_additivity",
    "has_metrics",
    "load_explanations",
    "load_metrics",
    "load_predictions",
    "run_company_walk",
]


def run_company_walk(name: str, folder: Path, *, smoke: bool, explained: bool) -> dict[str, Any]:
    """Run walk-forward validation with a user's settings, explained or not; store its results."""
    history = panels.load_history(name, folder, smoke=smoke)
    walk_folder = folder / "walks" / name
    shutil.rmtree(walk_folder, ignore_errors=True)
    walk_folder.mkdir(parents=True)
    parts: list[pl.DataFrame] = []
    on_fold = (
        (lambda fitted, test_set: parts.append(_explain_fold(fitted, test_set)))
        if explained
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


def has_metrics(name: str, folder: Path) -> bool:
    """Check whether any fold of the company could be trained and evaluated."""
    return (folder / "walks" / name / "metrics.json").exists()


def load_predictions(name: str, folder: Path) -> pl.DataFrame:
    """Load the stored predictions."""
    return pl.read_parquet(folder / "walks" / name / "predictions.parquet")


def load_explanations(name: str, folder: Path) -> pl.DataFrame:
    """Load the first reasons of each prediction, and the error of additivity."""
    return pl.read_parquet(folder / "walks" / name / "explanations.parquet")


def check_additivity(name: str, folder: Path) -> dict[str, Any]:
    """Return the largest difference between base plus contributions and the margin."""
    off = load_explanations(name, folder)["error"]
    return {"max_error": off.max(), "predictions": len(off)}


def load_metrics(name: str, folder: Path) -> dict[str, Any]:
    """Load the stored metrics."""
    stored: dict[str, Any] = json.loads(
        (folder / "walks" / name / "metrics.json").read_text(encoding="utf-8")
    )
    return stored


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
