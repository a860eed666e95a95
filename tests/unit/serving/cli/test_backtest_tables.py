"""Terminal output of a backtest."""

from datetime import date

import polars as pl
import pytest

from serving.cli.output import backtest_tables, terminal
from training.backtest import BACKTEST_METRICS, BacktestResult, StrategyResult
from training.metrics.cluster_bootstrap import MetricEstimate

UNKNOWN = MetricEstimate(None, None, None)


def make_result(name: str, claim: str | None = None, **given: MetricEstimate) -> StrategyResult:
    metrics = (
        dict.fromkeys(BACKTEST_METRICS, UNKNOWN)
        | {"minutes": MetricEstimate(485.85, None, None)}
        | given
    )
    return StrategyResult(
        name, f"How {name} flags.", metrics, 9, 3, 4, 3, 2, 1, 0, 0.0, 540.0, claim
    )


RESULT = BacktestResult(
    start=date(2026, 1, 1),
    end=date(2026, 6, 1),
    counted_from=date(2026, 3, 2),
    counted_until=date(2026, 5, 25),
    accounts=1633.6,
    expansions=1159,
    closely_repeated=0,
    strategies=(
        make_result(
            "manual review, monthly",
            "40 to 55 % detected",
            detection_rate=MetricEstimate(0.0881, 0.0541, 0.1271),
            detection_rate_14d=MetricEstimate(1.0, 0.999, 1.0),
            condition_rate=MetricEstimate(0.7551, 0.7, 0.8131),
            lag_days=MetricEstimate(-12.0, -113.5, -100.0),
            lead_days=MetricEstimate(22.5, 20.0, 131.0),
            false_alarms=MetricEstimate(16.683, 15.911, 17.5),
            missed=MetricEstimate(17.033, 16.181, 17.912),
        ),
        make_result("model's weekly list"),
    ),
    unavailable=dict.fromkeys(["CRM rule", "event rule"], "no account has seats or limits."),
    csms=8,
    minutes_per_month=1200.0,
    minutes_per_account=60.0,
    review_minutes=2.0,
    cooldown_days=60,
    detection_window_days=60,
    definitions=dict.fromkeys(
        ("flag", "detected", "false alarm", "utilization", "capacity"), "so [it] is."
    )
    | dict(BACKTEST_METRICS),
    notes=("20 accounts are assumed.",),
    limitations=("No team acted on these flags.",),
    verdict="With equal capacity the two are equal.",
    flags=pl.DataFrame(),
    expanded=pl.DataFrame(),
)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(terminal.stdout, "width", 80)
    with terminal.stdout.capture() as captured:
        backtest_tables.print_backtest(RESULT)
    return captured.get().splitlines()


def test_tables_fit_in_eighty_columns(lines: list[str]) -> None:
    text = " ".join(" ".join(lines).split())

    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for expected in (
        "9 %",
        "5–13",
        "100 %",
        "40–55 %",
        "-114 to",
        "-100",
        "20 to",
        "131",
        "16–18",
        "486",
    ):
        assert expected in text, expected


def test_missing_values_are_dashes_and_unavailable_strategies_are_listed(lines: list[str]) -> None:
    detection_row, cost_row = (line for line in lines if line.startswith(" model's"))

    assert set(detection_row.split()[3:]) == {"–"}
    assert cost_row.split()[-1] == "486"
    assert cost_row.count("–") == 4
    assert "Not replayed: CRM rule; event rule: no account has seats or limits." in lines


def test_claims_are_marked_and_limitations_precede_the_verdict(lines: list[str]) -> None:
    text = " ".join(lines)

    assert "not verified" in text
    assert text.index("- No team acted") < text.index("With equal capacity the two are equal.")
    assert "Flag: so [it] is." in lines
