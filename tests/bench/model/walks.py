"""Walk forward through a company's past, and keep what was predicted and how it was explained."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import panels
import polars as pl

from data.errors import HistoryError
from training.evaluation import evaluate
from training.explain import attributions
from training.model.propensity import Propensity

__all__ = ["explanations", "figures", "predictions", "sums", "walk", "walked"]


def walk(name: str, folder: Path, *, smoke: bool, explained: bool) -> dict[str, Any]:
    """Walk once with the settings that a user would have, and keep all that came of it.

    Parameters
    ----------
    name : str
        The company.
    folder : pathlib.Path
        The bench's.
    smoke : bool
        Whether only to try.
    explained : bool
        Whether to explain every prediction too.
    """
    past = panels.load(name, folder, smoke=smoke)
    where = folder / "walks" / name
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    parts: list[pl.DataFrame] = []
    tell = (lambda fitted, judged: parts.append(_explained(fitted, judged))) if explained else None
    try:
        found = evaluate.evaluate_walk_forward(
            past.snapshots,
            past.contracts,
            past.settings,
            end=past.end,
            on_fold=tell,
            reference_models={},
        )
    except HistoryError as error:
        return {"not_judged": str(error)}
    found.predictions.write_parquet(where / "predictions.parquet")
    if parts:
        pl.concat(parts).write_parquet(where / "explanations.parquet")
    told = {
        "figures": {
            ranking: {figure: asdict(value) for figure, value in each.items()}
            for ranking, each in found.metrics.items()
        },
        "dates": {figure: asdict(value) for figure, value in found.date_metrics.items()},
        "over_best_simple": asdict(found.gain_over_best_baseline),
        "best_simple": found.best_baseline(),
        "linear_share": found.blend_weight,
        "calibration": asdict(found.calibration),
        "skipped": {str(cut): reason for cut, reason in found.skipped.items()},
        "said": repr(found),
    }
    (where / "figures.json").write_text(json.dumps(told), encoding="utf-8")
    return {}


def walked(name: str, folder: Path) -> bool:
    """Whether any cut of the company could be trained and judged."""
    return (folder / "walks" / name / "figures.json").exists()


def predictions(name: str, folder: Path) -> pl.DataFrame:
    """What the walk predicted."""
    return pl.read_parquet(folder / "walks" / name / "predictions.parquet")


def explanations(name: str, folder: Path) -> pl.DataFrame:
    """Per prediction the first signals, and how far the contributions are from the margin."""
    return pl.read_parquet(folder / "walks" / name / "explanations.parquet")


def sums(name: str, folder: Path) -> dict[str, Any]:
    """How far base and contributions are from the margin they explain, at worst."""
    off = explanations(name, folder)["off"]
    return {"worst": off.max(), "predictions": len(off)}


def figures(name: str, folder: Path) -> dict[str, Any]:
    """What the walk itself tells."""
    found: dict[str, Any] = json.loads(
        (folder / "walks" / name / "figures.json").read_text(encoding="utf-8")
    )
    return found


def _explained(fitted: Propensity, judged: pl.DataFrame) -> pl.DataFrame:
    why = attributions.explain_predictions(fitted, judged)
    off = np.abs(why.base_value + why.attributions.sum(axis=1) - fitted.predict(judged).margin)
    return judged.select(
        "account_id",
        "as_of",
        signals=pl.Series(why.reason_groups, dtype=pl.List(pl.String)),
        off=pl.Series(off),
    )
