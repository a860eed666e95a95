"""What a list says beside the probability, by hand-worked numbers."""

import polars as pl

from serving.scoring import model_rows

SHARES = {"any": 0.1, "seats": 0.2}


def test_expected_revenue_is_probability_times_usual_rise_times_a_year() -> None:
    frame = pl.DataFrame({"probability": [0.5, 0.5, 0.5], "limit": ["seats", "none", "seats"]})

    found = model_rows.compute_expected_arr(frame, pl.Series([100.0, 100.0, None]), SHARES)

    assert found.to_list() == [0.5 * 0.2 * 12 * 100, 0.5 * 0.1 * 12 * 100, None]


def test_without_revenue_in_the_history_none_is_expected() -> None:
    frame = pl.DataFrame({"probability": [0.5], "limit": ["seats"]})

    assert model_rows.compute_expected_arr(frame, pl.Series([100.0]), {}).to_list() == [None]
