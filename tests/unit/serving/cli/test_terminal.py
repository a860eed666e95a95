"""Terminal output of an evaluation."""

import re
from collections.abc import Sequence
from datetime import date
from io import StringIO
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from serving.cli.output import evaluation_tables, terminal
from training.evaluation.power import PowerAnalysis
from training.evaluation.segments import SegmentMetrics
from training.metrics.summary import MetricEstimate
from training.promotion.champion import ChampionComparison

NONE = MetricEstimate(None, None, None)
RANKED = ("auroc", "average_precision", "precision_at_capacity", "log_loss_skill")
DATES = (
    "date_mae_days",
    "date_mae_days_constant",
    "date_mae_days_linear",
    "date_skill_over_constant",
    "date_skill_over_linear",
    "date_coverage",
    "date_coverage_lowest",
    "date_coverage_middle",
    "date_coverage_highest",
    "date_width_days_lowest",
    "date_width_days_middle",
    "date_width_days_highest",
)


def print_evaluation(dates: dict[str, MetricEstimate], bands: Sequence[dict[str, Any]] = ()) -> str:
    evaluation = SimpleNamespace(
        predictions=pl.DataFrame({"expanded": [True, None], "cutoff": [date(2025, 1, 1)] * 2}),
        metrics={"model": dict.fromkeys(RANKED, NONE)},
        reference_metrics={},
        date_metrics=dict.fromkeys(DATES, NONE) | dates,
        bands=bands,
        skipped={},
        summarize_verdict=lambda: "Level.",
    )
    with terminal.stdout.capture() as captured:
        evaluation_tables.print_evaluation(evaluation)  # type: ignore[arg-type]
    return " ".join(captured.get().split())


def test_the_date_error_is_printed_with_its_baselines() -> None:
    text = print_evaluation(
        {
            "date_mae_days": MetricEstimate(31.2, 30.0, 33.0),
            "date_mae_days_constant": MetricEstimate(44.0, 43.0, 46.0),
            "date_mae_days_linear": MetricEstimate(75.4, 70.0, 80.0),
            "date_skill_over_constant": MetricEstimate(0.291, 0.2, 0.3),
            "date_coverage_lowest": MetricEstimate(0.8, 0.7, 0.9),
        }
    )

    assert "mean absolute error of the expected date: 31 days" in text
    assert "constant baseline 44, linear extrapolation to the limit 75;" in text
    assert "skill: 0.291 (0.200 to 0.300) and n/a" in text
    assert "by probability tercile: 80%, n/a, n/a;" in text


@pytest.mark.parametrize("phrase", ["expected date", "interval of the date"])
def test_date_metrics_are_omitted_without_observed_dates(phrase: str) -> None:
    assert phrase not in print_evaluation({})


def test_each_band_is_printed_with_expected_and_observed_rate() -> None:
    band = {"band": "10% to 20%", "snapshots": 1234, "expected": 0.146, "value": 0.171}

    text = print_evaluation({}, [band | {"low": 0.15, "high": None}])

    assert "│ 10% to 20% │ 1,234 │ 14.6% │ 17.1% (15.0% – unknown) │" in text
    assert "By probability band" not in print_evaluation({})


def print_details(**changes: Any) -> str:
    evaluation = SimpleNamespace(
        **{
            "predictions": pl.DataFrame(
                {"cutoff": [date(2025, 1, 1)], "expanded": [True], "baseline": ["a rule"]}
            ),
            "lift_by_decile": [],
            "metrics_by_cutoff": {},
            "segment_metrics": {},
            "gain_over_selected_baseline": NONE,
            "power": PowerAnalysis("a rule", 0.101, 0.0304),
            "list_caveats": lambda: ["assumed.", "No revenue [is] known."],
        }
        | changes
    )
    comparison = ChampionComparison(
        "Version 3 was evaluated.", dict.fromkeys(RANKED, MetricEstimate(0.7, 0.6, 0.8)), NONE
    )
    with terminal.stdout.capture() as captured:
        evaluation_tables.print_evaluation_details(evaluation, "assumed.", comparison)  # type: ignore[arg-type]
    return " ".join(captured.get().split())


def test_power_champion_capacity_and_notes_are_printed_once_each() -> None:
    text = print_details()

    assert "10.1 points of precision at capacity, or 0.030 of AUROC" in text
    assert "Version 3 was evaluated. The champion's settings: AUROC 0.700 (0.600 to 0.800)" in text
    assert text.count("assumed.") == 1
    assert text.endswith("No revenue [is] known.")
    assert "Gain in precision at capacity" not in text


def test_lift_cutoffs_and_segments_are_printed_if_available() -> None:
    decile = {"decile": 1, "snapshots": 501.2, "expanded": 183.2, "rate": 0.3655}
    metrics = dict.fromkeys(("auroc", "precision_at_capacity", "observed_to_expected"), NONE)

    text = print_details(
        lift_by_decile=[decile | {"value": 5.0, "low": 4.5, "high": 6.0}],
        metrics_by_cutoff={
            date(2025, 1, 1): {"model": metrics | {"log_loss_skill": MetricEstimate(0.2, 0.1, 0.3)}}
        },
        segment_metrics={"plan": {"[team]": SegmentMetrics(12, 3, 2.0, metrics)}},
        gain_over_selected_baseline=MetricEstimate(0.064, -0.03, 0.165),
    )

    assert "│ 1 │ 501 │ 183 │ 36.5% │ 5.0 4.5–6.0 │" in text
    assert "│ 2025-01-01 │ 1 │ 1 │ n/a │ n/a │ 0.200" in text
    assert "│ plan │ [team] │ 12 │ 3 │ n/a │ n/a │ n/a │" in text
    assert "baselines selected at each cutoff (a rule): 0.064 (-0.030 to 0.165)" in text


def test_progress_on_a_terminal_shows_the_stage_and_the_remaining_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter(range(0, 100_000, 60))
    console = Console(
        file=StringIO(), force_terminal=True, width=100, get_time=lambda: float(next(seconds))
    )
    monkeypatch.setattr(terminal, "stderr", console)

    with terminal.show_progress() as advance:
        for trial in range(1, 5):
            advance("search", trial, 12)

    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "search" in shown
    assert "4/12" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)
