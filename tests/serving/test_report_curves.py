"""The numbers behind the charts: by hand, against slow versions, and against scikit-learn."""

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
DRAWS = {"resamples": 20, "seed": 1}


def known(probability: list[float], expanded: list[bool], **columns: Any) -> pl.DataFrame:
    """Predictions of as many accounts at one as-of, unless said otherwise."""
    count = len(probability)
    given = {
        "account_id": [f"a{number}" for number in range(count)],
        "as_of": [DAY] * count,
        "cut": [DAY] * count,
        "probability": probability,
        "expanded": expanded,
    }
    return pl.DataFrame(given | columns)


@st.composite
def predictions(draw: st.DrawFn) -> pl.DataFrame:
    """Few accounts at few as-ofs, many of equal score."""
    count = draw(st.integers(2, 40))
    tenths = st.lists(st.integers(0, 10), min_size=count, max_size=count)
    as_ofs = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return known(
        [tenth / 10 for tenth in draw(tenths)],
        flags,
        as_of=[DAY + timedelta(days=30 * month) for month in as_ofs],
    )


@given(predictions(), st.integers(1, 50))
def test_capacity_curves_pass_through_the_figures_at_capacity(
    table: pl.DataFrame, worked: int
) -> None:
    happened = summary.label_outcomes(table)
    as_it_was = happened.bootstrap(resamples=0, seed=0)
    asked = (table["probability"].to_numpy(), happened.expanded, happened.as_of, worked)

    found = chart_data.compute_capacity_curve(table, "probability", [1, worked])

    precision = as_it_was.evaluate(ranking.mean_precision_at_capacity(*asked))[0]
    recall = as_it_was.evaluate(ranking.recall_at_capacity(*asked))[0]
    assert found["precision"][1] == pytest.approx(precision)
    assert found["recall"][1] == pytest.approx(recall, nan_ok=True)


@given(predictions().filter(lambda table: table["expanded"].any()))
def test_precision_by_recall_is_that_of_scikit_learn(table: pl.DataFrame) -> None:
    score, expanded = table["probability"].to_numpy(), table["expanded"].to_numpy()
    precision, recall, _ = precision_recall_curve(expanded, score, drop_intermediate=False)

    found = chart_data.compute_precision_recall(table, "probability")

    for share, value in found.rows():
        first = np.flatnonzero(recall >= share - 1e-9)[-1]  # scikit-learn walks up the list
        assert value == pytest.approx(precision[first])


@given(predictions())
def test_groups_of_the_reliability_chart_hold_every_snapshot_once(table: pl.DataFrame) -> None:
    found = chart_data.compute_reliability(table, **DRAWS)

    assert found["snapshots"].sum() == table.height
    assert (found["expected"] * found["snapshots"]).sum() == pytest.approx(
        table["probability"].sum()
    )
    assert (found["observed"] * found["snapshots"]).sum() == pytest.approx(table["expanded"].sum())
    assert found["expected"].is_sorted()
    assert (found["low"] <= found["observed"]).all()
    assert (found["observed"] <= found["high"]).all()


def test_net_benefit_is_what_is_found_less_what_was_needless() -> None:
    # 30 accounts; 20 stated at 0.5, of which 10 expand; 10 at 0.02, of which none does.
    table = known(
        [0.5] * 20 + [0.02] * 10, [True] * 10 + [False] * 20, rule=[1.0] * 15 + [0.0] * 15
    )

    found = chart_data.compute_net_benefit(table, {"rule": "rule"}, **DRAWS)

    half = found.row(-1, named=True)
    assert half["threshold"] == pytest.approx(0.5)
    assert half["everyone"] == pytest.approx((10 - 20) / 30)
    assert half["rule"] == pytest.approx((10 - 5) / 30)
    below = found.row(0, named=True)
    assert below["threshold"] == pytest.approx(0.01)
    assert below["model"] == pytest.approx(below["everyone"])
    middle = found.filter(pl.col("threshold").is_between(0.1, 0.4)).row(0, named=True)
    weight = middle["threshold"] / (1 - middle["threshold"])
    assert middle["model"] == pytest.approx((10 - 10 * weight) / 30)


@given(predictions())
def test_months_count_what_was_expected_and_what_came(table: pl.DataFrame) -> None:
    found = chart_data.count_expansions_by_date(table)

    assert found["as_of"].is_sorted()
    assert found["observed"].sum() == table["expanded"].sum()
    assert found["expected"].sum() == pytest.approx(table["probability"].sum())
    assert (found["low"] <= found["expected"]).all()


def test_dates_are_compared_in_groups_of_like_expected_dates() -> None:
    days = [10.0] * 20 + [100.0] * 20
    table = pl.DataFrame(
        {
            "median_days": days,
            "early_days": [5.0] * 40,
            "late_days": [150.0] * 40,
            "days_to_expansion": list(range(20)) + list(range(80, 100)),
        }
    )

    found = chart_data.group_event_dates(table)

    assert found["median"].to_list() == [10, 100]
    assert found["expansions"].to_list() == [20, 20]
    assert found["came_50"].to_list() == [9.5, 89.5]
    assert found["came_10"].to_list() == pytest.approx([1.9, 81.9])


def test_of_one_snapshot_everything_can_be_told() -> None:
    one = known([0.3], [True])

    assert chart_data.compute_reliability(one, **DRAWS).height == 1
    assert chart_data.compute_capacity_curve(one, "probability", [1, 5])["precision"].to_list() == [
        1,
        1,
    ]
    assert (
        chart_data.compute_precision_recall(one, "probability")["precision"].to_list() == [1] * 100
    )
    assert chart_data.compute_net_benefit(one, {}, **DRAWS)["model"][0] == 1
    assert chart_data.count_expansions_by_date(one)["observed"].to_list() == [1]
