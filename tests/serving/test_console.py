"""What the terminal tells of a walk forward."""

import re
from collections.abc import Sequence
from datetime import date
from io import StringIO
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from serving.cli import output
from serving.cli.output import terminal
from training.evaluation.power import PowerAnalysis
from training.evaluation.segments import SegmentMetrics
from training.metrics.summary import MetricEstimate
from training.promotion.champion_comparison import ChampionComparison

NONE = MetricEstimate(None, None, None)
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


def told(dates: dict[str, MetricEstimate], bands: Sequence[dict[str, Any]] = ()) -> str:
    walked = SimpleNamespace(
        predictions=pl.DataFrame({"expanded": [True, None], "cut": [date(2025, 1, 1)] * 2}),
        figures={"model": dict.fromkeys(RANKED, NONE)},
        learners={},
        date_figures=dict.fromkeys(DATES, NONE) | dates,
        bands=bands,
        skipped={},
        verdict=lambda: "Level.",
    )
    with output.stdout.capture() as got:
        output.print_evaluation(walked)  # type: ignore[arg-type]
    return " ".join(got.get().split())


def test_the_error_of_the_dates_is_told_beside_the_usual_day_and_the_line() -> None:
    text = told(
        {
            "date_error_days": MetricEstimate(31.2, 30.0, 33.0),
            "date_error_days_usual": MetricEstimate(44.0, 43.0, 46.0),
            "date_error_days_line": MetricEstimate(75.4, 70.0, 80.0),
            "date_gain_over_usual": MetricEstimate(0.291, 0.2, 0.3),
            "date_coverage_lowest": MetricEstimate(0.8, 0.7, 0.9),
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


def further(**changes: Any) -> str:
    walked = SimpleNamespace(
        **{
            "predictions": pl.DataFrame(
                {"cut": [date(2025, 1, 1)], "expanded": [True], "simple": ["a rule"]}
            ),
            "lift": [],
            "by_cut": {},
            "segments": {},
            "over_simple": NONE,
            "power": PowerAnalysis("a rule", 0.101, 0.0304),
            "notes": lambda: ["assumed.", "No revenue [is] known."],
        }
        | changes
    )
    beside = ChampionComparison(
        "Version 3 was walked.", dict.fromkeys(RANKED, MetricEstimate(0.7, 0.6, 0.8)), NONE
    )
    with output.stdout.capture() as got:
        output.print_evaluation_details(walked, "assumed.", beside)  # type: ignore[arg-type]
    return " ".join(got.get().split())


def test_power_champion_capacity_and_notes_are_told_once_each() -> None:
    text = further()

    assert "10.1 points in precision at capacity, or of 0.030 in AUROC" in text
    assert "Version 3 was walked. The champion's settings: AUROC 0.700 (0.600 to 0.800)" in text
    assert text.count("assumed.") == 1
    assert text.endswith("No revenue [is] known.")
    assert "would have chosen" not in text


def test_lift_cuts_and_kinds_of_account_are_told_where_they_are_known() -> None:
    tenth = {"decile": 1, "snapshots": 501.2, "expanded": 183.2, "rate": 0.3655}
    figures = dict.fromkeys(("auroc", "precision_at_capacity", "observed_to_expected"), NONE)

    text = further(
        lift=[tenth | {"value": 5.0, "low": 4.5, "high": 6.0}],
        by_cut={
            date(2025, 1, 1): {"model": figures | {"log_loss_skill": MetricEstimate(0.2, 0.1, 0.3)}}
        },
        segments={"plan": {"[team]": SegmentMetrics(12, 3, 2.0, figures)}},
        over_simple=MetricEstimate(0.064, -0.03, 0.165),
    )

    assert "│ 1 │ 501 │ 183 │ 36.5% │ 5.0 4.5–6.0 │" in text
    assert "│ 2025-01-01 │ 1 │ 1 │ n/a │ n/a │ 0.200" in text
    assert "│ plan │ [team] │ 12 │ 3 │ n/a │ n/a │ n/a │" in text
    assert "would have chosen (a rule): 0.064 (-0.030 to 0.165)" in text


def test_a_person_who_watches_is_told_what_is_done_and_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter(range(0, 100_000, 60))
    page = Console(
        file=StringIO(), force_terminal=True, width=100, get_time=lambda: float(next(seconds))
    )
    monkeypatch.setattr(terminal, "stderr", page)

    with terminal.show_progress() as advance:
        for trial in range(1, 5):
            advance("search", trial, 12)

    assert isinstance(page.file, StringIO)
    shown = page.file.getvalue()
    assert "search" in shown
    assert "4/12" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)
