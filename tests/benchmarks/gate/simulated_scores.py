"""Simulated scores of a model and a rule with known AUROC, with account and season effects.

Accounts differ in their propensity to expand (log-odds standard deviation .8), months in their
rate (.3), and a 60-day window on a 30-day grid counts every expansion twice. A score is normal
around the outcome [1]_; half of its noise is constant per account, and model and rule share some.

References
----------
.. [1] D. Bamber, "The Area above the Ordinal Dominance Graph and the Area below the Receiver
       Operating Characteristic Graph", Journal of Mathematical Psychology 1975: the AUROC of two
       normals a distance d apart is Φ(d / √2).
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit
from scipy.stats import norm

from data.config.settings import Settings
from training.metrics import summary
from training.promotion import gate

__all__ = ["ScoreCase", "evaluate_history", "simulate_history"]

_START = date(2025, 1, 1)
_EXPANSION_RATE = 0.07  # share of snapshots that expand, as in the simulator
_ACCOUNT_SPREAD = 0.8
_MONTH_SPREAD = 0.3
_CONSTANT_NOISE_SHARE = 0.5
_ELIGIBLE_SHARE = 0.85
_EVALUATED_AS_OFS = 8  # evaluated as-ofs: the last third of three years with matured labels
_LATER_AS_OFS = 3  # as-ofs after the decision, on which the served list is compared with the rule


@dataclass(frozen=True)
class ScoreCase:
    """AUROC of model and rule, and the correlation of their errors."""

    accounts: int = 200
    model_auroc: float = 0.80
    rule_auroc: float = 0.72
    noise_correlation: float = 0.3
    fold_count: int = 2


def evaluate_history(case: ScoreCase, seed: int, settings: Settings) -> dict[str, Any]:
    """Evaluate the gate on one history, and compare the served score with the rule afterwards."""
    history = simulate_history(case, np.random.default_rng(seed))
    decision = gate.evaluate_gate(history.filter(pl.col("month") < _EVALUATED_AS_OFS), settings)
    later = history.filter(pl.col("month") >= _EVALUATED_AS_OFS)
    served_column = "probability" if decision.passes else "baseline_score"
    outcomes = summary.label_outcomes(later)
    served_precision, rule_precision = (
        summary.compute_metrics(
            later[name].to_numpy(),
            outcomes,
            capacity=settings.evaluation.capacity,
            resamples=1,
            seed=1,
        )["precision_at_capacity"].value
        for name in (served_column, "baseline_score")
    )
    return {
        "passes": decision.passes,
        "checks": [(check.name, check.passes, check.value, check.low) for check in decision.checks],
        "later_gain": (served_precision or 0.0) - (rule_precision or 0.0),
    }


def simulate_history(case: ScoreCase, rng: np.random.Generator) -> pl.DataFrame:
    months = _EVALUATED_AS_OFS + _LATER_AS_OFS
    shape = (case.accounts, months)
    base_logit = np.log(_EXPANSION_RATE / 2 / (1 - _EXPANSION_RATE / 2)) - _ACCOUNT_SPREAD**2 / 2
    logit = base_logit + _ACCOUNT_SPREAD * rng.normal(size=(case.accounts, 1))
    season = _MONTH_SPREAD * rng.normal(size=months + 1)
    bought_in_month = rng.random((case.accounts, months + 1)) < expit(logit + season)
    expanded = bought_in_month[:, :-1] | bought_in_month[:, 1:]
    model_noise, independent_noise = _draw_noise(shape, rng), _draw_noise(shape, rng)
    rule_noise = (
        case.noise_correlation * model_noise
        + np.sqrt(1 - case.noise_correlation**2) * independent_noise
    )
    model_distance, rule_distance = (
        norm.ppf(auroc) * np.sqrt(2) for auroc in (case.model_auroc, case.rule_auroc)
    )
    account, month = np.nonzero(rng.random(shape) < _ELIGIBLE_SHARE)
    score = (model_distance * expanded + model_noise)[account, month]
    logit = (
        model_distance * score
        - model_distance**2 / 2
        + np.log(_EXPANSION_RATE / (1 - _EXPANSION_RATE))
    )
    return pl.DataFrame(
        {
            "account_id": account,
            "month": month,
            "as_of": [_START + timedelta(days=30 * int(m)) for m in month],
            "cutoff": np.minimum(month, _EVALUATED_AS_OFS - 1)
            * case.fold_count
            // _EVALUATED_AS_OFS,
            "expanded": expanded[account, month],
            "probability": expit(logit),
            "base_rate": np.full(len(month), _EXPANSION_RATE),
            "baseline": ["the rule"] * len(month),
            "baseline_score": (rule_distance * expanded + rule_noise)[account, month],
        }
    ).sort("month", "account_id")


def _draw_noise(shape: tuple[int, int], rng: np.random.Generator) -> Any:
    """Draw standard normal noise; half of the variance is constant per account."""
    constant, varying = rng.normal(size=(shape[0], 1)), rng.normal(size=shape)
    return np.sqrt(_CONSTANT_NOISE_SHARE) * constant + np.sqrt(1 - _CONSTANT_NOISE_SHARE) * varying
