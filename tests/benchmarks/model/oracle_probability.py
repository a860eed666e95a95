"""Comparison of the model with the simulator's ground truth: true probabilities and drivers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from data.simulator import hazard
from data.simulator.simulation import to_day_number
from features.catalogue import REASON_GROUPS
from tests.benchmarks.model import bootstrap_intervals, oracle_dates
from tests.benchmarks.model.panels import BenchCompany

__all__ = [
    "build_oracle_shares",
    "estimate_oracle_shares",
    "evaluate_drivers",
    "evaluate_probability",
    "join_truth",
]

_RESAMPLES = 200
_SEED = 7
_MAX_DAYS_BEFORE = 30  # from an as-of to the next expansion
_USER_CAUSES = {"seats", "newcomers"}
# Reason groups that name each cause of the simulator.
REASON_GROUP_CAUSES = {
    "seats filling up": _USER_CAUSES,
    "more people than seats": _USER_CAUSES,
    "API calls nearing the limit": {"usage"},
    "features outgrowing the plan": {"adoption"},
    "new departments": {"departments"},
}
if unknown := set().union(*REASON_GROUP_CAUSES.values()) - set(REASON_GROUPS):
    raise KeyError(f"REASON_GROUP_CAUSES names unknown reason groups: {', '.join(sorted(unknown))}")


def evaluate_probability(company: BenchCompany) -> dict[str, Any]:
    """Compare ranking, probability and interval with the true 60-day probability."""
    labelled = join_truth(company)
    expanded, predicted, true = (
        labelled[column].to_numpy() for column in ("expanded", "probability", "p_60")
    )
    is_covered = (labelled["low"].to_numpy() <= true) & (true <= labelled["high"].to_numpy())

    metrics = {
        **build_oracle_shares(expanded, predicted, true),
        "auroc": lambda rows: float(roc_auc_score(expanded[rows], predicted[rows])),
        "auroc_true": lambda rows: float(roc_auc_score(expanded[rows], true[rows])),
        "average_precision": lambda rows: float(
            average_precision_score(expanded[rows], predicted[rows])
        ),
        "average_precision_true": lambda rows: float(
            average_precision_score(expanded[rows], true[rows])
        ),
        "difference": lambda rows: float(np.abs(predicted[rows] - true[rows]).mean()),
        "difference_constant": lambda rows: float(np.abs(true[rows].mean() - true[rows]).mean()),
        "coverage": lambda rows: float(is_covered[rows].mean()),
        "width": lambda rows: float((labelled["high"] - labelled["low"]).to_numpy()[rows].mean()),
    }
    return bootstrap_intervals.estimate_intervals(metrics, labelled) | {
        "snapshots": labelled.height,
        "expanded": int(expanded.sum()),
    }


def build_oracle_shares(
    expanded: NDArray[np.bool_], predicted: NDArray[np.float64], true: NDArray[np.float64]
) -> dict[str, bootstrap_intervals.RowMetric]:
    """Build metrics relative to the true probability: AUROC above chance, average precision."""

    def auroc_share(rows: NDArray[np.int64]) -> float:
        model, oracle = (roc_auc_score(expanded[rows], p[rows]) - 0.5 for p in (predicted, true))
        return float(model / oracle)

    def precision_share(rows: NDArray[np.int64]) -> float:
        model, oracle = (
            average_precision_score(expanded[rows], p[rows]) for p in (predicted, true)
        )
        return float(model / oracle)

    return {"auroc_share": auroc_share, "average_precision_share": precision_share}


def estimate_oracle_shares(scored: Sequence[pl.DataFrame]) -> dict[str, Any]:
    """Estimate the shares, with intervals, of the column ``score`` of each cutoff's rows."""
    rows = pl.concat(scored)
    columns = (rows[name].to_numpy() for name in ("expanded", "score", "p_60"))
    return bootstrap_intervals.estimate_intervals(build_oracle_shares(*columns), rows)


def evaluate_drivers(company: BenchCompany) -> dict[str, Any]:
    """Measure how often the first reasons name the cause of the expansion that followed."""
    expansions = _join_explanations(company)
    explanations, causes = expansions["signals"].to_list(), expansions["driver"].to_list()
    rng = np.random.default_rng(_SEED)
    permuted = [
        _estimate_hit_rates(
            expansions, [explanations[place] for place in rng.permutation(len(explanations))]
        )
        for _ in range(100)
    ]
    return {
        "expansions": len(explanations),
        "measured": _estimate_hit_rates(expansions, explanations, _RESAMPLES),
        "permuted": {
            name: float(np.mean([each[name]["value"] for each in permuted]))
            for name in ("first", "three")
        },
        "always_user_causes": float(
            np.mean([REASON_GROUP_CAUSES[each] is _USER_CAUSES for each in causes])
        ),
        "strongest_pressure": _strongest_pressure_share(company, expansions),
        "by_driver": {
            driver: [int(rows.height), *_hit_rates(rows)]
            for (driver,), rows in expansions.group_by("driver", maintain_order=True)
        },
    }


def join_truth(company: BenchCompany) -> pl.DataFrame:
    """Return the labelled predictions with the true probabilities."""
    true = company.load_ground_truth("truth")
    return (
        company.load_predictions()
        .drop_nulls("expanded")
        .join(true, on=["account_id", "as_of"], how="inner", maintain_order="left")
    )


def _join_explanations(company: BenchCompany) -> pl.DataFrame:
    """Return each expansion with a cause, with the explanation at the last as-of before it."""
    causes = company.load_ground_truth("drivers").filter(pl.col("driver") != "chance")
    explanations = company.load_explanations()
    days = (pl.col("date") - pl.col("as_of")).dt.total_days()
    return (
        causes.join(explanations, on="account_id")
        .with_columns(days=days)
        .filter(pl.col("days").is_between(0, _MAX_DAYS_BEFORE - 1))
        .sort("account_id", "date", "as_of")
        .group_by("account_id", "date", maintain_order=True)
        .last()
    )


def _estimate_hit_rates(
    expansions: pl.DataFrame, explanations: list[list[str]], resamples: int = 0
) -> dict[str, dict[str, Any]]:
    cause = expansions["driver"].to_list()
    pairs = list(zip(explanations, cause, strict=True))
    hits_by_name = {
        "first": np.array(
            [bool(REASON_GROUP_CAUSES[cause] & set(each[:1])) for each, cause in pairs]
        ),
        "three": np.array([bool(REASON_GROUP_CAUSES[why] & set(each)) for each, why in pairs]),
    }
    metrics = {name: _mean_metric(hits) for name, hits in hits_by_name.items()}
    return bootstrap_intervals.estimate_intervals(
        metrics, expansions.select("account_id"), resamples or 1
    )


def _hit_rates(rows: pl.DataFrame) -> list[float | None]:
    estimates = _estimate_hit_rates(rows, rows["signals"].to_list())
    return [estimates["first"]["value"], estimates["three"]["value"]]


def _strongest_pressure_share(company: BenchCompany, expansions: pl.DataFrame) -> float:
    """Return how often the cause matches the pressure that was strongest at the as-of."""
    history = oracle_dates.simulate_company(company.name)
    sources, hits = list(hazard.SOURCES), []
    for row in expansions.to_dicts():
        day = to_day_number(row["as_of"])
        rates = hazard.compute_hazard_rates(history.states[day], day)[:, int(row["account_id"][4:])]
        strongest = sources[int(np.argmax(rates[:-1]))]
        hits.append(REASON_GROUP_CAUSES[strongest] is REASON_GROUP_CAUSES[row["driver"]])
    return float(np.mean(hits))


def _mean_metric(values: NDArray[np.bool_]) -> Any:
    return lambda rows: float(values[rows].mean())
