"""What the terminal tells of a walk forward."""

from collections.abc import Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from serving import console
from training.metrics import Figure

NONE = Figure(None, None, None)
RANKED = ("auroc", "average_precision", "precision_at_capacity", "log_loss_skill")
DATES = (
    "date_error_days",
    "date_error_days_usual",
    "date_error_days_line",
    "date_gain_over_usual",
    "date_gain_over_line",
    "date_coverage",
    "date_coverage_lowest",
    "date_coverage_middle",
    "date_coverage_highest",
    "date_width_days_lowest",
    "date_width_days_middle",
    "date_width_days_highest",
)


def told(dates: dict[str, Figure], bands: Sequence[dict[str, Any]] = ()) -> str:
    walked = SimpleNamespace(
        predictions=pl.DataFrame({"expanded": [True, None], "cut": [date(2025, 1, 1)] * 2}),
        figures={"model": dict.fromkeys(RANKED, NONE)},
        learners={},
        date_figures=dict.fromkeys(DATES, NONE) | dates,
        bands=bands,
        skipped={},
        verdict=lambda: "Level.",
    )
    with console.out.capture() as got:
        console.evaluated(walked)  # type: ignore[arg-type]
    return " ".join(got.get().split())


def test_the_error_of_the_dates_is_told_beside_the_usual_day_and_the_line() -> None:
    text = told(
        {
            "date_error_days": Figure(31.2, 30.0, 33.0),
            "date_error_days_usual": Figure(44.0, 43.0, 46.0),
            "date_error_days_line": Figure(75.4, 70.0, 80.0),
            "date_gain_over_usual": Figure(0.291, 0.2, 0.3),
            "date_coverage_lowest": Figure(0.8, 0.7, 0.9),
        }
    )

    assert "expected date off by 31 days on average" in text
    assert "the usual day by 44, a straight line to the limit by 75;" in text
    assert "saved: 0.291 (0.200 to 0.300) and n/a" in text
    assert "by third of the chance: 80%, n/a, n/a" in text


@pytest.mark.parametrize("word", ["expected date", "interval of the date"])
def test_where_no_date_can_be_judged_yet_nothing_is_told_of_them(word: str) -> None:
    assert word not in told({})


def test_each_band_is_told_with_what_was_expected_and_observed() -> None:
    band = {"band": "10% to 20%", "snapshots": 1234, "expected": 0.146, "value": 0.171}

    text = told({}, [band | {"low": 0.15, "high": None}])

    assert "│ 10% to 20% │ 1,234 │ 14.6% │ 17.1% (15.0% – unknown) │" in text
    assert "By band" not in told({})
