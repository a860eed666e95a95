"""Predictions of a made-up model and rule of known AUROC, with accounts and seasons as they are.

Accounts differ in how readily they expand (spread .8 of the log-odds), months in how many do
(spread .3), and a window of 60 days on a grid of 30 counts every expansion twice. A score is normal
around the outcome [1]_; half of its noise stays with the account, and model and rule share some.

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

__all__ = ["Case", "judged"]

_START = date(2025, 1, 1)
_RATE = 0.07  # of the snapshots: the simulator's
_BY_ACCOUNT = 0.8
_BY_MONTH = 0.3
_STAYS = 0.5
_ELIGIBLE = 0.85
_KNOWN = 8  # as-ofs that judge: the last third of three years, less those not known yet
_LATER = 3  # as-ofs after the ruling, on which the served list is held against the rule


@dataclass(frozen=True)
class Case:
    """How much model and rule know, and how alike their errors are."""

    accounts: int = 200
    model: float = 0.80
    rule: float = 0.72
    shared: float = 0.3
    cuts: int = 2


def judged(case: Case, seed: int, settings: Settings) -> dict[str, Any]:
    """Let the gate rule on one history, and hold what is served against the rule afterwards."""
    told = _history(case, np.random.default_rng(seed))
    ruling = gate.evaluate_gate(told.filter(pl.col("month") < _KNOWN), settings)
    later = told.filter(pl.col("month") >= _KNOWN)
    served = "probability" if ruling.passes else "simple_score"
    after = summary.label_outcomes(later)
    mine, rule = (
        summary.compute_metrics(
            later[name].to_numpy(),
            after,
            capacity=settings.evaluation.capacity,
            resamples=1,
            seed=1,
        )["precision_at_capacity"].value
        for name in (served, "simple_score")
    )
    return {
        "passes": ruling.passes,
        "checks": [(check.name, check.passes, check.value, check.low) for check in ruling.checks],
        "later": (mine or 0.0) - (rule or 0.0),
    }


def _history(case: Case, rng: np.random.Generator) -> pl.DataFrame:
    months = _KNOWN + _LATER
    shape = (case.accounts, months)
    usual = np.log(_RATE / 2 / (1 - _RATE / 2)) - _BY_ACCOUNT**2 / 2
    odds = usual + _BY_ACCOUNT * rng.normal(size=(case.accounts, 1))
    season = _BY_MONTH * rng.normal(size=months + 1)
    bought = rng.random((case.accounts, months + 1)) < expit(odds + season)
    expanded = bought[:, :-1] | bought[:, 1:]
    mine, own = _noise(shape, rng), _noise(shape, rng)
    theirs = case.shared * mine + np.sqrt(1 - case.shared**2) * own
    far, near = (norm.ppf(auroc) * np.sqrt(2) for auroc in (case.model, case.rule))
    account, month = np.nonzero(rng.random(shape) < _ELIGIBLE)
    score = (far * expanded + mine)[account, month]
    odds = far * score - far**2 / 2 + np.log(_RATE / (1 - _RATE))
    return pl.DataFrame(
        {
            "account_id": account,
            "month": month,
            "as_of": [_START + timedelta(days=30 * int(m)) for m in month],
            "cut": np.minimum(month, _KNOWN - 1) * case.cuts // _KNOWN,
            "expanded": expanded[account, month],
            "probability": expit(odds),
            "base_rate": np.full(len(month), _RATE),
            "simple": ["the rule"] * len(month),
            "simple_score": (near * expanded + theirs)[account, month],
        }
    ).sort("month", "account_id")


def _noise(shape: tuple[int, int], rng: np.random.Generator) -> Any:
    """Standard normal; half of the variance stays with the account."""
    stays, moves = rng.normal(size=(shape[0], 1)), rng.normal(size=shape)
    return np.sqrt(_STAYS) * stays + np.sqrt(1 - _STAYS) * moves
