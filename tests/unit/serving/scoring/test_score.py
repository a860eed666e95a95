"""Expected revenue: hand-worked examples."""

import polars as pl

from serving.scoring import model_rows

INCREASES = {"any": 0.1, "seats": 0.2}


def test_expected_arr_is_probability_times_increase_times_yearly_revenue() -> None:
    frame = pl.DataFrame({"probability": [0.5, 0.5, 0.5], "limit": ["seats", "none", "seats"]})

    expected = model_rows.compute_expected_arr(frame, pl.Series([100.0, 100.0, None]), INCREASES)

    assert expected.to_list() == [0.5 * 0.2 * 12 * 100, 0.5 * 0.1 * 12 * 100, None]


def test_without_increases_in_the_history_expected_arr_is_null() -> None:
    frame = pl.DataFrame({"probability": [0.5], "limit": ["seats"]})

    assert model_rows.compute_expected_arr(frame, pl.Series([100.0]), {}).to_list() == [None]
