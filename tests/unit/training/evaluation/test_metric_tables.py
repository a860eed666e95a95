"""Lift, power, revenue and segments: laws and hand-worked numbers."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from data.config.settings import EvaluationConfig, Settings, TablesConfig
from training.evaluation import caveats, metric_tables, power, segments
from training.metrics import ranking, summary
from training.metrics.summary import LabelledOutcomes

RULES = Settings(evaluation=EvaluationConfig(capacity=2, n_bootstrap=20))
DAY = date(2024, 7, 1)
random_rows = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=40
)


def label_rows(expanded: list[bool], **rest: Any) -> LabelledOutcomes:
    rows = np.arange(len(expanded))
    return LabelledOutcomes(np.array(expanded), rows, np.zeros_like(rows), **rest)


@given(random_rows, st.randoms())
def test_deciles_partition_the_rows_independently_of_their_order(
    drawn_rows: list[tuple[float, bool]], random: Any
) -> None:
    score, expanded = ([row[index] for row in drawn_rows] for index in (0, 1))
    shuffled = drawn_rows.copy()
    random.shuffle(shuffled)

    result = metric_tables.compute_lift_by_decile(
        np.array(score), label_rows(expanded), resamples=5, seed=1
    )
    shuffled_result = metric_tables.compute_lift_by_decile(
        np.array([row[0] for row in shuffled]),
        label_rows([row[1] for row in shuffled]),
        resamples=5,
        seed=1,
    )

    assert [row["snapshots"] for row in result] == pytest.approx([len(drawn_rows) / 10] * 10)
    assert sum(row["expanded"] for row in result) == pytest.approx(sum(expanded))
    assert [row["rate"] for row in result] == pytest.approx(
        [row["rate"] for row in shuffled_result]
    )
    if any(expanded):
        assert np.mean([row["value"] for row in result]) == pytest.approx(1)


def test_the_lift_of_a_perfect_ranking_matches_hand_worked_numbers() -> None:
    score, expanded = np.linspace(1, 0, 20), [True] * 3 + [False] * 17

    result = metric_tables.compute_lift_by_decile(score, label_rows(expanded), resamples=20, seed=1)

    # Two in the first decile, one in the second; a rate of 3 in 20.
    assert [row["value"] for row in result[:3]] == pytest.approx([1 / 0.15, 0.5 / 0.15, 0])
    assert result[0]["low"] is not None
    assert (
        metric_tables.compute_lift_by_decile(np.array([]), label_rows([]), resamples=5, seed=1)
        == []
    )


def test_the_detectable_difference_is_found_in_four_of_five_histories() -> None:
    rng = np.random.default_rng(3)
    standard_error = 0.04
    replicates = np.concatenate([[0.0], rng.normal(0, standard_error, 4_000)])

    detectable = power.compute_detectable_difference(replicates)

    assert detectable is not None
    histories = rng.normal(detectable, standard_error, 20_000)
    result = histories - norm.ppf(0.9) * standard_error > 0
    assert result.mean() == pytest.approx(0.8, abs=0.02)


def test_without_replicates_the_power_is_undefined() -> None:
    undefined = np.full(5, np.nan)

    result = power.analyze_power("a rule", {"precision_at_capacity": undefined, "auroc": undefined})

    assert result.auroc is None
    assert str(result) == "The minimum detectable difference of this history is undefined."


def test_revenue_at_capacity_matches_hand_worked_numbers() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.1, 0.8, 0.7, 0.6])
    revenue = np.array([100.0, 40.0, 0.0, 900.0, 0.0, 10.0, 500.0])
    as_of = np.array([0, 0, 0, 0, 1, 1, 1])
    outcomes = LabelledOutcomes(revenue > 0, np.arange(7), as_of, arr_added=revenue)

    result = summary.compute_metrics(score, outcomes, capacity=2, resamples=20, seed=1)

    # First as-of: the best and half of two ties; second: the first two.
    assert result["arr_at_capacity"].value == pytest.approx(((100 + 20) + 10) / 2)


def test_without_revenue_the_revenue_metric_is_undefined() -> None:
    table = predictions().with_columns(
        arr_added=pl.when(~pl.col("expanded")).then(0.0).cast(pl.Float64)
    )

    result = summary.compute_metrics(
        table["probability"].to_numpy(),
        summary.label_outcomes(table),
        capacity=2,
        resamples=20,
        seed=1,
    )

    assert result["arr_at_capacity"].value is None
    assert result["auroc"].value is not None
    assert any(
        note.startswith("No expansion has a known revenue")
        for note in caveats.list_caveats(table, RULES.evaluation)
    )


@given(random_rows, st.integers(1, 6))
def test_rows_within_capacity_give_the_precision_at_capacity(
    drawn_rows: list[tuple[float, bool]], capacity: int
) -> None:
    score, expanded = (np.array(column) for column in zip(*drawn_rows, strict=True))
    capacity = min(capacity, len(drawn_rows))

    contacted = ranking.compute_capacity_share(
        score, np.zeros(len(drawn_rows), dtype=np.int64), capacity
    )

    assert contacted.sum() == pytest.approx(capacity)
    assert contacted @ expanded / capacity == pytest.approx(
        summary.precision_at_capacity(score, expanded, capacity)
    )


def predictions() -> pl.DataFrame:
    """Build two as-ofs of four accounts; those of size "1 to 10" never expanded."""
    return pl.DataFrame(
        {
            "account_id": ["w", "x", "y", "z"] * 2,
            "as_of": [DAY] * 4 + [date(2024, 7, 31)] * 4,
            "cutoff": [DAY] * 8,
            "expanded": [False, False, True, False, False, False, True, True],
            "probability": [0.9, 0.2, 0.6, 0.1, 0.7, 0.1, 0.6, 0.5],
            "base_rate": [0.3] * 8,
            "size": ["1 to 10", "1 to 10", "unknown", "11 to 50"] * 2,
            "plan": ["team"] * 8,
            "tenure": ["first year"] * 8,
            "arr_added": [0.0, 0.0, 12.0, 0.0, 0.0, 0.0, 12.0, 12.0],
        }
    )


def test_a_segment_with_one_class_has_only_the_defined_metrics() -> None:
    result = segments.compute_segment_metrics(predictions(), RULES)

    assert list(result) == ["size", "plan", "tenure"]
    assert list(result["size"]) == ["1 to 10", "11 to 50", "unknown"]
    small_accounts = result["size"]["1 to 10"]
    assert (small_accounts.snapshots, small_accounts.expanded, small_accounts.within_capacity) == (
        4,
        0,
        2.0,
    )
    assert small_accounts.metrics["auroc"].value is None
    assert small_accounts.metrics["observed_to_expected"].value == 0
    assert small_accounts.metrics["precision_at_capacity"].value == 0
    team_plan = result["plan"]["team"].metrics
    assert team_plan["precision_at_capacity"].value == pytest.approx(2 / 4)
    assert team_plan["rate"].value == pytest.approx(3 / 8)


def test_segments_partition_the_contacted_accounts_and_the_expansions() -> None:
    for segment_metrics in segments.compute_segment_metrics(predictions(), RULES).values():
        assert sum(segment.within_capacity for segment in segment_metrics.values()) == 2 * 2
        assert sum(segment.expanded for segment in segment_metrics.values()) == 3


def test_segments_are_those_of_the_as_of() -> None:
    snapshots = pl.DataFrame(
        {
            "account_id": ["a", "b", "c", "d", "e"],
            "as_of": [DAY] * 5,
            "licensed_seats": [10.0, 11.0, None, 0.0, None],
            "people_90d": [1.0, 1.0, 300.0, 60.0, None],
            "tenure_days": [364.0, 365.0, 730.0, None, 5.0],
            "plan_rank": [0.0, 1.0, 2.0, None, 1.0],
        }
    )
    contracts = pl.DataFrame(
        {"plan_rank": [0.0, 1.0, 1.0], "plan": ["free", "team", "crew"]},
    )
    accounts = pl.DataFrame({"account_id": ["a", "b"], "segment": ["bank", None]})

    without_segment = segments.assign_segments(snapshots, contracts, TablesConfig(), accounts)
    stable = TablesConfig(time_invariant_attributes=("segment",))
    with_segment = segments.assign_segments(snapshots, contracts, stable, accounts)

    assert "segment" not in without_segment.columns
    assert with_segment["size"].to_list() == [
        "1 to 10",
        "11 to 50",
        "201 and more",
        "51 to 200",
        "unknown",
    ]
    assert with_segment["tenure"].to_list() == [
        "first year",
        "second year",
        "after two years",
        "unknown",
        "first year",
    ]
    assert with_segment["plan"].to_list() == ["free", "plan 2", "plan 3", "unknown", "plan 2"]
    assert with_segment["segment"].to_list() == ["bank", "unknown", "unknown", "unknown", "unknown"]


def test_caveats_state_assumptions_and_what_could_not_be_evaluated() -> None:
    table = predictions()
    later = table.with_columns(
        cutoff=pl.lit(date(2025, 1, 1)),
        expanded=pl.lit(value=False),
        as_of=pl.col("as_of") + pl.duration(days=200),
    )
    always_expanding = later.with_columns(account_id=pl.lit("w"), expanded=pl.lit(value=True))

    assert caveats.list_caveats(table, EvaluationConfig())[0] == (
        "no capacity is set: 20 accounts per as-of date are assumed."
    )
    (single_cutoff_note,) = caveats.list_caveats(table, RULES.evaluation)
    assert single_cutoff_note.startswith("The history is too short for two cutoffs")
    (single_class_note,) = caveats.list_caveats(pl.concat([table, later]), RULES.evaluation)
    assert single_class_note.startswith(
        "Cutoff 2025-01-01: all 8 labelled snapshots did not expand"
    )
    with_segment = caveats.list_caveats(pl.concat([table, always_expanding]), RULES.evaluation)
    assert any(
        note.startswith("Cutoff 2025-01-01: all 8 labelled snapshots expanded")
        for note in with_segment
    )


def test_accounts_that_expand_every_month_are_a_caveat() -> None:
    table = pl.concat(
        [
            predictions().with_columns(
                as_of=pl.col("as_of") + pl.duration(days=60 * number),
                expanded=(pl.col("account_id") == "w") | (pl.col("expanded") & (number == 0)),
            )
            for number in range(3)
        ]
    )

    result = caveats.list_caveats(table, RULES.evaluation)

    expected_note = (
        "1 account(s) expanded after nearly every as-of and account for 67% of all expansions"
    )
    assert any(note.startswith(expected_note) for note in result)
