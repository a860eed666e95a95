"""Probability bands cover every probability once and report their observed rates."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation import probability_bands


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_higher_probability_is_never_in_a_lower_band(probabilities: list[float]) -> None:
    bands = probability_bands.assign_band(pl.Series(sorted(probabilities)))

    indices = [probability_bands.list_bands().index(band) for band in bands]
    assert indices == sorted(indices)


@pytest.mark.parametrize(
    ("probability", "band"),
    [(0.0, "under 2%"), (0.02, "2% to 5%"), (0.399, "20% to 40%"), (0.4, "40% and more")],
)
def test_a_boundary_belongs_to_the_band_above_it(probability: float, band: str) -> None:
    assert probability_bands.assign_band(pl.Series([probability])).to_list() == [band]


def test_expected_and_observed_rates_match_hand_worked_numbers() -> None:
    predictions = pl.DataFrame(
        {
            "account_id": ["a", "a", "b", "c", "d"],
            "as_of": [date(2025, 1, 1)] * 5,
            "cutoff": [date(2025, 1, 1)] * 5,
            "probability": [0.12, 0.16, 0.14, 0.5, 0.01],
            "expanded": [True, False, False, True, None],
        }
    )

    middle, top = probability_bands.compute_band_calibration(predictions, resamples=50, seed=1)

    assert (middle["band"], middle["snapshots"]) == ("10% to 20%", 3)
    assert middle["expected"] == pytest.approx(0.14)
    assert middle["value"] == pytest.approx(1 / 3)
    assert 0 <= middle["low"] <= 1 / 3 <= middle["high"] <= 1
    assert (top["band"], top["snapshots"], top["value"]) == ("40% and more", 1, 1.0)


def test_a_true_probability_is_observed_in_every_band() -> None:
    rng = np.random.default_rng(3)
    probability = rng.beta(0.5, 4, size=20_000)
    predictions = pl.DataFrame(
        {
            "account_id": np.arange(20_000) // 5,
            "cutoff": np.zeros(20_000),
            "probability": probability,
            "expanded": rng.uniform(size=20_000) < probability,
        }
    )

    for band in probability_bands.compute_band_calibration(predictions, resamples=50, seed=1):
        assert abs(band["value"] - band["expected"]) < 0.03
        assert band["low"] <= band["value"] <= band["high"]
