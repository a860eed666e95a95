"""Expected revenue and expected dates: hand-worked examples."""

import polars as pl
import pytest

from serving.scoring import score


@pytest.mark.parametrize(
    ("increases", "expected"),
    [
        ({"any": 0.1, "seats": 0.2}, [0.5 * 0.2 * 12 * 100, 0.5 * 0.1 * 12 * 100, None]),
        ({}, [None] * 3),  # no increase in the history
    ],
)
def test_expected_arr_is_probability_times_increase_times_yearly_revenue(
    increases: dict[str, float], expected: list[float | None]
) -> None:
    rows = pl.DataFrame(
        {
            "probability": [0.5, 0.5, 0.5],
            "limit": ["seats", "none", "seats"],
            "mrr": [100.0, 100.0, None],
        }
    )

    expected_arr = rows.select(arr=score.compute_expected_arr(increases) + 0 * pl.col("mrr"))

    assert expected_arr["arr"].to_list() == expected
