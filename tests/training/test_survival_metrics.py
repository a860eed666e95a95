"""The curve is judged by every account, those still followed too: against slow definitions."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.metrics import survival
from training.metrics.cluster_bootstrap import ResampleWeights

Array = NDArray[np.float64]

accounts = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.2, 0.5, 0.9]),  # risk, with ties
        st.integers(0, 5),  # days
        st.booleans(),  # expansion seen
        st.integers(0, 3),  # how often drawn
    ),
    min_size=2,
    max_size=15,
)


def once(rows: int) -> ResampleWeights:
    return ResampleWeights(np.ones((1, rows)), np.ones((1, rows)))


@given(accounts)
def test_concordance_is_the_share_of_pairs_in_the_right_order(
    drawn: list[tuple[float, int, bool, int]],
) -> None:
    risk, days, seen, times = (np.array(column) for column in zip(*drawn, strict=True))
    weights = ResampleWeights(times[None, :].astype(float), np.ones((1, len(drawn))))

    found = survival.concordance_index(risk, days, seen)(weights)[0]

    repeated = [row for row in drawn for _ in range(row[3])]
    pairs = [(a, b) for a in repeated if a[2] for b in repeated if b[1] > a[1]]
    right = [1.0 if a[0] > b[0] else 0.5 if a[0] == b[0] else 0.0 for a, b in pairs]
    assert found == pytest.approx(np.mean(right) if right else np.nan, nan_ok=True)


def test_many_events_are_counted_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    risk, days = rng.uniform(size=90), rng.integers(0, 180, 90)
    seen = rng.uniform(size=90) < 0.5

    whole = survival.concordance_index(risk, days, seen)(once(90))
    monkeypatch.setattr(survival, "_CHUNK_EVENTS", 7)

    assert survival.concordance_index(risk, days, seen)(once(90)) == pytest.approx(whole)


def predictions() -> pl.DataFrame:
    """Four accounts: one expanded on day 10, one on day 40; two did not in 60 and in 30 days."""
    return pl.DataFrame(
        {
            "account_id": ["a", "b", "c", "d"],
            "cut": [date(2024, 1, 1)] * 4,
            "within_30d": [0.5, 0.1, 0.2, 0.1],
            "within_60d": [0.8, 0.3, 0.2, 0.4],
            "known_days": [60, 60, 60, 30],
            "days_followed": [10, 40, 60, 30],
            "expansion_seen": [True, True, False, False],
        }
    )


def test_the_figures_are_as_worked_out_by_hand() -> None:
    found = survival.compute_survival_metrics(predictions(), resamples=20, seed=1)

    # At 30 days all four are known, at 60 the last is not; a trapezoid from 0 on day 0.
    at_30 = (0.5**2 + 0.1**2 + 0.2**2 + 0.1**2) / 4
    at_60 = (0.2**2 + 0.7**2 + 0.2**2) / 3
    mine = (30 * at_30 / 2 + 30 * (at_30 + at_60) / 2) / 60
    rate_30, rate_60 = 1 / 4 * 3 / 4, 2 / 3 * 1 / 3
    theirs = (30 * rate_30 / 2 + 30 * (rate_30 + rate_60) / 2) / 60
    assert found["integrated_brier"].value == pytest.approx(mine)
    assert found["integrated_brier_skill"].value == pytest.approx(1 - mine / theirs)
    # a before b, c, d: all right by the risk at 60 days; b before c: right.
    assert found["concordance"].value == pytest.approx(1.0)


def test_an_early_expansion_of_an_unfinished_window_does_not_count() -> None:
    early = predictions().with_columns(
        known_days=pl.when(pl.col("account_id") == "a").then(20).otherwise("known_days")
    )

    found = survival.compute_survival_metrics(early, resamples=20, seed=1)
    without = survival.compute_survival_metrics(
        predictions().filter(pl.col("account_id") != "a"), resamples=20, seed=1
    )

    assert found["integrated_brier"].value == without["integrated_brier"].value


def test_where_nothing_is_known_no_figure_is_made_up() -> None:
    unknown = predictions().with_columns(
        known_days=0, days_followed=0, expansion_seen=pl.lit(value=False)
    )

    found = survival.compute_survival_metrics(unknown, resamples=20, seed=1)

    assert {figure.value for figure in found.values()} == {None}


def test_a_curve_that_knows_the_day_loses_nothing() -> None:
    known = predictions().with_columns(
        within_30d=pl.col("expansion_seen") & (pl.col("days_followed") < 30),
        within_60d=pl.col("expansion_seen") & (pl.col("days_followed") < 60),
    )
    told = known.with_columns(pl.col("within_30d", "within_60d").cast(pl.Float64))

    found = survival.compute_survival_metrics(told, resamples=20, seed=1)

    assert found["integrated_brier"].value == 0
    assert found["integrated_brier_skill"].value == 1
