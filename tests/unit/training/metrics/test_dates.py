"""Date metrics use observed expansions, whole days, and two baselines."""

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
predicted_days = st.tuples(days, days, days).map(sorted)
random_rows = st.lists(
    st.tuples(st.sampled_from("abc"), days, predicted_days, st.none() | st.floats(0, 720)),
    min_size=1,
    max_size=12,
)


def predictions(drawn_rows: list[tuple[str, int | None, list[int], float | None]]) -> pl.DataFrame:
    """Build rows of account, days to expansion, three predicted days, and days to the limit."""
    names = ("account_id", "days_to_expansion", "predicted", "days_to_limit")
    schema = {
        "account_id": pl.String,
        "days_to_expansion": pl.Int64,
        "predicted": pl.List(pl.Float64),
        "days_to_limit": pl.Float64,
    }
    table = pl.DataFrame([dict(zip(names, row, strict=True)) for row in drawn_rows], schema=schema)
    quantiles = [
        pl.col("predicted").list.get(index).alias(f"{name}_days")
        for index, name in enumerate(("early", "median", "late"))
    ]
    return table.with_columns(
        *quantiles,
        as_of=pl.lit(AS_OF),
        cutoff=pl.lit(AS_OF),
        probability=pl.int_range(pl.len()).cast(pl.Float64) / 100,
        constant_early_days=pl.lit(18.0),
        constant_median_days=pl.lit(90.0),
        constant_late_days=pl.lit(162.0),
    ).drop("predicted")


def compute_metrics(table: pl.DataFrame, resamples: int = 20) -> dict[str, MetricEstimate]:
    return dates.compute_date_metrics(table, resamples=resamples, seed=1)


def test_the_metrics_match_hand_worked_numbers() -> None:
    table = predictions(
        [
            ("a", 10, [5, 20, 100], 30.0),  # error 10; linear 20; constant 80
            ("b", 100, [10, 70, 90], None),  # error 30; no limit, so linear equals the constant: 10
            ("c", 150, [20, 140, 170], 720.0),  # error 10; linear is capped at 180: 30
            ("c", None, [5, 20, 100], 30.0),  # no known expansion
        ]
    )

    values = {name: estimate.value for name, estimate in compute_metrics(table).items()}

    assert values["date_mae_days"] == pytest.approx((10 + 30 + 10) / 3)
    assert values["date_mae_days_constant"] == pytest.approx((80 + 10 + 60) / 3)
    assert values["date_mae_days_linear"] == pytest.approx((20 + 10 + 30) / 3)
    assert values["date_skill_over_constant"] == pytest.approx(1 - 50 / 150)
    assert values["date_skill_over_linear"] == pytest.approx(1 - 50 / 60)
    assert values["date_pinball_days_10"] == pytest.approx((0.1 * 5 + 0.1 * 90 + 0.1 * 130) / 3)
    assert values["date_pinball_days_50"] == pytest.approx(50 / 3 / 2)
    assert values["date_pinball_days_90"] == pytest.approx((0.1 * 90 + 0.9 * 10 + 0.1 * 20) / 3)
    assert values["date_coverage"] == pytest.approx(2 / 3)
    thirds = [values[f"date_coverage_{third}"] for third in ("lowest", "middle", "highest")]
    assert thirds == [1.0, 0.0, 1.0]


@given(random_rows)
@settings(max_examples=40)
def test_the_metrics_agree_with_scikit_learn(
    drawn_rows: list[tuple[str, int, list[int], float | None]],
) -> None:
    table = predictions(drawn_rows)
    event_days = table["days_to_expansion"]

    values = {
        name: estimate.value for name, estimate in compute_metrics(table, resamples=2).items()
    }

    assert values["date_mae_days"] == pytest.approx(
        mean_absolute_error(event_days, table["median_days"])
    )
    for name, quantile in {"early": 0.1, "median": 0.5, "late": 0.9}.items():
        expected = mean_pinball_loss(event_days, table[f"{name}_days"], alpha=quantile)
        assert values[f"date_pinball_days_{quantile * 100:.0f}"] == pytest.approx(expected)


@given(random_rows)
@settings(max_examples=20)
def test_rows_without_an_expansion_are_ignored(
    drawn_rows: list[tuple[str, int, list[int], float | None]],
) -> None:
    no_event = [("z", None, [0, 1, 2], 5.0)]

    assert compute_metrics(predictions([*no_event, *drawn_rows, *no_event])) == pytest.approx(
        compute_metrics(predictions([*no_event, *drawn_rows]))
    )


def test_an_interval_of_one_day_covers_that_day() -> None:
    table = predictions([("a", 7, [7, 7, 7], None)])

    assert compute_metrics(table)["date_coverage"].value == 1.0


def test_without_any_expansion_all_metrics_are_undefined() -> None:
    table = predictions([("a", None, [1, 2, 3], None)])

    assert set(compute_metrics(table).values()) == {MetricEstimate(None, None, None)}


@given(st.lists(days, min_size=1, max_size=30))
def test_no_other_whole_day_has_a_lower_pinball_loss_than_the_constant(
    event_days: list[int],
) -> None:
    constants = dates.fit_constant_baseline(pl.Series(event_days))

    observed = np.array(event_days, dtype=np.float64)
    for name, quantile in {"early": 0.1, "median": 0.5, "late": 0.9}.items():
        losses = [
            mean_pinball_loss(observed, np.full(len(event_days), day), alpha=quantile)
            for day in event_days
        ]
        constant_loss = mean_pinball_loss(
            observed, np.full(len(event_days), constants[f"constant_{name}_days"]), alpha=quantile
        )
        assert constant_loss == pytest.approx(min(losses))


def test_without_expansions_the_constants_are_uniform_quantiles() -> None:
    constants = dates.fit_constant_baseline(pl.Series([], dtype=pl.Int64))

    assert list(constants.values()) == pytest.approx([18.0, 90.0, 162.0])


def test_date_columns_are_whole_days_as_in_the_list() -> None:
    one = np.array([1.0])
    dates_expected = EventDateEstimate(
        probability_180d=one / 2, early=one * 3.9, median=one * 20.5, late=one * 90.0
    )

    columns = dates.build_date_columns(dates_expected)

    assert {name: series.to_list() for name, series in columns.items()} == {
        "within_180d": [0.5],
        "early_days": [3.0],
        "median_days": [20.0],
        "late_days": [90.0],
    }
