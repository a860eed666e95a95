"""Lift, power, money and segments: laws, and numbers worked out by hand."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from data.config.settings import EvaluationConfig, Settings, TablesConfig
from training.evaluation import caveats, lift, power, segments
from training.metrics import ranking, summary
from training.metrics.summary import LabelledOutcomes

RULES = Settings(evaluation=EvaluationConfig(capacity=2, n_bootstrap=20))
DAY = date(2024, 7, 1)
rows_drawn = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=40
)


def judged(expanded: list[bool], **rest: Any) -> LabelledOutcomes:
    rows = np.arange(len(expanded))
    return LabelledOutcomes(np.array(expanded), rows, np.zeros_like(rows), **rest)


@given(rows_drawn, st.randoms())
def test_tenths_share_out_every_row_and_the_order_of_rows_does_not_matter(
    drawn: list[tuple[float, bool]], random: Any
) -> None:
    score, expanded = ([row[place] for row in drawn] for place in (0, 1))
    shuffled = drawn.copy()
    random.shuffle(shuffled)

    found = lift.compute_lift_by_decile(np.array(score), judged(expanded), resamples=5, seed=1)
    again = lift.compute_lift_by_decile(
        np.array([row[0] for row in shuffled]),
        judged([row[1] for row in shuffled]),
        resamples=5,
        seed=1,
    )

    assert [row["snapshots"] for row in found] == pytest.approx([len(drawn) / 10] * 10)
    assert sum(row["expanded"] for row in found) == pytest.approx(sum(expanded))
    assert [row["rate"] for row in found] == pytest.approx([row["rate"] for row in again])
    if any(expanded):
        assert np.mean([row["value"] for row in found]) == pytest.approx(1)


def test_the_lift_of_a_perfect_ranking_is_as_worked_out_by_hand() -> None:
    score, expanded = np.linspace(1, 0, 20), [True] * 3 + [False] * 17

    found = lift.compute_lift_by_decile(score, judged(expanded), resamples=20, seed=1)

    # Two in the first tenth, one in the second; a rate of 3 in 20.
    assert [row["value"] for row in found[:3]] == pytest.approx([1 / 0.15, 0.5 / 0.15, 0])
    assert found[0]["low"] is not None
    assert lift.compute_lift_by_decile(np.array([]), judged([]), resamples=5, seed=1) == []


def test_a_difference_as_large_as_told_is_found_in_four_of_five_histories() -> None:
    rng = np.random.default_rng(3)
    standard_error = 0.04
    draws = np.concatenate([[0.0], rng.normal(0, standard_error, 4_000)])

    least = power.compute_detectable_difference(draws)

    assert least is not None
    histories = rng.normal(least, standard_error, 20_000)
    found = histories - norm.ppf(0.9) * standard_error > 0
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_without_a_spread_no_power_is_told() -> None:
    nothing = np.full(5, np.nan)

    found = power.analyze_power("a rule", {"precision_at_capacity": nothing, "auroc": nothing})

    assert found.auroc is None
    assert str(found) == "How large a difference this history could have shown cannot be told."


def test_what_the_worked_accounts_added_is_as_worked_out_by_hand() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.1, 0.8, 0.7, 0.6])
    added = np.array([100.0, 40.0, 0.0, 900.0, 0.0, 10.0, 500.0])
    as_of = np.array([0, 0, 0, 0, 1, 1, 1])
    known = LabelledOutcomes(added > 0, np.arange(7), as_of, arr_added=added)

    found = summary.compute_metrics(score, known, capacity=2, resamples=20, seed=1)

    # At the first as-of the best, and one of two equals; at the second the first two.
    assert found["arr_at_capacity"].value == pytest.approx(((100 + 20) + 10) / 2)


def test_without_revenue_nothing_is_told_of_what_was_added() -> None:
    table = predictions().with_columns(
        arr_added=pl.when(~pl.col("expanded")).then(0.0).cast(pl.Float64)
    )

    found = summary.compute_metrics(
        table["probability"].to_numpy(),
        summary.label_outcomes(table),
        capacity=2,
        resamples=20,
        seed=1,
    )

    assert found["arr_at_capacity"].value is None
    assert found["auroc"].value is not None
    assert any(
        note.startswith("No revenue is known") for note in caveats.list_caveats(table, RULES)
    )


@given(rows_drawn, st.integers(1, 6))
def test_rows_within_capacity_give_the_precision_at_capacity(
    drawn: list[tuple[float, bool]], capacity: int
) -> None:
    score, expanded = (np.array(column) for column in zip(*drawn, strict=True))
    capacity = min(capacity, len(drawn))

    worked = ranking.compute_capacity_share(score, np.zeros(len(drawn), dtype=np.int64), capacity)

    assert worked.sum() == pytest.approx(capacity)
    assert worked @ expanded / capacity == pytest.approx(
        summary.precision_at_capacity(score, expanded, capacity)
    )


def predictions() -> pl.DataFrame:
    """Two as-ofs of four accounts; those of the size "a" never expanded."""
    return pl.DataFrame(
        {
            "account_id": ["w", "x", "y", "z"] * 2,
            "as_of": [DAY] * 4 + [date(2024, 7, 31)] * 4,
            "cut": [DAY] * 8,
            "expanded": [False, False, True, False, False, False, True, True],
            "probability": [0.9, 0.2, 0.6, 0.1, 0.7, 0.1, 0.6, 0.5],
            "base_rate": [0.3] * 8,
            "size": ["1 to 10", "1 to 10", "unknown", "11 to 50"] * 2,
            "plan": ["team"] * 8,
            "tenure": ["first year"] * 8,
            "arr_added": [0.0, 0.0, 12.0, 0.0, 0.0, 0.0, 12.0, 12.0],
        }
    )


def test_a_segment_with_one_outcome_tells_what_can_be_told() -> None:
    found = segments.compute_segment_metrics(predictions(), RULES)

    assert list(found) == ["size", "plan", "tenure"]
    assert list(found["size"]) == ["1 to 10", "11 to 50", "unknown"]
    small = found["size"]["1 to 10"]
    assert (small.snapshots, small.expanded, small.worked) == (4, 0, 2.0)
    assert small.figures["auroc"].value is None
    assert small.figures["observed_to_expected"].value == 0
    assert small.figures["precision_at_capacity"].value == 0
    whole = found["plan"]["team"].figures
    assert whole["precision_at_capacity"].value == pytest.approx(2 / 4)
    assert whole["rate"].value == pytest.approx(3 / 8)


def test_segments_share_out_the_worked_accounts_and_the_expansions() -> None:
    for kinds in segments.compute_segment_metrics(predictions(), RULES).values():
        assert sum(each.worked for each in kinds.values()) == 2 * 2
        assert sum(each.expanded for each in kinds.values()) == 3


def test_an_accounts_kind_is_that_of_the_day() -> None:
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

    plain = segments.assign_segments(snapshots, contracts, Settings(), accounts)
    stable = Settings(tables=TablesConfig(time_invariant_attributes=("segment",)))
    told = segments.assign_segments(snapshots, contracts, stable, accounts)

    assert "segment" not in plain.columns
    assert told["size"].to_list() == ["1 to 10", "11 to 50", "201 and more", "51 to 200", "unknown"]
    assert told["tenure"].to_list() == [
        "first year",
        "second year",
        "after two years",
        "unknown",
        "first year",
    ]
    assert told["plan"].to_list() == ["free", "plan 2", "plan 3", "unknown", "plan 2"]
    assert told["segment"].to_list() == ["bank", "unknown", "unknown", "unknown", "unknown"]


def test_what_was_assumed_or_could_not_be_judged_is_said() -> None:
    table = predictions()
    later = table.with_columns(
        cut=pl.lit(date(2025, 1, 1)),
        expanded=pl.lit(value=False),
        as_of=pl.col("as_of") + pl.duration(days=200),
    )
    always = later.with_columns(account_id=pl.lit("w"), expanded=pl.lit(value=True))

    assert caveats.list_caveats(table, Settings())[0] == (
        "no capacity is set: 20 accounts per as-of are assumed."
    )
    (alone,) = caveats.list_caveats(table, RULES)
    assert alone.startswith("The history is too short for two judged cuts")
    (flat,) = caveats.list_caveats(pl.concat([table, later]), RULES)
    assert flat.startswith("Cut 2025-01-01: all 8 judged snapshots stayed as they were")
    told = caveats.list_caveats(pl.concat([table, always]), RULES)
    assert any(note.startswith("Cut 2025-01-01: all 8 judged snapshots expanded") for note in told)


def test_an_account_that_expands_every_month_is_told_apart() -> None:
    table = pl.concat(
        [
            predictions().with_columns(
                as_of=pl.col("as_of") + pl.duration(days=60 * number),
                expanded=(pl.col("account_id") == "w") | (pl.col("expanded") & (number == 0)),
            )
            for number in range(3)
        ]
    )

    found = caveats.list_caveats(table, RULES)

    said = "1 account(s) expanded after nearly every as-of and hold 67% of all expansions"
    assert any(note.startswith(said) for note in found)
