"""The lists that small companies would have been served, pooled over many of them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import walks

from training.evaluation import baselines
from training.metrics import dates, summary
from training.metrics.summary import LabelledOutcomes

__all__ = ["served"]

_CAPACITY = 20  # the setting's default
_RESAMPLES = 200
_SEED = 7


def served(names: list[str], folder: Path) -> dict[str, Any]:
    """Pool the walk-forward predictions of companies of one size.

    Accounts and as-ofs of different companies are different ones: the bootstrap draws accounts of
    all companies, and precision at capacity is the mean over companies and as-ofs.
    """
    known, judged = _pooled(names, folder)
    score = known["probability"].to_numpy()
    rules = {"capacity": _CAPACITY, "resamples": _RESAMPLES, "seed": _SEED}
    mine = summary.compute_metrics(
        score, judged, probability=score, reference=known["base_rate"].to_numpy(), **rules
    )
    simple = {
        name: summary.compute_metrics(known[name].to_numpy(), judged, **rules | {"resamples": 1})
        for name in baselines.BASELINES
    }
    best = max(simple, key=lambda name: simple[name]["precision_at_capacity"].value or 0)
    gain = summary.compute_precision_gain(score, known[best].to_numpy(), judged, **rules)
    told = [walks.figures(name, folder) for name in names if walks.walked(name, folder)]
    return {
        "snapshots": known.height,
        "expanded": int(known["expanded"].sum()),
        "companies": known["company"].n_unique(),
        "skipped": sum(len(each["skipped"]) for each in told),
        "figures": {name: vars(figure) for name, figure in mine.items()},
        "best": best,
        "best_precision": simple[best]["precision_at_capacity"].value,
        "gain": vars(gain),
        "by_company": [_one(rows, best) for (_,), rows in known.group_by("company")],
        "dates": _dates(names, folder),
    }


def _dates(names: list[str], folder: Path) -> dict[str, Any]:
    """The figures of the dates over all companies: of one alone a third is told to four points."""
    parts = [
        walks.predictions(name, folder).with_columns(
            account_id=pl.format("{} {}", pl.lit(name), "account_id")
        )
        for name in names
        if walks.walked(name, folder)
    ]
    said = pl.concat(parts, how="diagonal")
    found = dates.compute_date_metrics(said, resamples=_RESAMPLES, seed=_SEED)
    judged = dates.select_evaluable_rows(said).height
    return {"judged": judged, **{name: vars(figure) for name, figure in found.items()}}


def _pooled(names: list[str], folder: Path) -> tuple[pl.DataFrame, LabelledOutcomes]:
    parts = [
        walks.predictions(name, folder).drop_nulls("expanded").with_columns(company=pl.lit(name))
        for name in names
        if walks.walked(name, folder)
    ]
    known = pl.concat(parts, how="diagonal")
    return known, _judged(known)


def _judged(known: pl.DataFrame) -> LabelledOutcomes:
    units = (
        known.select(pl.struct("company", name).rank("dense") - 1).to_series().cast(pl.Int64)
        for name in ("account_id", "as_of", "cut")
    )
    return LabelledOutcomes(known["expanded"].to_numpy(), *(unit.to_numpy() for unit in units))


def _one(rows: pl.DataFrame, best: str) -> dict[str, Any]:
    """One company's observed ÷ expected, and its gain over the best simple ranking of them all."""
    gain = summary.compute_precision_gain(
        rows["probability"].to_numpy(),
        rows[best].to_numpy(),
        _judged(rows),
        capacity=_CAPACITY,
        resamples=_RESAMPLES,
        seed=_SEED,
    )
    expected = float(rows["probability"].sum())
    return {
        "observed_to_expected": float(rows["expanded"].sum() / expected) if expected else np.nan,
        "gain": vars(gain),
    }
