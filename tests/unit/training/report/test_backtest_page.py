"""The backtest page: every strategy with its metrics, marked claims, no network requests."""

import re
from dataclasses import replace
from itertools import combinations

import pytest

from tests.unit.training.backtest.result_builders import (
    UNKNOWN,
    build_backtest_result,
    build_strategy_result,
)
from training.backtest import BACKTEST_METRICS, BacktestResult, StrategyResult
from training.backtest.strategy_set import WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS
from training.metrics.cluster_bootstrap import MetricEstimate
from training.report import backtest_page

HOSTILE = "<img src=x onerror=alert(1)>"


def make_result(
    name: str, detection_rate: float, false_alarms: float, claim: str | None = None
) -> StrategyResult:
    values = {
        "detection_rate": detection_rate,
        "detection_rate_14d": detection_rate * 0.7,
        "detection_rate_30d": detection_rate * 0.3,
        "precision": 0.4,
        "false_alarms": false_alarms,
        "missed": 5.0,
        "minutes": 1486.0,
        "lag_days": 36.0,
        "lead_days": 21.0,
    }
    metrics = {
        name: MetricEstimate(value, value * 0.9, value * 1.1) for name, value in values.items()
    }
    return build_strategy_result(name, metrics, claim)


STRATEGIES = (
    make_result("manual review, weekly", 0.088, 6.7, "40 to 55 % detected"),
    make_result("manual review, monthly", 0.094, 6.1, "40 to 55 % detected"),
    make_result("CRM rule", 0.32, 4.8, "70 to 80 % detected"),
    make_result("tier rules", 0.28, 5.3),
    make_result(WEEKLY_LIST, 0.36, 4.7),
    make_result(WEEKLY_LIST_AND_EVENTS, 0.24, 5.4),
)


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return build_backtest_result(*STRATEGIES)


@pytest.fixture(scope="module")
def page(result: BacktestResult) -> str:
    return backtest_page.render_backtest_page(result)


def section(page: str, key: str) -> str:
    expected = re.search(rf'<section id="{key}".*?</section>', page, re.DOTALL)
    assert expected, key
    return expected[0]


def test_every_section_exists(page: str) -> None:
    keys = re.findall(r'<section id="([^"]+)"', page)

    assert keys == ["strategies", "rules", "claims", "limitations", "method"]
    assert page.index("With equal capacity") < page.index("<section")


def test_every_strategy_is_drawn_and_listed(page: str) -> None:
    for strategy in STRATEGIES:
        name = strategy.name.replace("'", "&#39;")
        assert f">{strategy.name}</text>" in page  # in a chart
        assert f'<th scope="row">{name}</th>' in section(page, "strategies")
        assert f"{name} flags when it does." in section(page, "rules")


def test_labels_in_the_chart_do_not_overlap(page: str) -> None:
    names = "|".join(strategy.name for strategy in STRATEGIES)
    expected = re.findall(
        rf'text-anchor: (start|end)[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>({names})</text>', page
    )
    boxes = []
    for side, x, y, name in expected[: len(STRATEGIES)]:
        width = 6.0 * len(name)
        left = float(x) - (width if side == "end" else 0)
        boxes.append((left, left + width, float(y)))

    assert len({name for *_, name in expected[: len(STRATEGIES)]}) == len(STRATEGIES)
    for (a, b, y), (c, d, z) in combinations(boxes, 2):
        assert b < c or d < a or abs(y - z) >= 10


def test_model_strategies_are_bold_in_the_table(page: str) -> None:
    rows = re.findall(r'<tr class="strong"><th scope="row">([^<]+)', section(page, "strategies"))

    assert {row.replace("&#39;", "'") for row in rows} == {WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS}


def test_the_metrics_are_those_of_the_backtest(page: str) -> None:
    row = re.search(r'<th scope="row">CRM rule</th>.*?</tr>', section(page, "strategies"))

    assert row
    assert '<td>32% <span class="interval">29% to 35%</span></td>' in row[0]
    assert "<td>n/a</td>" in row[0]
    assert "<td>219</td>" in row[0]


def test_claims_are_marked_as_not_verified(page: str) -> None:
    claims = section(page, "claims")

    assert "not verified" in claims
    assert claims.count(" % detected") == 3
    assert "tier rules" not in claims


def test_unavailable_strategies_and_assumptions_are_listed(page: str) -> None:
    assert "the log has no logins." in section(page, "strategies")
    assert "No capacity is set" in page
    assert "No team acted on these flags." in section(page, "limitations")


def test_the_page_is_self_contained_and_names_no_account(page: str) -> None:
    assert len(page.encode()) < 300_000
    assert not re.search(r"(?:https?:)?//\w", page)
    assert "acme" not in page


def test_the_page_is_deterministic(result: BacktestResult, page: str) -> None:
    assert backtest_page.render_backtest_page(result) == page


def test_text_of_a_backtest_is_escaped(result: BacktestResult) -> None:
    hostile = replace(
        result,
        strategies=(replace(STRATEGIES[0], name=HOSTILE, rule=HOSTILE, claim=HOSTILE),),
        unavailable={HOSTILE: HOSTILE},
        notes=(HOSTILE,),
        verdict=HOSTILE,
    )

    assert "<img" not in backtest_page.render_backtest_page(hostile)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strategies": ()}, "No strategy could be replayed."),
        ({"expansions": 0}, "No expansion falls into the counted days"),
    ],
)
def test_a_section_without_data_shows_a_note(
    result: BacktestResult, changes: dict[str, object], expected: str
) -> None:
    page = backtest_page.render_backtest_page(replace(result, **changes))  # type: ignore[arg-type]

    assert expected in section(page, "strategies")
    assert "<svg" not in page


def test_a_strategy_without_metrics_is_listed_but_not_drawn(result: BacktestResult) -> None:
    empty = replace(
        STRATEGIES[0], name="unknown strategy", metrics=dict.fromkeys(BACKTEST_METRICS, UNKNOWN)
    )

    page = backtest_page.render_backtest_page(replace(result, strategies=(*STRATEGIES, empty)))

    assert '<th scope="row">unknown strategy</th><td>n/a</td>' in page
