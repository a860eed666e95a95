"""What the terminal tells of a backtest."""

from datetime import date

import polars as pl
import pytest
from rich.console import Console

from serving.cli.output import backtest_tables
from training.backtest import BACKTEST_METRICS, BacktestResult, StrategyResult
from training.metrics.cluster_bootstrap import MetricEstimate

NONE = MetricEstimate(None, None, None)


def _way(name: str, claim: str | None = None, **figures: MetricEstimate) -> StrategyResult:
    every = (
        dict.fromkeys(BACKTEST_METRICS, NONE)
        | {"minutes": MetricEstimate(485.85, None, None)}
        | figures
    )
    return StrategyResult(name, f"How {name} flags.", every, 9, 3, 4, 3, 2, 1, 0, 0.0, 540.0, claim)


FOUND = BacktestResult(
    start=date(2026, 1, 1),
    end=date(2026, 6, 1),
    counted_from=date(2026, 3, 2),
    counted_until=date(2026, 5, 25),
    accounts=1633.6,
    expansions=1159,
    repeated=0,
    ways=(
        _way(
            "manual review, monthly",
            "40 to 55 % caught",
            share_flagged=MetricEstimate(0.0881, 0.0541, 0.1271),
            share_flagged_14d=MetricEstimate(1.0, 0.999, 1.0),
            share_pointed_at=MetricEstimate(0.7551, 0.7, 0.8131),
            lag_days=MetricEstimate(-12.0, -113.5, -100.0),
            lead_days=MetricEstimate(22.5, 20.0, 131.0),
            false_alarms=MetricEstimate(16.683, 15.911, 17.5),
            missed=MetricEstimate(17.033, 16.181, 17.912),
        ),
        _way("model's weekly list"),
    ),
    absent=dict.fromkeys(["CRM rule", "event rule"], "neither seats nor limits are known."),
    csms=8,
    minutes_per_month=1200.0,
    minutes_per_account=60.0,
    review_minutes=2.0,
    rest_days=60,
    caught_within_days=60,
    definitions=dict.fromkeys(("flag", "caught", "false alarm", "use", "hours"), "so [it] is.")
    | dict(BACKTEST_METRICS),
    notes=("20 accounts are assumed.",),
    hindsight=("Nobody acted on these flags.",),
    verdict="With the same hours it is level.",
    flags=pl.DataFrame(),
    expanded=pl.DataFrame(),
)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    out = Console(width=80)
    monkeypatch.setattr(backtest_tables, "out", out)
    with out.capture() as got:
        backtest_tables.print_backtest(FOUND)
    return got.get().splitlines()


def test_the_tables_are_whole_at_eighty_columns(lines: list[str]) -> None:
    text = " ".join(" ".join(lines).split())

    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for told in (
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
        assert told in text, told


def test_what_is_not_there_is_a_dash_and_what_was_not_replayed_is_said(lines: list[str]) -> None:
    caught, cost = (line for line in lines if line.startswith(" model's"))

    assert set(caught.split()[3:]) == {"–"}
    assert cost.split()[-1] == "486"
    assert cost.count("–") == 4
    assert "Not replayed: CRM rule; event rule: neither seats nor limits are known." in lines


def test_claims_are_marked_and_hindsight_comes_before_the_verdict(lines: list[str]) -> None:
    text = " ".join(lines)

    assert "not verified" in text
    assert text.index("- Nobody acted") < text.index("With the same hours it is level.")
    assert "Flag: so [it] is." in lines
