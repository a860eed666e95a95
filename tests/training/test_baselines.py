"""The simple rankings are what they are called, and those chosen were chosen on the past."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from data.config.settings import Settings
from features.catalogue import FEATURE_NAMES
from training import labels
from training.evaluation import baseline_selection, baselines, splits
from training.evaluation.splits import TrainingSet
from training.metrics.summary import precision_at_capacity

DAY = date(2024, 7, 1)
SOME = st.none() | st.floats(-5, 5, width=32)


def snapshots(rows: int = 2, **known: list[float | None]) -> pl.DataFrame:
    """Snapshots of one as-of, of which nothing else is known."""
    columns = {
        name: pl.Series(known.get(name, [None] * rows), dtype=pl.Float64) for name in FEATURE_NAMES
    }
    accounts = [f"acc_{number}" for number in range(rows)]
    return pl.DataFrame({"account_id": accounts, "as_of": [DAY] * rows}).with_columns(**columns)


def test_each_ranking_scores_as_it_is_called_and_puts_the_unknown_last() -> None:
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

    found = baselines.score_baselines(table)

    first = found.row(0, named=True)
    assert {name: first[name] for name in list(baselines.BASELINES)[:7]} == {
        "seat utilisation": 0.85,
        "most active users": 3.0,
        "rule: utilisation at least 80 %": 1.0,
        "most events": 9.0,
        "days to limit": -40.0,
        "rule: 80 % held for 3 days": 1.0,
        "rule: tier 1": 1.0,
    }
    ranked = found.select(pl.exclude("account_id", "as_of", baselines.RANDOM))
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

    found = baselines.score_baselines(table)["health score"].to_list()

    assert found == pytest.approx([15 / 24, 11 / 24, 10 / 24])


@given(st.lists(SOME, min_size=1, max_size=12))
def test_a_percentile_keeps_the_order_and_is_half_on_average(values: list[float | None]) -> None:
    table = pl.DataFrame({"as_of": [DAY] * len(values), "x": pl.Series(values, dtype=pl.Float64)})

    places = table.select(p=baselines.percentile_rank(pl.col("x")))["p"].to_list()

    known = [(v, p) for v, p in zip(values, places, strict=True) if v is not None]
    assert [p is None for p in places] == [v is None for v in values]
    for value, place in known:
        assert 0 < place < 1
        assert all((value < v) == (place < p) for v, p in known)
    if known:
        assert np.mean([p for _, p in known]) == pytest.approx(0.5)


def test_the_random_ranking_depends_on_the_account_and_the_as_of_alone() -> None:
    table = snapshots(rows=200)

    found = baselines.score_baselines(table)[baselines.RANDOM]

    again = baselines.score_baselines(table.reverse().head(50))[baselines.RANDOM]
    assert again.to_list() == found.reverse().head(50).to_list()
    assert found[0] == pytest.approx(0.9629001176)
    assert found.is_between(0, 1).all()
    assert found.mean() == pytest.approx(0.5, abs=0.1)
    later = baselines.score_baselines(table.with_columns(as_of=date(2024, 8, 1)))[baselines.RANDOM]
    assert abs(np.corrcoef(found, later)[0, 1]) < 0.2


@pytest.fixture(scope="module")
def known(history: Any, settings: Settings) -> TrainingSet:
    cut = splits.utc_midnight(date(2024, 8, 1))
    return splits.build_training_set(history.snapshots, history.contracts, cut, settings.outcome)


def test_the_best_column_is_that_of_the_best_average_precision(known: TrainingSet) -> None:
    label = known.outcomes.select(y=labels.expanded_within(60))["y"]
    rows = known.snapshots.filter(label.is_not_null())
    happened = label.drop_nulls().to_numpy()
    slow = {
        (name, sign): average_precision_score(happened, _places(rows, name, sign))
        for sign in (1, -1)
        for name in FEATURE_NAMES
    }

    found = baseline_selection.select_best_feature(known, labels.expanded_within(60))

    assert found == max(slow, key=lambda key: slow[key])
    assert found == ("seat_utilization", 1)


def _places(rows: pl.DataFrame, name: str, sign: int) -> list[float]:
    """The share of the as-of's accounts below, equals by half; 0 where it is not known."""
    table = rows.select("as_of", x=pl.col(name) * sign).rows()
    months: dict[date, list[float]] = {}
    for as_of, value in table:
        months.setdefault(as_of, []).extend([] if value is None else [value])
    sorted_months = {as_of: np.sort(values) for as_of, values in months.items()}

    def place(as_of: date, value: float | None) -> float:
        if value is None:
            return 0.0
        among = sorted_months[as_of]
        below, upto = np.searchsorted(among, value), np.searchsorted(among, value, side="right")
        return float((below + upto) / 2 / len(among))

    return [place(as_of, value) for as_of, value in table]


def test_a_column_that_only_tells_as_ofs_apart_ranks_nobody(known: TrainingSet) -> None:
    label = known.outcomes.select(y=labels.expanded_within(60))["y"]
    busiest = known.snapshots.with_columns(y=label).group_by("as_of").agg(rate=pl.col("y").mean())
    told = known.snapshots.join(busiest, on="as_of", how="left", maintain_order="left")

    found = told.with_columns(month_of_year="rate").select(
        s=baseline_selection.score_by_feature("month_of_year", 1),
        known=pl.col("rate").is_not_null(),
    )

    assert found.filter("known")["s"].to_list() == pytest.approx([0.5] * found["known"].sum())


def test_the_best_ranking_is_that_of_the_best_precision_at_capacity(known: TrainingSet) -> None:
    label = known.outcomes.select(y=labels.expanded_within(60))["y"]
    rows = baselines.score_baselines(known.snapshots).with_columns(y=label).drop_nulls("y")
    slow = {
        name: np.mean(
            [
                precision_at_capacity(part[name].to_numpy(), part["y"].to_numpy(), 5)
                for part in rows.partition_by("as_of")
            ]
        )
        for name in baselines.BASELINES
    }

    found = baseline_selection.select_baseline(known, labels.expanded_within(60), capacity=5)

    assert found != baselines.RANDOM
    assert slow[found] == max(score for name, score in slow.items() if name != baselines.RANDOM)


def test_what_became_known_after_a_cut_chooses_nothing_for_it(
    history: Any, settings: Settings, known: TrainingSet
) -> None:
    cut = splits.utc_midnight(date(2024, 8, 1))
    earlier = history.contracts.filter(pl.col("known") < cut)
    before = history.snapshots.filter(pl.col("as_of") < cut.date())
    alone = splits.build_training_set(before, earlier, cut, settings.outcome)

    for happened in (labels.expanded_within(60),):
        assert baseline_selection.select_best_feature(
            alone, happened
        ) == baseline_selection.select_best_feature(known, happened)
        assert baseline_selection.select_baseline(
            alone, happened, capacity=5
        ) == baseline_selection.select_baseline(known, happened, capacity=5)


def test_a_column_scores_by_its_place_with_the_unknown_last() -> None:
    table = snapshots(rows=4, mrr=[5.0, None, 9.0, 5.0])

    found = table.select(s=baseline_selection.score_by_feature("mrr", -1))["s"].to_list()

    assert found == pytest.approx([4 / 6, 0.0, 1 / 6, 4 / 6])
