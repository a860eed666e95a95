"""Dates are judged on expansions that did come, in whole days, beside a constant and a line."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

from training.metrics import dates
from training.metrics.summary import MetricEstimate
from training.model.event_date import EventDateEstimate

AS_OF = date(2025, 1, 1)
days = st.integers(0, 179)
stated = st.tuples(days, days, days).map(sorted)
rows = st.lists(
    st.tuples(st.sampled_from("abc"), days, stated, st.none() | st.floats(0, 720)),
    min_size=1,
    max_size=12,
)


def predictions(drawn: list[tuple[str, int | None, list[int], float | None]]) -> pl.DataFrame:
    """Rows of account, days to expansion, the three stated days, and days to the limit."""
    names = ("account_id", "days_to_expansion", "stated", "days_to_limit")
    schema = {
        "account_id": pl.String,
        "days_to_expansion": pl.Int64,
        "stated": pl.List(pl.Float64),
        "days_to_limit": pl.Float64,
    }
    table = pl.DataFrame([dict(zip(names, row, strict=True)) for row in drawn], schema=schema)
    quantiles = [
        pl.col("stated").list.get(place).alias(f"{name}_days")
        for place, name in enumerate(("early", "median", "late"))
    ]
    return table.with_columns(
        *quantiles,
        as_of=pl.lit(AS_OF),
        cut=pl.lit(AS_OF),
        probability=pl.int_range(pl.len()).cast(pl.Float64) / 100,
        usual_early_days=pl.lit(18.0),
        usual_median_days=pl.lit(90.0),
        usual_late_days=pl.lit(162.0),
    ).drop("stated")


def figures(table: pl.DataFrame, resamples: int = 20) -> dict[str, MetricEstimate]:
    return dates.compute_date_metrics(table, resamples=resamples, seed=1)


def test_the_figures_are_as_worked_out_by_hand() -> None:
    table = predictions(
        [
            ("a", 10, [5, 20, 100], 30.0),  # off by 10; the line by 20; the usual day by 80
            ("b", 100, [10, 70, 90], None),  # off by 30; no limit, so the usual day: 10
            ("c", 150, [20, 140, 170], 720.0),  # off by 10; the line is cut off at 180: 30
            ("c", None, [5, 20, 100], 30.0),  # did not expand, or is not known to have
        ]
    )

    found = {name: figure.value for name, figure in figures(table).items()}

    assert found["date_error_days"] == pytest.approx((10 + 30 + 10) / 3)
    assert found["date_error_days_usual"] == pytest.approx((80 + 10 + 60) / 3)
    assert found["date_error_days_line"] == pytest.approx((20 + 10 + 30) / 3)
    assert found["date_gain_over_usual"] == pytest.approx(1 - 50 / 150)
    assert found["date_gain_over_line"] == pytest.approx(1 - 50 / 60)
    assert found["date_pinball_days_10"] == pytest.approx((0.1 * 5 + 0.1 * 90 + 0.1 * 130) / 3)
    assert found["date_pinball_days_50"] == pytest.approx(50 / 3 / 2)
    assert found["date_pinball_days_90"] == pytest.approx((0.1 * 90 + 0.9 * 10 + 0.1 * 20) / 3)
    assert found["date_coverage"] == pytest.approx(2 / 3)
    thirds = [found[f"date_coverage_{third}"] for third in ("lowest", "middle", "highest")]
    assert thirds == [1.0, 0.0, 1.0]


@given(rows)
@settings(max_examples=40)
def test_the_figures_agree_with_scikit_learn(
    drawn: list[tuple[str, int, list[int], float | None]],
) -> None:
    table = predictions(drawn)
    came = table["days_to_expansion"]

    found = {name: figure.value for name, figure in figures(table, resamples=2).items()}

    assert found["date_error_days"] == pytest.approx(
        mean_absolute_error(came, table["median_days"])
    )
    for name, share in {"early": 0.1, "median": 0.5, "late": 0.9}.items():
        theirs = mean_pinball_loss(came, table[f"{name}_days"], alpha=share)
        assert found[f"date_pinball_days_{share * 100:.0f}"] == pytest.approx(theirs)


@given(rows)
@settings(max_examples=20)
def test_what_did_not_expand_has_no_part_in_the_figures(
    drawn: list[tuple[str, int, list[int], float | None]],
) -> None:
    silent = [("z", None, [0, 1, 2], 5.0)]

    assert figures(predictions([*silent, *drawn, *silent])) == pytest.approx(
        figures(predictions([*silent, *drawn]))
    )


def test_an_interval_of_one_day_holds_that_day() -> None:
    table = predictions([("a", 7, [7, 7, 7], None)])

    assert figures(table)["date_coverage"].value == 1.0


def test_without_any_expansion_no_figure_is_made_up() -> None:
    table = predictions([("a", None, [1, 2, 3], None)])

    assert set(figures(table).values()) == {MetricEstimate(None, None, None)}


@given(st.lists(days, min_size=1, max_size=30))
def test_no_whole_day_is_better_than_the_usual_one(came: list[int]) -> None:
    usual = dates.fit_constant_baseline(pl.Series(came))

    known = np.array(came, dtype=np.float64)
    for name, share in {"early": 0.1, "median": 0.5, "late": 0.9}.items():
        losses = [mean_pinball_loss(known, np.full(len(came), day), alpha=share) for day in came]
        mine = mean_pinball_loss(
            known, np.full(len(came), usual[f"usual_{name}_days"]), alpha=share
        )
        assert mine == pytest.approx(min(losses))


def test_where_no_expansion_is_known_any_day_is_as_usual_as_another() -> None:
    usual = dates.fit_constant_baseline(pl.Series([], dtype=pl.Int64))

    assert list(usual.values()) == pytest.approx([18.0, 90.0, 162.0])


def test_dates_are_told_in_whole_days_as_the_list_tells_them() -> None:
    one = np.array([1.0])
    expected = EventDateEstimate(
        probability_180d=one / 2, early=one * 3.9, median=one * 20.5, late=one * 90.0
    )

    told = dates.build_date_columns(expected)

    assert {name: series.to_list() for name, series in told.items()} == {
        "within_180d": [0.5],
        "early_days": [3.0],
        "median_days": [20.0],
        "late_days": [90.0],
    }
