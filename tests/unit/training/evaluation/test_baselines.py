"""Baselines follow their definitions, and are selected on past data only."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from features.catalogue import FEATURE_NAMES
from training import labels
from training.dataset.training_set import TrainingSet
from training.evaluation import baselines, splits
from training.metrics.summary import precision_at_capacity

DAY = date(2024, 7, 1)
VALUES = st.none() | st.floats(-5, 5, width=32)


def snapshots(rows: int = 2, **known: list[float | None]) -> pl.DataFrame:
    """Build snapshots of one as-of in which all other columns are missing."""
    columns = {
        name: pl.Series(known.get(name, [None] * rows), dtype=pl.Float64) for name in FEATURE_NAMES
    }
    accounts = [f"acc_{number}" for number in range(rows)]
    return pl.DataFrame({"account_id": accounts, "as_of": [DAY] * rows}).with_columns(**columns)


def test_each_baseline_scores_by_its_definition_and_ranks_missing_values_last() -> None:
    table = snapshots(
        seat_utilization=[0.85, None],
        active_users_30d=[3.0, None],
        events_30d=[9.0, None],
        usage_days_to_limit=[40.0, None],
        seat_days_above_80_percent=[3.0, None],
        new_users_30d=[1.0, None],
        api_growth_30d=[0.3, None],
        usage_ratio=[0.5, None],
        events_growth_30d=[0.1, None],
    )

    scores = baselines.score_baselines(table)

    first = scores.row(0, named=True)
    assert {name: first[name] for name in list(baselines.BASELINES)[:7]} == {
        "seat utilization": 0.85,
        "most active users": 3.0,
        "rule: utilization at least 80 %": 1.0,
        "most events": 9.0,
        "days to limit": -40.0,
        "rule: 80 % held for 3 days": 1.0,
        "rule: tier 1": 1.0,
    }
    ranked = scores.select(pl.exclude("account_id", "as_of", baselines.RANDOM))
    assert np.all(np.array(ranked.row(1)) < np.array(ranked.row(0)))


def test_a_rule_held_for_two_days_only_does_not_fire() -> None:
    table = snapshots(seat_days_above_80_percent=[2.0, 3.0])

    assert baselines.score_baselines(table)["rule: 80 % held for 3 days"].to_list() == [0.0, 1.0]


def test_the_health_score_is_the_mean_of_the_percentiles_that_are_known() -> None:
    table = snapshots(
        rows=3,
        active_users_30d=[1.0, 2.0, 4.0],  # 1/6, 3/6, 5/6
        features_30d=[5.0, 5.0, 1.0],  # 4/6, 4/6, 1/6
        events_growth_30d=[0.3, 0.2, 0.1],  # 5/6, 3/6, 1/6
        tickets_90d=[0.0, 4.0, 4.0],  # per user 0, 2, 1: 5/6, 1/6, 3/6
        nps_180d=[None, None, None],
    )

    scores = baselines.score_baselines(table)["health score"].to_list()

    assert scores == pytest.approx([15 / 24, 11 / 24, 10 / 24])


@given(st.lists(VALUES, min_size=1, max_size=12))
def test_percentile_ranks_keep_the_order_and_average_one_half(values: list[float | None]) -> None:
    table = pl.DataFrame({"as_of": [DAY] * len(values), "x": pl.Series(values, dtype=pl.Float64)})

    ranks = table.select(p=baselines.percentile_rank(pl.col("x")))["p"].to_list()

    known = [(v, p) for v, p in zip(values, ranks, strict=True) if v is not None]
    assert [p is None for p in ranks] == [v is None for v in values]
    for value, rank in known:
        assert 0 < rank < 1
        assert all((value < v) == (rank < p) for v, p in known)
    if known:
        assert np.mean([p for _, p in known]) == pytest.approx(0.5)


def test_the_random_baseline_depends_only_on_account_and_as_of() -> None:
    table = snapshots(rows=200)

    scores = baselines.score_baselines(table)[baselines.RANDOM]

    subset = baselines.score_baselines(table.reverse().head(50))[baselines.RANDOM]
    assert subset.to_list() == scores.reverse().head(50).to_list()
    assert scores[0] == pytest.approx(0.9629001176)
    assert scores.is_between(0, 1).all()
    assert scores.mean() == pytest.approx(0.5, abs=0.1)
    later = baselines.score_baselines(table.with_columns(as_of=date(2024, 8, 1)))[baselines.RANDOM]
    assert abs(np.corrcoef(scores, later)[0, 1]) < 0.2


@pytest.fixture(scope="module")
def training_set(history: Any) -> TrainingSet:
    return history.training_set(splits.to_utc_midnight(date(2024, 8, 1)))  # type: ignore[no-any-return]


def test_the_best_feature_has_the_highest_average_precision(training_set: TrainingSet) -> None:
    label = training_set.outcomes.select(y=labels.expansion_label(60))["y"]
    rows = training_set.snapshots.filter(label.is_not_null())
    expanded = label.drop_nulls().to_numpy()
    slow_values = {
        (name, sign): average_precision_score(expanded, _slow_percentile_ranks(rows, name, sign))
        for sign in (1, -1)
        for name in FEATURE_NAMES
    }

    best = baselines.select_best_feature(training_set, labels.expansion_label(60))

    assert best == max(slow_values, key=lambda key: slow_values[key])
    assert best == ("seat_utilization", 1)


def _slow_percentile_ranks(rows: pl.DataFrame, name: str, sign: int) -> list[float]:
    """Compute percentile ranks within the as-of with mid-ranks for ties; 0 where missing."""
    table = rows.select("as_of", x=pl.col(name) * sign).rows()
    values_by_as_of: dict[date, list[float]] = {}
    for as_of, value in table:
        values_by_as_of.setdefault(as_of, []).extend([] if value is None else [value])
    sorted_values = {as_of: np.sort(values) for as_of, values in values_by_as_of.items()}

    def rank(as_of: date, value: float | None) -> float:
        if value is None:
            return 0.0
        values_of_as_of = sorted_values[as_of]
        below, up_to = (
            np.searchsorted(values_of_as_of, value),
            np.searchsorted(values_of_as_of, value, side="right"),
        )
        return float((below + up_to) / 2 / len(values_of_as_of))

    return [rank(as_of, value) for as_of, value in table]


def test_a_feature_that_only_separates_as_ofs_does_not_rank_accounts(
    training_set: TrainingSet,
) -> None:
    label = training_set.outcomes.select(y=labels.expansion_label(60))["y"]
    rates = (
        training_set.snapshots.with_columns(y=label).group_by("as_of").agg(rate=pl.col("y").mean())
    )
    joined = training_set.snapshots.join(rates, on="as_of", how="left", maintain_order="left")

    scores = joined.with_columns(month_of_year="rate").select(
        s=baselines.score_by_feature("month_of_year", 1),
        known=pl.col("rate").is_not_null(),
    )

    assert scores.filter("known")["s"].to_list() == pytest.approx([0.5] * scores["known"].sum())


def test_the_selected_baseline_has_the_highest_precision_at_capacity(
    training_set: TrainingSet,
) -> None:
    label = training_set.outcomes.select(y=labels.expansion_label(60))["y"]
    rows = baselines.score_baselines(training_set.snapshots).with_columns(y=label).drop_nulls("y")
    slow_values = {
        name: np.mean(
            [
                precision_at_capacity(part[name].to_numpy(), part["y"].to_numpy(), 5)
                for part in rows.partition_by("as_of")
            ]
        )
        for name in baselines.BASELINES
    }

    selected = baselines.select_baseline(training_set, labels.expansion_label(60), capacity=5)

    assert selected != baselines.RANDOM
    assert slow_values[selected] == max(
        score for name, score in slow_values.items() if name != baselines.RANDOM
    )


def test_a_feature_scores_by_its_rank_with_missing_values_last() -> None:
    table = snapshots(rows=4, mrr=[5.0, None, 9.0, 5.0])

    scores = table.select(s=baselines.score_by_feature("mrr", -1))["s"].to_list()

    assert scores == pytest.approx([4 / 6, 0.0, 1 / 6, 4 / 6])
