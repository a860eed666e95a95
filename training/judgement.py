"""Every group of figures, computed from predictions alone: whoever has the file can do it again."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias

import polars as pl

from data.settings import Settings
from training import baselines, chosen, lift, metrics, power
from training.learners import LEARNERS
from training.metrics import Figure, Judged
from training.power import Power
from training.resampling import Array

__all__ = [
    "MODEL",
    "Rankings",
    "best",
    "by_cut",
    "by_decile",
    "figures",
    "known",
    "learners",
    "of_model",
    "over",
    "power_over",
]

MODEL = "model"
Rankings: TypeAlias = Mapping[str, Mapping[str, Figure]]


def known(predictions: pl.DataFrame) -> tuple[pl.DataFrame, Judged]:
    """Keep the predictions whose outcome is known, and say what became of them."""
    rows = predictions.filter(pl.col("expanded").is_not_null())
    return rows, metrics.judged(rows)


def figures(predictions: pl.DataFrame, settings: Settings) -> dict[str, dict[str, Figure]]:
    """Compute the figures of the model and of every simple ranking on known outcomes."""
    rivals = (*baselines.RANKINGS, chosen.BEST_COLUMN)
    return {MODEL: of_model(predictions, settings)} | _ranked(predictions, rivals, settings)


def of_model(predictions: pl.DataFrame, settings: Settings) -> dict[str, Figure]:
    """Compute the figures of the model's probability.

    Probabilities of different cuts carry different calibrations; they rank as they are served.
    """
    return _probable(predictions, ["probability"], settings)["probability"]


def learners(predictions: pl.DataFrame, settings: Settings) -> dict[str, dict[str, Figure]]:
    """Compute the figures of every learner that had a say, as of the model's own."""
    there = [name for name in LEARNERS if name in predictions.columns]
    return _probable(predictions, there, settings)


def by_cut(predictions: pl.DataFrame, settings: Settings) -> dict[date, Rankings]:
    """Compute the figures of model, rankings and learners on what each cut's model judged.

    The draws are of accounts alone. Cuts of whose outcomes nothing is known are left out; where
    only one outcome is, the figures are null.
    """
    rows, _ = known(predictions)
    return {
        cut: figures(part, settings) | learners(part, settings)
        for (cut,), part in rows.group_by("cut", maintain_order=True)
    }


def over(predictions: pl.DataFrame, rival: str, settings: Settings) -> Figure:
    """Compute the model's precision at capacity less that of a rival column, on the same draws."""
    rows, judged = known(predictions)
    return metrics.advantage(
        rows["probability"].to_numpy(), rows[rival].to_numpy(), judged, **_rules(settings)
    )


def power_over(predictions: pl.DataFrame, rival: str, settings: Settings) -> Power:
    """Tell how large a difference from a simple ranking these predictions could have shown."""
    rows, judged = known(predictions)
    mine, theirs = (rows[name].to_numpy() for name in ("probability", rival))
    return power.of(rival, metrics.differences(mine, theirs, judged, **_rules(settings)))


def by_decile(predictions: pl.DataFrame, settings: Settings) -> list[dict[str, object]]:
    """Compute the lift of the model's probability; :func:`training.lift.by_decile`."""
    rows, judged = known(predictions)
    return lift.by_decile(
        rows["probability"].to_numpy(),
        judged,
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
    )


def best(found: Rankings) -> str:
    """Name the simple ranking with the highest precision at capacity."""

    def precision(name: str) -> float:
        value = found[name]["precision_at_capacity"].value
        return -1.0 if value is None else value

    return max((name for name in found if name != MODEL), key=precision)


def _ranked(
    predictions: pl.DataFrame, names: Sequence[str], settings: Settings
) -> dict[str, dict[str, Figure]]:
    rows, judged = known(predictions)
    return {name: _figures(rows[name].to_numpy(), judged, settings) for name in names}


def _probable(
    predictions: pl.DataFrame, names: Sequence[str], settings: Settings
) -> dict[str, dict[str, Figure]]:
    rows, judged = known(predictions)
    base = rows["base_rate"].to_numpy()
    return {name: _figures(rows[name].to_numpy(), judged, settings, base) for name in names}


def _figures(
    score: Array, judged: Judged, settings: Settings, base_rate: Array | None = None
) -> dict[str, Figure]:
    """Compute the figures of a ranking; of a probability where a base rate is given."""
    return metrics.figures(
        score,
        judged,
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
        probability=None if base_rate is None else score,
        reference=base_rate,
    )


def _rules(settings: Settings) -> dict[str, int]:
    rules = settings.evaluation
    return {
        "capacity": rules.capacity,
        "resamples": rules.resamples,
        "seed": settings.model.seed,
    }
