"""Terminal output of a backtest."""

import pytest

from serving.cli.output import backtest_tables, terminal
from tests.unit.training.backtest.result_builders import (
    build_backtest_result,
    build_strategy_result,
)
from training.metrics.cluster_bootstrap import MetricEstimate

MINUTES = {"minutes": MetricEstimate(485.85, None, None)}
RESULT = build_backtest_result(
    build_strategy_result(
        "manual review, monthly",
        MINUTES
        | {
            "detection_rate": MetricEstimate(0.0881, 0.0541, 0.1271),
            "detection_rate_14d": MetricEstimate(1.0, 0.999, 1.0),
            "condition_rate": MetricEstimate(0.7551, 0.7, 0.8131),
            "lag_days": MetricEstimate(-12.0, -113.5, -100.0),
            "lead_days": MetricEstimate(22.5, 20.0, 131.0),
            "false_alarms": MetricEstimate(16.683, 15.911, 17.5),
            "missed": MetricEstimate(17.033, 16.181, 17.912),
        },
        "40 to 55 % detected",
    ),
    build_strategy_result("model's weekly list", MINUTES),
    unavailable=dict.fromkeys(["CRM rule", "event rule"], "no account has seats or limits."),
    definitions=dict.fromkeys(
        ("flag", "detected", "false alarm", "utilization", "capacity"), "so [it] is."
    ),
    verdict="With equal capacity the two are equal.",
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
