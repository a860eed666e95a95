"""What the gate lets through, and what it says of the rest."""

import json
from datetime import date, timedelta

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from scipy.special import expit

from data.config.settings import EvaluationConfig, Gate, Settings
from training.metrics import summary
from training.metrics.cluster_bootstrap import ClusterBootstrap, ResampleWeights, factorize_columns
from training.metrics.ranking import precision_at_capacity
from training.promotion import gate

RULES = Settings(evaluation=EvaluationConfig(capacity=10))
START = date(2025, 1, 1)


def history(
    *, knows: float, rule: float = 0.5, accounts: int = 120, as_ofs: int = 6, seed: int = 1
) -> pl.DataFrame:
    """Predictions that follow the outcome by so many standard deviations, and a rule likewise."""
    rng = np.random.default_rng(seed)
    size = accounts * as_ofs
    expanded = rng.uniform(size=size) < 0.1
    score, other = (d * expanded + rng.normal(size=size) for d in (knows, rule))
    return pl.DataFrame(
        {
            "account_id": [f"acc_{row % accounts:03}" for row in range(size)],
            "as_of": [START + timedelta(days=30 * (row // accounts)) for row in range(size)],
            "cut": [START + timedelta(days=90 * (row // accounts // 3)) for row in range(size)],
            "expanded": expanded,
            "probability": expit(knows * score - knows**2 / 2 + np.log(0.1 / 0.9)),
            "base_rate": np.full(size, 0.1),
            "simple": ["seat utilisation"] * size,
            "simple_score": other,
        }
    )


def with_noise(told: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A probability that varies and knows nothing."""
    noise = np.random.default_rng(seed).normal(size=told.height)
    return told.with_columns(probability=pl.Series(expit(0.5 * noise + np.log(0.1 / 0.9))))


def test_a_model_that_knows_more_than_the_rule_passes() -> None:
    ruling = gate.evaluate_gate(history(knows=1.5), RULES)

    assert ruling.passes
    assert ruling.sentence.startswith("Passes the gate: its probability beats the running base")
    assert [check.passes for check in ruling.checks] == [True, True]
    assert ruling.counts["cuts"] == 2
    assert ruling.counts["accounts"] == 120


@pytest.mark.parametrize("seed", range(10))
def test_a_probability_that_knows_nothing_is_refused(seed: int) -> None:
    ruling = gate.evaluate_gate(with_noise(history(knows=1.0, seed=seed), seed), RULES)

    assert not ruling.passes
    assert ruling.sentence.startswith("Not promoted: its probability does not beat the running")
    assert ruling.sentence.count(". ") == 0
    assert ruling.sentence.endswith(".")


def test_a_model_that_beats_the_base_rate_but_not_a_strong_rule_is_refused_for_that() -> None:
    ruling = gate.evaluate_gate(history(knows=1.0, rule=3.0), RULES)

    skill, over_simple = ruling.checks
    assert skill.passes
    assert not over_simple.passes
    assert ruling.sentence.startswith("Not promoted: at capacity it may fall short of the simple")
    assert "base rate" not in ruling.sentence


@pytest.mark.parametrize("seed", range(8))
def test_no_model_passes_beside_words_that_call_its_signal_noise(seed: int) -> None:
    told = history(knows=0.4, accounts=60, seed=seed)
    probability = told["probability"].to_numpy()

    skill = gate.evaluate_gate(told, RULES).checks[0]

    verdict = summary.compute_metrics(
        probability,
        summary.label_outcomes(told),
        capacity=10,
        resamples=RULES.evaluation.n_bootstrap,
        seed=RULES.model.seed,
        probability=probability,
        reference=told["base_rate"].to_numpy(),
    )["log_loss_skill"]
    assert skill.low is not None
    assert verdict.low is not None
    assert skill.low <= verdict.low
    assert skill.value == pytest.approx(verdict.value)


@pytest.mark.parametrize("cuts", [2, 6])
def test_the_bounds_are_those_of_a_slow_count_over_drawn_rows(cuts: int) -> None:
    told = history(knows=1.0, accounts=60)
    if cuts == 6:
        told = told.with_columns(cut="as_of")

    skill, over_simple = gate.evaluate_gate(told, RULES).checks

    gains, gaps = _slowly(told)
    fewer, _ = _slowly(told, resamples=RULES.evaluation.n_bootstrap)
    lower = min(np.quantile(draws[1:], 0.05) for draws in (gains, fewer))
    assert skill.low == pytest.approx(lower, abs=1e-9)
    assert over_simple.value == pytest.approx(gaps[0], abs=1e-9)
    assert over_simple.low == pytest.approx(np.quantile(gaps[1:], 0.1), abs=1e-9)


def _slowly(told: pl.DataFrame, *, resamples: int = 1_000) -> tuple[list[float], list[float]]:
    """Repeat the rows of every draw, and compute both figures on them one by one."""
    account, as_of, cut = factorize_columns(*told["account_id", "as_of", "cut"])
    names = ("probability", "simple_score", "base_rate", "expanded")
    mine, rule, base, expanded = (told[name].to_numpy() for name in names)
    counts: list[np.ndarray] = []
    spread: list[np.ndarray] = []

    def noted(weights: ResampleWeights) -> np.ndarray:
        counts.extend(weights.account.astype(int))
        spread.extend(weights.cutoff.astype(int))
        return np.zeros(len(weights.cutoff))

    # Two cuts are not drawn; of six each may come several times or not at all.
    drawn = cut if cut.max() > 2 else None
    ClusterBootstrap(account, drawn, resamples=resamples, seed=RULES.model.seed).evaluate(noted)
    gains, gaps = [], []
    for by_account, by_cut in zip(counts, spread, strict=True):
        rows = np.repeat(np.arange(told.height), by_account * by_cut)
        loss = -np.where(expanded, np.log(mine), np.log1p(-mine))[rows].sum()
        usual = -np.where(expanded, np.log(base), np.log1p(-base))[rows].sum()
        gains.append(1 - loss / usual)
        each, times = [], []
        for day in range(as_of.max() + 1):
            inside = np.flatnonzero(as_of == day)
            drawn = np.repeat(inside, by_account[inside])
            found = [precision_at_capacity(s[drawn], expanded[drawn], 10) for s in (mine, rule)]
            each.append(found[0] - 0.9 * found[1])
            times.append(by_cut[inside[0]])
        gaps.append(float(np.average(each, weights=times)))
    return gains, gaps


def test_a_champion_that_is_better_keeps_its_place() -> None:
    told = history(knows=1.0)
    champion = history(knows=3.0).select("account_id", "as_of", "probability")

    ruling = gate.evaluate_gate(told, RULES, champion=champion)

    assert [check.passes for check in ruling.checks] == [True, True, False]
    assert "at capacity it may fall short of the champion" in ruling.sentence


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), tolerance=st.sampled_from([0.0, 0.1, 0.3]))
def test_no_model_falls_short_of_itself(seed: int, tolerance: float) -> None:
    told = history(knows=1.0, accounts=40, seed=seed)
    rules = RULES.model_copy(update={"gate": Gate(tolerance=tolerance)})

    ruling = gate.evaluate_gate(
        told, rules, champion=told.select("account_id", "as_of", "probability")
    )

    assert ruling.checks[-1].passes


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_more_tolerance_and_less_confidence_never_refuse_what_passed(seed: int) -> None:
    told = history(knows=0.8, accounts=60, seed=seed)

    def passes(**rules: float) -> bool:
        return gate.evaluate_gate(told, RULES.model_copy(update={"gate": Gate(**rules)})).passes

    assert passes(tolerance=0.1) <= passes(tolerance=0.4)
    assert passes(confidence=0.9) <= passes(confidence=0.6)


def test_the_order_of_the_rows_decides_nothing() -> None:
    told = history(knows=1.0)

    shuffled = gate.evaluate_gate(told.sample(fraction=1, shuffle=True, seed=3), RULES).checks

    for before, after in zip(gate.evaluate_gate(told, RULES).checks, shuffled, strict=True):
        assert after.value == pytest.approx(before.value)
        assert after.low == pytest.approx(before.low)


def test_too_few_expansions_are_said_and_refused() -> None:
    few = history(knows=3.0).with_columns(pl.col("expanded") & (pl.col("account_id") < "acc_005"))

    ruling = gate.evaluate_gate(few, RULES)

    assert not ruling.passes
    assert ruling.checks == ()
    assert "of 120 accounts judged" in ruling.sentence
    assert "at least 10 of each are needed" in ruling.sentence


def test_unknown_outcomes_have_no_part() -> None:
    told = history(knows=1.0)
    later = told.with_columns(
        expanded=pl.lit(None, dtype=pl.Boolean), as_of=pl.col("as_of").dt.offset_by("1y")
    )

    assert gate.evaluate_gate(pl.concat([told, later]), RULES) == gate.evaluate_gate(told, RULES)


def test_a_single_cut_and_a_capacity_for_everyone_are_said() -> None:
    told = history(knows=1.0).with_columns(cut=pl.lit(START))
    rules = RULES.model_copy(update={"evaluation": EvaluationConfig(capacity=500)})

    notes = " ".join(gate.evaluate_gate(told, rules).notes)

    assert "It rests on 1 cut with known outcomes, too few to tell how much cuts differ" in notes
    assert "works every account, so the order of the list was not put to a test" in notes
    assert "No capacity is set" not in notes
    assert "No capacity is set: 20 accounts" in " ".join(gate.evaluate_gate(told, Settings()).notes)


def test_a_ruling_is_json() -> None:
    told = json.loads(json.dumps(gate.evaluate_gate(history(knows=1.0), RULES).to_dict()))

    assert set(told) == {"passes", "sentence", "checks", "counts", "notes"}
    assert set(told["checks"][0]) == {"name", "passes", "value", "low", "says"}
    assert (
        json.loads(json.dumps(gate.reject_unevaluated("too early.").to_dict()))["passes"] is False
    )
