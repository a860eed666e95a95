"""Lists that small companies would have been served, pooled over many of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.model.panels import BenchCompany
from training.evaluation import baselines
from training.metrics import dates, summary
from training.metrics.summary import LabelledOutcomes

__all__ = ["evaluate_served_lists"]

_CAPACITY = 20  # the setting's default
_RESAMPLES = 200
_SEED = 7


def evaluate_served_lists(first: BenchCompany, *others: str) -> dict[str, Any]:
    """Pool the walk-forward predictions of companies of one size.

    Accounts and as-ofs of different companies are distinct: the bootstrap resamples accounts of all
    companies, and precision at capacity is the mean over companies and as-ofs.
    """
    every = (first, *(replace(first, name=name) for name in others))
    companies = [company for company in every if company.has_metrics()]
    labelled = pl.concat(
        [
            company.load_predictions()
            .drop_nulls("expanded")
            .with_columns(company=pl.lit(company.name))
            for company in companies
        ],
        how="diagonal",
    )
    outcomes = _build_outcomes(labelled)
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
    return {
        "snapshots": labelled.height,
        "expanded": int(labelled["expanded"].sum()),
        "companies": labelled["company"].n_unique(),
        "skipped": sum(len(company.load_metrics()["skipped"]) for company in companies),
        "metrics": {name: vars(estimate) for name, estimate in model.items()},
        "best": best,
        "best_precision": baseline_metrics[best]["precision_at_capacity"].value,
        "gain": vars(gain),
        "by_company": [
            _evaluate_company(rows, best) for (_,), rows in labelled.group_by("company")
        ],
        "dates": _evaluate_dates(companies),
    }


def _evaluate_dates(companies: Sequence[BenchCompany]) -> dict[str, Any]:
    """Compute date metrics over all companies; a third of one company has too few expansions."""
    parts = [
        company.load_predictions().with_columns(
            account_id=pl.format("{} {}", pl.lit(company.name), "account_id")
        )
        for company in companies
    ]
    predictions = pl.concat(parts, how="diagonal")
    estimates = dates.compute_date_metrics(predictions, resamples=_RESAMPLES, seed=_SEED)
    evaluable_count = dates.select_evaluable_rows(predictions).height
    return {
        "evaluated": evaluable_count,
        **{name: vars(estimate) for name, estimate in estimates.items()},
    }


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
