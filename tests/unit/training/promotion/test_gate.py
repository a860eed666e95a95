"""The promotion gate passes and rejects models for the stated reasons."""

import json
from datetime import date, timedelta

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from scipy.special import expit

from data.config.settings import EvaluationConfig, GateConfig, Settings
from training.metrics import summary
from training.metrics.cluster_bootstrap import ClusterBootstrap, ResampleWeights, factorize_columns
from training.metrics.ranking import precision_at_capacity
from training.promotion import gate

RULES = Settings(evaluation=EvaluationConfig(capacity=10))
START = date(2025, 1, 1)


def simulate(
    *,
    effect: float,
    baseline_effect: float = 0.5,
    accounts: int = 120,
    as_ofs: int = 6,
    seed: int = 1,
) -> pl.DataFrame:
    """Simulate predictions and a baseline score with given effect sizes in standard deviations."""
    rng = np.random.default_rng(seed)
    size = accounts * as_ofs
    expanded = rng.uniform(size=size) < 0.1
    score, other = (d * expanded + rng.normal(size=size) for d in (effect, baseline_effect))
    return pl.DataFrame(
        {
            "account_id": [f"acc_{row % accounts:03}" for row in range(size)],
            "as_of": [START + timedelta(days=30 * (row // accounts)) for row in range(size)],
            "cutoff": [START + timedelta(days=90 * (row // accounts // 3)) for row in range(size)],
            "expanded": expanded,
            "probability": expit(effect * score - effect**2 / 2 + np.log(0.1 / 0.9)),
            "base_rate": np.full(size, 0.1),
            "baseline": ["seat utilization"] * size,
            "baseline_score": other,
        }
    )


def with_noise(predictions: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Replace the probability by noise around the base rate."""
    noise = np.random.default_rng(seed).normal(size=predictions.height)
    return predictions.with_columns(probability=pl.Series(expit(0.5 * noise + np.log(0.1 / 0.9))))


def test_a_model_better_than_the_baseline_passes() -> None:
    decision = gate.evaluate_gate(simulate(effect=1.5), RULES)

    assert decision.passes
    assert decision.summary.startswith("Passes the gate: its probability beats the running base")
    assert [check.passes for check in decision.checks] == [True, True]
    assert decision.counts["cutoffs"] == 2
    assert decision.counts["accounts"] == 120


@pytest.mark.parametrize("seed", range(10))
def test_a_probability_without_skill_is_rejected(seed: int) -> None:
    decision = gate.evaluate_gate(with_noise(simulate(effect=1.0, seed=seed), seed), RULES)

    assert not decision.passes
    assert decision.summary.startswith("Not promoted: its probability does not beat the running")
    assert decision.summary.count(". ") == 0
    assert decision.summary.endswith(".")


def test_a_model_that_beats_the_base_rate_but_not_a_strong_baseline_is_rejected() -> None:
    decision = gate.evaluate_gate(simulate(effect=1.0, baseline_effect=3.0), RULES)

    skill, baseline = decision.checks
    assert skill.passes
    assert not baseline.passes
    assert decision.summary.startswith(
        "Not promoted: at a capacity of 10 it may be worse than the baseline"
    )
    assert "base rate" not in decision.summary


@pytest.mark.parametrize("seed", range(8))
def test_the_gate_bound_is_at_most_the_verdicts_bound(seed: int) -> None:
    predictions = simulate(effect=0.4, accounts=60, seed=seed)
    probability = predictions["probability"].to_numpy()

    skill = gate.evaluate_gate(predictions, RULES).checks[0]

    verdict = summary.compute_metrics(
        probability,
        summary.label_outcomes(predictions),
        capacity=10,
        resamples=RULES.evaluation.n_bootstrap,
        seed=RULES.model.seed,
        base_rate=predictions["base_rate"].to_numpy(),
    )["log_loss_skill"]
    assert skill.low is not None
    assert verdict.low is not None
    assert skill.low <= verdict.low
    assert skill.value == pytest.approx(verdict.value)


@pytest.mark.parametrize("n_cutoffs", [2, 6])
def test_the_bounds_agree_with_a_slow_bootstrap(n_cutoffs: int) -> None:
    predictions = simulate(effect=1.0, accounts=60)
    if n_cutoffs == 6:
        predictions = predictions.with_columns(cutoff="as_of")

    skill, baseline = gate.evaluate_gate(predictions, RULES).checks

    gains, differences = _slow_bootstrap(predictions)
    verdict_gains, _ = _slow_bootstrap(predictions, resamples=RULES.evaluation.n_bootstrap)
    lower = min(np.quantile(gains_of_draws[1:], 0.05) for gains_of_draws in (gains, verdict_gains))
    assert skill.low == pytest.approx(lower, abs=1e-9)
    assert baseline.value == pytest.approx(differences[0], abs=1e-9)
    assert baseline.low == pytest.approx(np.quantile(differences[1:], 0.1), abs=1e-9)


def _slow_bootstrap(
    predictions: pl.DataFrame, *, resamples: int = 1_000
) -> tuple[list[float], list[float]]:
    """Repeat the rows of every replicate, and compute both statistics on them one by one."""
    account, as_of, cutoff = factorize_columns(*predictions["account_id", "as_of", "cutoff"])
    names = ("probability", "baseline_score", "base_rate", "expanded")
    model, baseline_effect, base, expanded = (predictions[name].to_numpy() for name in names)
    account_counts: list[np.ndarray] = []
    cutoff_counts: list[np.ndarray] = []

    def record_weights(weights: ResampleWeights) -> np.ndarray:
        account_counts.extend(weights.account.astype(int))
        cutoff_counts.extend(weights.cutoff.astype(int))
        return np.zeros(len(weights.cutoff))

    # Two cutoffs are not resampled; six are.
    resampled_rows = cutoff if cutoff.max() > 2 else None
    ClusterBootstrap(account, resampled_rows, resamples=resamples, seed=RULES.model.seed).evaluate(
        record_weights
    )
    gains, differences = [], []
    for account_count, cutoff_count in zip(account_counts, cutoff_counts, strict=True):
        rows = np.repeat(np.arange(predictions.height), account_count * cutoff_count)
        loss = -np.where(expanded, np.log(model), np.log1p(-model))[rows].sum()
        base_loss = -np.where(expanded, np.log(base), np.log1p(-base))[rows].sum()
        gains.append(1 - loss / base_loss)
        daily_differences, cutoff_weights = [], []
        for day in range(as_of.max() + 1):
            inside = np.flatnonzero(as_of == day)
            resampled_rows = np.repeat(inside, account_count[inside])
            precisions = [
                precision_at_capacity(s[resampled_rows], expanded[resampled_rows], 10)
                for s in (model, baseline_effect)
            ]
            daily_differences.append(precisions[0] - 0.9 * precisions[1])
            cutoff_weights.append(cutoff_count[inside[0]])
        differences.append(float(np.average(daily_differences, weights=cutoff_weights)))
    return gains, differences


def test_a_better_champion_is_not_replaced() -> None:
    predictions = simulate(effect=1.0)
    champion = simulate(effect=3.0).select("account_id", "as_of", "probability")

    decision = gate.evaluate_gate(predictions, RULES, champion=champion)

    assert [check.passes for check in decision.checks] == [True, True, False]
    assert "at a capacity of 10 it may be worse than the champion" in decision.summary


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), tolerance=st.sampled_from([0.0, 0.1, 0.3]))
def test_a_model_passes_against_itself(seed: int, tolerance: float) -> None:
    predictions = simulate(effect=1.0, accounts=40, seed=seed)
    rules = RULES.model_copy(update={"gate": GateConfig(tolerance=tolerance)})

    decision = gate.evaluate_gate(
        predictions, rules, champion=predictions.select("account_id", "as_of", "probability")
    )

    assert decision.checks[-1].passes


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_more_tolerance_or_less_confidence_never_rejects_a_passing_model(seed: int) -> None:
    predictions = simulate(effect=0.8, accounts=60, seed=seed)

    def does_pass(**rules: float) -> bool:
        return gate.evaluate_gate(
            predictions, RULES.model_copy(update={"gate": GateConfig(**rules)})
        ).passes

    assert does_pass(tolerance=0.1) <= does_pass(tolerance=0.4)
    assert does_pass(confidence=0.9) <= does_pass(confidence=0.6)


def test_the_row_order_does_not_change_the_decision() -> None:
    predictions = simulate(effect=1.0)

    shuffled = gate.evaluate_gate(
        predictions.sample(fraction=1, shuffle=True, seed=3), RULES
    ).checks

    for before, after in zip(gate.evaluate_gate(predictions, RULES).checks, shuffled, strict=True):
        assert after.value == pytest.approx(before.value)
        assert after.low == pytest.approx(before.low)


def test_too_few_expansions_are_rejected_with_the_reason() -> None:
    few_expansions = simulate(effect=3.0).with_columns(
        pl.col("expanded") & (pl.col("account_id") < "acc_005")
    )

    decision = gate.evaluate_gate(few_expansions, RULES)

    assert not decision.passes
    assert decision.checks == ()
    assert "of 120 accounts evaluated" in decision.summary
    assert "at least 10 of each are needed" in decision.summary


def test_unknown_outcomes_are_ignored() -> None:
    predictions = simulate(effect=1.0)
    later = predictions.with_columns(
        expanded=pl.lit(None, dtype=pl.Boolean), as_of=pl.col("as_of").dt.offset_by("1y")
    )

    assert gate.evaluate_gate(pl.concat([predictions, later]), RULES) == gate.evaluate_gate(
        predictions, RULES
    )


def test_a_single_cutoff_and_an_unlimited_capacity_are_noted() -> None:
    predictions = simulate(effect=1.0).with_columns(cutoff=pl.lit(START))
    rules = RULES.model_copy(update={"evaluation": EvaluationConfig(capacity=500)})

    notes = " ".join(gate.evaluate_gate(predictions, rules).notes)

    assert (
        "Only 1 cutoff with known outcomes: too few to estimate the variation between cutoffs"
        in notes
    )
    assert "covers every account, so the order of the list was not tested" in notes
    assert "No capacity is set" not in notes
    assert "No capacity is set: 20 accounts" in " ".join(
        gate.evaluate_gate(predictions, Settings()).notes
    )


def test_a_decision_is_json_serializable() -> None:
    predictions = json.loads(json.dumps(gate.evaluate_gate(simulate(effect=1.0), RULES).to_dict()))

    assert set(predictions) == {"passes", "summary", "checks", "counts", "notes"}
    assert set(predictions["checks"][0]) == {"name", "passes", "value", "low", "message"}
    assert (
        json.loads(json.dumps(gate.reject_unevaluated("too early.").to_dict()))["passes"] is False
    )
