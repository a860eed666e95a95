"""Simulated companies without a signal: real outcomes and rules, and feature columns of noise.

Outcomes, contracts and the rules' columns come from the simulator's state, without its log: a
company takes a second instead of a minute. The model reads noise; half of its variance is constant
per account and half changes daily, as in real features.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from data.config.settings import Settings
from data.simulator import tables
from data.simulator.account_state import PLANS
from data.simulator.simulation import (
    SimulationHistory,
    SimulationPeriod,
    create_random_stream,
    simulate,
    to_day_number,
)
from features import subscription_timeline
from features.catalogue import FEATURE_NAMES
from training import labels
from training.dataset.training_set import select_labelled
from training.evaluation import baselines, splits, walk_forward
from training.metrics import ranking
from training.metrics.cluster_bootstrap import evaluate_sample, factorize_columns
from training.model import propensity
from training.model.propensity import INPUTS
from training.promotion import gate

__all__ = ["NoiseCompany", "evaluate_company", "generate_company"]

_END = date(2026, 6, 1)
_MONTHS = 36
_LATER_AS_OFS = 3  # as-ofs on which a promoted model is compared with the rule it replaces
_BURN_IN_DAYS = 180
_RULES = ("seat_utilization", "active_users_30d", "usage_ratio")
_KEYS = ["account_id", "as_of"]


@dataclass(frozen=True)
class NoiseCompany:
    """A company's history, and later as-ofs with their outcomes."""

    snapshots: pl.DataFrame
    contracts: pl.DataFrame
    end: datetime
    settings: Settings
    inputs: tuple[str, ...]


def generate_company(accounts: int, seed: int, settings: Settings, columns: int) -> NoiseCompany:
    """Generate a company with ``columns`` columns of noise for its model."""
    days = 30 * (_LATER_AS_OFS + 2)
    span = SimulationPeriod(to_day_number(_END) - 30 * _MONTHS, to_day_number(_END) + days)
    history = simulate(accounts, span, seed)
    inputs = tuple(name for name in INPUTS if name not in _RULES)[:columns]
    rng = np.random.default_rng([seed, accounts])
    constant = rng.normal(size=(accounts, len(inputs)))
    parts = [
        _build_snapshot(history, day, inputs, constant, rng)
        for day in span.as_ofs
        if day >= span.start + _BURN_IN_DAYS
    ]
    signed = tables.build_subscriptions(history, create_random_stream(seed, "names"))
    return NoiseCompany(
        pl.concat(parts).sort("as_of", "account_id"),
        subscription_timeline.build_timeline(signed, plans=PLANS),
        splits.to_utc_midnight(_END),
        settings,
        inputs,
    )


def _build_snapshot(
    history: SimulationHistory,
    day: int,
    inputs: tuple[str, ...],
    constant: Any,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Build the snapshot of accounts under contract: real columns for rules, noise elsewhere."""
    state = history.states[day]
    paid = np.flatnonzero(state.is_paying)
    noise = np.sqrt(0.5) * (constant[paid] + rng.normal(size=(len(paid), len(inputs))))
    limit = state.limit[paid]
    columns: dict[str, Any] = {
        "account_id": tables.format_account_ids(paid),
        "as_of": [date(1970, 1, 1) + timedelta(days=day)] * len(paid),
        **{name: None for name in FEATURE_NAMES},
        **dict(zip(inputs, noise.T, strict=True)),
        "seat_utilization": state.utilization[paid],
        "active_users_30d": state.users[paid],
        "usage_ratio": np.where(np.isfinite(limit), state.usage[paid] / limit, np.nan),
    }
    frame = pl.DataFrame(columns, schema_overrides=dict.fromkeys(FEATURE_NAMES, pl.Float64))
    return frame.with_columns(pl.col("usage_ratio").fill_nan(None))


def evaluate_company(accounts: int, seed: int, settings: Settings, columns: int) -> dict[str, Any]:
    """Evaluate the gate on a company's model; if it passes, compare it with the rule afterwards."""
    company = generate_company(accounts, seed, settings, columns)
    past = company.snapshots.filter(pl.col("as_of") < company.end.date())
    rules, horizon = settings.evaluation, settings.outcome.horizon_days
    label = labels.expansion_label(horizon)

    def fit_fold(
        training_set: splits.TrainingSet, past_predictions: pl.DataFrame | None
    ) -> propensity.Propensity:
        return walk_forward.fit_and_calibrate(
            training_set,
            past_predictions,
            settings.model,
            horizon_days=horizon,
            inputs=company.inputs,
        )

    def predict_fold(fold: walk_forward.WalkForwardFold[propensity.Propensity]) -> pl.DataFrame:
        _, observed = select_labelled(fold.training_set, label)
        rule = baselines.select_baseline(fold.training_set, label, capacity=rules.capacity)
        score = baselines.score_baselines(fold.test_snapshots)[rule]
        return walk_forward.predict_fold(fold).with_columns(
            base_rate=pl.lit(float(observed.mean())),
            baseline=pl.lit(rule),
            baseline_score=score.cast(pl.Float64),
        )

    predictions, _ = walk_forward.run_walk_forward(
        past, company.contracts, rules, settings.outcome, fit=fit_fold, predict=predict_fold
    )
    training_set = splits.build_training_set(past, company.contracts, company.end, settings.outcome)
    labelled = predictions.join(
        training_set.outcomes.select(*_KEYS, expanded=label), on=_KEYS, how="left"
    )
    decision = gate.evaluate_gate(labelled, settings)
    outcome: dict[str, Any] = {
        "accounts": accounts,
        "seed": seed,
        "passes": decision.passes,
        "summary": decision.summary,
        "checks": [(check.name, check.passes, check.value, check.low) for check in decision.checks],
        "counts": dict(decision.counts),
        "later_gain": 0.0,
    }
    if decision.passes:
        rule = baselines.select_baseline(training_set, label, capacity=rules.capacity)
        outcome["later_gain"] = _compare_after_promotion(
            company, fit_fold(training_set, None), rule
        )
    return outcome


def _compare_after_promotion(
    company: NoiseCompany, fitted: propensity.Propensity, rule: str
) -> float:
    """Return precision at capacity after the end: the promoted model's minus the rule's."""
    settings = company.settings
    after = company.snapshots.filter(pl.col("as_of") >= company.end.date())
    last = company.end + timedelta(days=30 * (_LATER_AS_OFS + 2))
    outcomes = labels.build_outcomes(after, company.contracts, cutoff=last, rules=settings.outcome)
    label = outcomes.select(y=labels.expansion_label(settings.outcome.horizon_days))["y"]
    labelled = after.filter(label.is_not_null())
    expanded, (as_of,) = label.drop_nulls().to_numpy(), factorize_columns(labelled["as_of"])

    def precision(score: Any) -> float:
        metric = ranking.mean_precision_at_capacity(
            score, expanded, as_of, settings.evaluation.capacity
        )
        return evaluate_sample(metric, len(expanded))

    simple = baselines.score_baselines(labelled)[rule].cast(pl.Float64).to_numpy()
    return precision(fitted.predict(labelled).margin) - precision(simple)
