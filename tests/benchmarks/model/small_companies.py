"""Lists that small companies would have been served, pooled over many of them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.model import walk_forward
from training.evaluation import baselines
from training.metrics import dates, summary
from training.metrics.summary import LabelledOutcomes

__all__ = ["evaluate_served_lists"]

_CAPACITY = 20  # the setting's default
_RESAMPLES = 200
_SEED = 7


def evaluate_served_lists(names: list[str], folder: Path) -> dict[str, Any]:
    """Pool the walk-forward predictions of companies of one size.

    Accounts and as-ofs of different companies are distinct: the bootstrap resamples accounts of all
    companies, and precision at capacity is the mean over companies and as-ofs.
    """
    labelled, outcomes = _pool_predictions(names, folder)
    score = labelled["probability"].to_numpy()
    rules = {"capacity": _CAPACITY, "resamples": _RESAMPLES, "seed": _SEED}
    model = summary.compute_metrics(
        score, outcomes, base_rate=labelled["base_rate"].to_numpy(), **rules
    )
    baseline_metrics = {
        name: summary.compute_metrics(
            labelled[name].to_numpy(), outcomes, **rules | {"resamples": 1}
        )
        for name in baselines.BASELINES
    }
    best = max(
        baseline_metrics,
        key=lambda name: baseline_metrics[name]["precision_at_capacity"].value or 0,
    )
    gain = summary.compute_precision_gain(score, labelled[best].to_numpy(), outcomes, **rules)
    company_metrics = [
        walk_forward.load_metrics(name, folder)
        for name in names
        if walk_forward.has_metrics(name, folder)
    ]
    return {
        "snapshots": labelled.height,
        "expanded": int(labelled["expanded"].sum()),
        "companies": labelled["company"].n_unique(),
        "skipped": sum(len(each["skipped"]) for each in company_metrics),
        "metrics": {name: vars(estimate) for name, estimate in model.items()},
        "best": best,
        "best_precision": baseline_metrics[best]["precision_at_capacity"].value,
        "gain": vars(gain),
        "by_company": [
            _evaluate_company(rows, best) for (_,), rows in labelled.group_by("company")
        ],
        "dates": _evaluate_dates(names, folder),
    }


def _evaluate_dates(names: list[str], folder: Path) -> dict[str, Any]:
    """Compute date metrics over all companies; a third of one company has too few expansions."""
    parts = [
        walk_forward.load_predictions(name, folder).with_columns(
            account_id=pl.format("{} {}", pl.lit(name), "account_id")
        )
        for name in names
        if walk_forward.has_metrics(name, folder)
    ]
    predictions = pl.concat(parts, how="diagonal")
    estimates = dates.compute_date_metrics(predictions, resamples=_RESAMPLES, seed=_SEED)
    evaluable_count = dates.select_evaluable_rows(predictions).height
    return {
        "evaluated": evaluable_count,
        **{name: vars(estimate) for name, estimate in estimates.items()},
    }


def _pool_predictions(names: list[str], folder: Path) -> tuple[pl.DataFrame, LabelledOutcomes]:
    parts = [
        walk_forward.load_predictions(name, folder)
        .drop_nulls("expanded")
        .with_columns(company=pl.lit(name))
        for name in names
        if walk_forward.has_metrics(name, folder)
    ]
    labelled = pl.concat(parts, how="diagonal")
    return labelled, _build_outcomes(labelled)


def _build_outcomes(labelled: pl.DataFrame) -> LabelledOutcomes:
    units = (
        labelled.select(pl.struct("company", name).rank("dense") - 1).to_series().cast(pl.Int64)
        for name in ("account_id", "as_of", "cutoff")
    )
    return LabelledOutcomes(labelled["expanded"].to_numpy(), *(unit.to_numpy() for unit in units))


def _evaluate_company(rows: pl.DataFrame, best: str) -> dict[str, Any]:
    """Compute one company's observed ÷ expected, and its gain over the best pooled baseline."""
    gain = summary.compute_precision_gain(
        rows["probability"].to_numpy(),
        rows[best].to_numpy(),
        _build_outcomes(rows),
        capacity=_CAPACITY,
        resamples=_RESAMPLES,
        seed=_SEED,
    )
    expected = float(rows["probability"].sum())
    return {
        "observed_to_expected": float(rows["expanded"].sum() / expected) if expected else np.nan,
        "gain": vars(gain),
    }
