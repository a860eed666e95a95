"""Simulated companies whose model can know nothing: real outcomes and rules, columns of noise.

Outcomes, contracts and the rules' columns come from the simulator's state, without its log: a
company takes a second instead of a minute. The model reads columns that are noise, half of it of
the account and half of the day, as features are.
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
    day_number,
    random_stream,
    simulate,
)
from features import subscription_timeline
from features.catalogue import FEATURE_NAMES
from training import labels
from training.evaluation import baseline_selection, baselines, splits, walk_forward
from training.metrics import ranking
from training.metrics.cluster_bootstrap import ClusterBootstrap, factorize_columns
from training.model import propensity
from training.model.propensity import INPUTS
from training.promotion import gate

__all__ = ["Company", "judged", "made"]

_END = date(2026, 6, 1)
_MONTHS = 36
_LATER = 3  # as-ofs on which a promoted model is held against the rule it replaces
_BURN_IN_DAYS = 180
_RULES = ("seat_utilization", "active_users_30d", "usage_ratio")
_KEYS = ["account_id", "as_of"]


@dataclass(frozen=True)
class Company:
    """What a company knew, and the as-ofs after its end with what became of them."""

    snapshots: pl.DataFrame
    contracts: pl.DataFrame
    end: datetime
    settings: Settings
    inputs: tuple[str, ...]


def made(accounts: int, seed: int, settings: Settings, columns: int) -> Company:
    """Make a company, with so many columns of noise for its model."""
    days = 30 * (_LATER + 2)
    span = SimulationPeriod(day_number(_END) - 30 * _MONTHS, day_number(_END) + days)
    history = simulate(accounts, span, seed)
    inputs = tuple(name for name in INPUTS if name not in _RULES)[:columns]
    rng = np.random.default_rng([seed, accounts])
    constant = rng.normal(size=(accounts, len(inputs)))
    parts = [
        _snapshot(history, day, inputs, constant, rng)
        for day in span.as_ofs
        if day >= span.start + _BURN_IN_DAYS
    ]
    signed = tables.build_subscriptions(history, random_stream(seed, "names"))
    return Company(
        pl.concat(parts).sort("as_of", "account_id"),
        subscription_timeline.build_timeline(signed, plans=PLANS),
        splits.utc_midnight(_END),
        settings,
        inputs,
    )


def _snapshot(
    history: SimulationHistory,
    day: int,
    inputs: tuple[str, ...],
    constant: Any,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """The accounts under contract on a day: what rules read is theirs, the rest is noise."""
    state = history.states[day]
    paid = np.flatnonzero(state.is_paying)
    noise = np.sqrt(0.5) * (constant[paid] + rng.normal(size=(len(paid), len(inputs))))
    limit = state.limit[paid]
    told: dict[str, Any] = {
        "account_id": tables.format_account_ids(paid),
        "as_of": [date(1970, 1, 1) + timedelta(days=day)] * len(paid),
        **{name: None for name in FEATURE_NAMES},
        **dict(zip(inputs, noise.T, strict=True)),
        "seat_utilization": state.utilization[paid],
        "active_users_30d": state.people[paid],
        "usage_ratio": np.where(np.isfinite(limit), state.usage[paid] / limit, np.nan),
    }
    frame = pl.DataFrame(told, schema_overrides=dict.fromkeys(FEATURE_NAMES, pl.Float64))
    return frame.with_columns(pl.col("usage_ratio").fill_nan(None))


def judged(accounts: int, seed: int, settings: Settings, columns: int) -> dict[str, Any]:
    """Let the gate rule on a company's model; if it passes, hold it against the rule afterwards."""
    company = made(accounts, seed, settings, columns)
    past = company.snapshots.filter(pl.col("as_of") < company.end.date())
    rules, horizon = settings.evaluation, settings.outcome.horizon_days
    happened = labels.expanded_within(horizon)

    def learn(known: splits.TrainingSet, seen: pl.DataFrame | None) -> propensity.Propensity:
        return walk_forward.fit_and_calibrate(
            known, seen, settings.model, horizon_days=horizon, inputs=company.inputs
        )

    def say(step: walk_forward.WalkForwardFold[propensity.Propensity]) -> pl.DataFrame:
        label = step.training_set.outcomes.select(y=happened)["y"].drop_nulls()
        rule = baseline_selection.select_baseline(
            step.training_set, happened, capacity=rules.capacity
        )
        score = baselines.score_baselines(step.test_snapshots)[rule]
        return walk_forward.predict_fold(step).with_columns(
            base_rate=pl.lit(float(label.mean())),  # type: ignore[arg-type]
            simple=pl.lit(rule),
            simple_score=score.cast(pl.Float64),
        )

    walked = walk_forward.run_walk_forward(
        past,
        company.contracts,
        settings,
        fit=learn,
        predict=say,
    )
    known = splits.build_training_set(past, company.contracts, company.end, settings.outcome)
    labelled = walked.predictions.join(
        known.outcomes.select(*_KEYS, expanded=happened), on=_KEYS, how="left"
    )
    ruling = gate.evaluate_gate(labelled, settings)
    found: dict[str, Any] = {
        "accounts": accounts,
        "seed": seed,
        "passes": ruling.passes,
        "sentence": ruling.sentence,
        "checks": [(check.name, check.passes, check.value, check.low) for check in ruling.checks],
        "counts": dict(ruling.counts),
        "later": 0.0,
    }
    if ruling.passes:
        rule = baseline_selection.select_baseline(known, happened, capacity=rules.capacity)
        found["later"] = _later(company, learn(known, None), rule)
    return found


def _later(company: Company, fitted: propensity.Propensity, rule: str) -> float:
    """Precision at capacity after the end: the promoted model's less the rule's."""
    settings = company.settings
    after = company.snapshots.filter(pl.col("as_of") >= company.end.date())
    last = company.end + timedelta(days=30 * (_LATER + 2))
    found = labels.build_outcomes(after, company.contracts, cutoff=last, rules=settings.outcome)
    label = found.select(y=labels.expanded_within(settings.outcome.horizon_days))["y"]
    known = after.filter(label.is_not_null())
    expanded, (as_of,) = label.drop_nulls().to_numpy(), factorize_columns(known["as_of"])
    once = ClusterBootstrap(as_of, resamples=0, seed=0)

    def precision(score: Any) -> float:
        metric = ranking.mean_precision_at_capacity(
            score, expanded, as_of, settings.evaluation.capacity
        )
        return float(once.evaluate(metric)[0])

    simple = baselines.score_baselines(known)[rule].cast(pl.Float64).to_numpy()
    return precision(fitted.predict(known).margin) - precision(simple)
