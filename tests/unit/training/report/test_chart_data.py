"""Chart data compared with hand-computed values, the metrics module and scikit-learn."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from training.metrics import ranking, summary
from training.report import chart_data

DAY = date(2025, 1, 1)
BOOTSTRAP = {"resamples": 20, "seed": 1}


def labelled_predictions(
    probability: list[float], expanded: list[bool], **columns: Any
) -> pl.DataFrame:
    """Build predictions of one account each at a single as-of by default."""
    count = len(probability)
    defaults = {
        "account_id": [f"a{number}" for number in range(count)],
        "as_of": [DAY] * count,
        "cutoff": [DAY] * count,
        "probability": probability,
        "expanded": expanded,
    }
    return pl.DataFrame(defaults | columns)


@st.composite
def predictions(draw: st.DrawFn) -> pl.DataFrame:
    """Draw a few accounts at a few as-ofs, with many ties."""
    count = draw(st.integers(2, 40))
    tenths = st.lists(st.integers(0, 10), min_size=count, max_size=count)
    as_ofs = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return labelled_predictions(
        [tenth / 10 for tenth in draw(tenths)],
        flags,
        as_of=[DAY + timedelta(days=30 * month) for month in as_ofs],
    )


@given(predictions(), st.integers(1, 50))
def test_capacity_curves_equal_the_metrics_at_capacity(table: pl.DataFrame, contacted: int) -> None:
    outcomes = summary.label_outcomes(table)
    point_estimate = outcomes.bootstrap(resamples=0, seed=0)
    arguments = (table["probability"].to_numpy(), outcomes.expanded, outcomes.as_of, contacted)

    result = chart_data.compute_capacity_curve(table, "probability", [1, contacted])

    precision = point_estimate.evaluate(ranking.mean_precision_at_capacity(*arguments))[0]
    recall = point_estimate.evaluate(ranking.recall_at_capacity(*arguments))[0]
    assert result["precision"][1] == pytest.approx(precision)
    assert result["recall"][1] == pytest.approx(recall, nan_ok=True)


@given(predictions().filter(lambda table: table["expanded"].any()))
def test_precision_recall_equals_scikit_learn(table: pl.DataFrame) -> None:
    score, expanded = table["probability"].to_numpy(), table["expanded"].to_numpy()
    precision, recall, _ = precision_recall_curve(expanded, score, drop_intermediate=False)

    result = chart_data.compute_precision_recall(table, "probability")

    for share, value in result.rows():
        # scikit-learn orders by ascending threshold.
        first = np.flatnonzero(recall >= share - 1e-9)[-1]
        assert value == pytest.approx(precision[first])


@given(predictions())
def test_reliability_bins_contain_every_snapshot_once(table: pl.DataFrame) -> None:
    result = chart_data.compute_reliability(table, **BOOTSTRAP)

    assert result["snapshots"].sum() == table.height
    assert (result["expected"] * result["snapshots"]).sum() == pytest.approx(
        table["probability"].sum()
    )
    assert (result["observed"] * result["snapshots"]).sum() == pytest.approx(
        table["expanded"].sum()
    )
    assert result["expected"].is_sorted()
    assert (result["low"] <= result["observed"]).all()
    assert (result["observed"] <= result["high"]).all()


def test_net_benefit_is_true_positives_less_weighted_false_positives() -> None:
    # 30 accounts: 20 at 0.5, 10 of them expand; 10 at 0.02, none of them expands.
    table = labelled_predictions(
        [0.5] * 20 + [0.02] * 10, [True] * 10 + [False] * 20, rule=[1.0] * 15 + [0.0] * 15
    )

    result = chart_data.compute_net_benefit(table, ["rule"], **BOOTSTRAP)

    last_row = result.row(-1, named=True)
    assert last_row["threshold"] == pytest.approx(0.5)
    assert last_row["everyone"] == pytest.approx((10 - 20) / 30)
    assert last_row["rule"] == pytest.approx((10 - 5) / 30)
    first_row = result.row(0, named=True)
    assert first_row["threshold"] == pytest.approx(0.01)
    assert first_row["model"] == pytest.approx(first_row["everyone"])
    middle_row = result.filter(pl.col("threshold").is_between(0.1, 0.4)).row(0, named=True)
    weight = middle_row["threshold"] / (1 - middle_row["threshold"])
    assert middle_row["model"] == pytest.approx((10 - 10 * weight) / 30)


@given(predictions())
def test_expected_and_observed_expansions_are_counted_by_date(table: pl.DataFrame) -> None:
    result = chart_data.count_expansions_by_date(table)

    assert result["as_of"].is_sorted()
    assert result["observed"].sum() == table["expanded"].sum()
    assert result["expected"].sum() == pytest.approx(table["probability"].sum())
    assert (result["low"] <= result["expected"]).all()


def test_dates_are_compared_in_groups_of_similar_expected_dates() -> None:
    days = [10.0] * 20 + [100.0] * 20
    table = pl.DataFrame(
        {"median_days": days, "days_to_expansion": [*range(20), *range(80, 100)]}
    ).with_columns(early_days=pl.lit(5.0), late_days=pl.lit(150.0))

    result = chart_data.group_event_dates(table)

    assert result["median"].to_list() == [10, 100]
    assert result["expansions"].to_list() == [20, 20]
    assert result["observed_50"].to_list() == [9.5, 89.5]
    assert result["observed_10"].to_list() == pytest.approx([1.9, 81.9])


def test_every_table_can_be_computed_from_one_snapshot() -> None:
    single = labelled_predictions([0.3], [True])
    capacity_curve = chart_data.compute_capacity_curve(single, "probability", [1, 5])
    precision_recall = chart_data.compute_precision_recall(single, "probability")

    assert chart_data.compute_reliability(single, **BOOTSTRAP).height == 1
    assert capacity_curve["precision"].to_list() == [1] * 2
    assert precision_recall["precision"].to_list() == [1] * 100
    assert chart_data.compute_net_benefit(single, [], **BOOTSTRAP)["model"][0] == 1
    assert chart_data.count_expansions_by_date(single)["observed"].to_list() == [1]
